"""The page that is one file: what it tells, that it asks nobody for anything, and how it looks in a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, browser_page
from run_builder import RunBuilder, sst_run

from flambe.errors import ConfigError
from flambe.reading.reader import Reader
from flambe.report.html_page import HIDDEN, page, page_data
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import FUNCTION, NEW, Spec, Stage


def function_run(home: Path, index: int, **config: object) -> RunBuilder:
    """Write a run of a function that logs the loss of two logs and has no metric of its own."""
    body = {NEW: FUNCTION, "main": "m:f", "config": config}
    run = RunBuilder(home, [Stage(name="main", body=body)], name="fn", index=index)
    run.record.kind = "function"
    run.paths.spec.write_bytes(dump_spec(Spec(kind="function", name="fn", stages=run.stages)))
    unit = run.plan("main")
    run.start(unit)
    for log in ("train", "test"):
        lines = [{"step": step, "loss": index + (log == "test") + 1 / (step + 1)} for step in range(5)]
        run.step(unit, None, lines, log=log)
    run.commit(unit)
    run.close()
    return run


def told_in(text: str) -> dict[str, Any]:
    [script] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    told: dict[str, Any] = json.loads(script)
    return told


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sst_run(tmp_path_factory.mktemp("sweep")).path


def test_what_it_tells_of_a_sweep(sweep: Path) -> None:
    told = page_data(Reader(sweep, index=None))
    assert told["title"] == "sst exp.0"
    train = next(stage for stage in told["stages"] if stage["name"] == "train")
    assert train["choices"] == ["n_layers", "dropout", "lr"]
    assert (train["judged"], train["shown"]) == ("Validation/Accuracy", "Validation/Accuracy")
    assert len(train["variants"]) == 8
    [best] = [one for one in train["variants"] if one["best"]]
    assert best["metric"] == max(one["metric"] for one in train["variants"])
    assert best["choices"] == [2, 0.3, 0.001]
    assert {len(points) for _, points in train["curves"]["Training/Loss"]} == {20, 6}
    assert "not finite" in next(one["error"] for one in train["variants"] if one["status"] == "FAILED")
    [origin] = told["origins"]
    assert origin["record"]["tool.name"] == "flambe-tune"
    assert origin["config"]["train.max_steps"] == "20"
    assert origin["config"]["train.optimizer.lr"] == "2 values: 0.001, 0.003"


def test_functions_are_compared_by_what_they_logged(tmp_path: Path) -> None:
    for index, rate in enumerate((0.1, 0.01)):
        function_run(tmp_path, index, lr=rate, seed=3)
    [stage] = page_data(Reader(tmp_path, index=None))["stages"]
    assert stage["judged"] == "last test.loss"
    assert stage["lower_is_better"]
    assert stage["choices"] == ["lr"]
    assert [one["metric"] for one in stage["variants"]] == [1.2, 2.2]
    assert [one["best"] for one in stage["variants"]] == [True, False]
    assert set(stage["curves"]) == {"test.loss", "train.loss"}  # two logs, and no line that jumps between them
    assert stage["shown"] == "test.loss"


def test_secrets_stay_secret_and_names_stay_text(tmp_path: Path) -> None:
    for index in range(2):
        function_run(
            tmp_path, index, api_token=f"tok-{index}-7781234", pad_token="<pad>", note=f"</script><b id=x>{index}"
        )
    text = page(Reader(tmp_path, index=None))
    assert "7781234" not in text
    assert HIDDEN in text
    assert "</script><b" not in text
    told = told_in(text)
    assert told["origins"][0]["config"]["note"] == "</script><b id=x>0"
    assert told["origins"][0]["config"]["pad_token"] == "<pad>"
    assert not re.search(r"""(?:src|href)=["'](?!data:)|url\(|@import|https?://(?!www\.w3\.org)""", text)


def test_the_command(sweep: Path, tmp_path: Path) -> None:
    def report(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flambe.report.cli", "html", str(sweep), *words]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
        )

    out = tmp_path / "page.html"
    assert report("-o", str(out), "-w", "stage == 'train'").stdout == f"{out}\n"
    assert [stage["name"] for stage in told_in(out.read_text())["stages"]] == ["train"]
    assert report("-o", "-").stdout.startswith("<!doctype html>")
    none = report("-w", "stage == 'nothing'")
    assert (none.returncode, none.stdout) == (2, "")
    assert "0 of 15 units match" in none.stderr
    assert "cannot be written: No such file" in report("-o", str(tmp_path / "no" / "page.html")).stderr


def test_nothing_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is recorded in"):
        page_data(Reader(tmp_path, index=None))


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"there is no Chromium at {CHROMIUM}")
def test_it_is_drawn_in_a_browser_and_asks_nobody(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    out = tmp_path / "page.html"
    out.write_text(page(Reader(sweep, index=None)))
    with browser_page() as opened:
        opened.goto(out.as_uri())
        assert opened.locator("#curves .curve").count() == 8
        assert opened.locator("#choices .multiple").count() == 3
        assert opened.locator("#choices .spot").count() == 24
        rows = opened.locator("#variants tbody tr")
        assert rows.count() == 8
        assert "n_layers=2,dropout=0.3,lr=0.001" in rows.first.inner_text()
        assert "★" in rows.first.inner_text()

        opened.hover("#curves svg", position={"x": 700, "y": 60})
        assert "at step" in opened.inner_text("#tip")
        assert opened.locator("#curves .curve.near").count() == 1
        opened.hover("h1#banner")
        assert opened.locator("#tip").is_hidden()

        opened.select_option("#which", "best")
        assert opened.locator("#curves .curve").count() == 1
        opened.select_option("#metric", "Training/Loss")
        opened.check("#logy")
        assert opened.locator("#curves .curve.best").count() == 1

        opened.fill("#find", "failed")
        assert rows.count() == 1
        assert "1 of 8 variants" in opened.inner_text("#variants-title")
        opened.click("#stages button:has-text('evaluate')")
        opened.fill("#find", "")
        assert "0.8083" in opened.inner_text("#variants")
        assert "max_steps" in opened.inner_text("#origins")
        assert opened.complaints == []
        assert opened.strays == [out.as_uri()]
