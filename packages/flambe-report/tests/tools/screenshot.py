"""Take the picture of the README: ``python packages/flambe-report/tests/tools/screenshot.py [--run RUN] [--out FILE]``.

Without ``--run`` a sweep is written to a scratch folder first, as it looks when two thirds of it are done.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent))

from browser import browser_page
from run_builder import sst_run
from site_process import serving

OUT = Path(__file__).resolve().parents[4] / "docs" / "images" / "report.png"


def take(run: Path, out: Path, *, stage: str = "", tab: str = "curves", dark: bool = False) -> None:
    """Open the page of ``run`` in Chromium and keep it as a PNG. stage: empty for the one the page itself would open."""
    with serving(run, "--port", "0") as site, browser_page(dark=dark, width=1280, scale=1.25) as page:
        page.goto(site.url)
        page.wait_for_selector("#units tbody tr")
        wish = {"stage": stage or page.inner_text("#title"), "tab": tab}
        page.evaluate("wish => { location.hash = wish }", urlencode(wish))
        page.wait_for_selector("#chart .scatterlayer .trace" if tab == "curves" else f"#view-{tab}:not([hidden])")
        page.wait_for_timeout(1500)  # until everything has faded in
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(out), full_page=True)
        if page.strays:
            raise SystemExit(f"the page asked other hosts: {page.strays}")


def main() -> None:
    """Read the arguments and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run directory (default: a made-up sweep)")
    parser.add_argument("--stage", default="", help="the stage to open")
    parser.add_argument("--tab", default="curves", choices=["variants", "curves", "log", "config"])
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = given.run or sst_run(Path(scratch), until=0.7).path
        take(run, given.out, stage=given.stage, tab=given.tab, dark=given.dark)
    print(given.out)


if __name__ == "__main__":
    main()
