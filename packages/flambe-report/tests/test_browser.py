"""The page of a run in a real browser: it changes by itself, works by keyboard, and asks nobody else for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, chromium, page_of
from run_builder import SST_STAGES, RunBuilder, sst_run
from site_process import serving

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"there is no Chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with page_of(browser) as opened:
        yield opened
        assert opened.strays == []
        # Plotly brings the styles of its maps along, which the policy rightly refuses and nothing here needs.
        assert [line for line in opened.complaints if "style-src" not in line] == []


def stage_states(page: Any) -> dict[str, str]:
    groups = page.locator("g.stage").all()
    return {group.get_attribute("data-stage"): group.get_attribute("class").split()[-1] for group in groups}


def fill_of(page: Any, stage: str) -> str:
    box = f"g.stage[data-stage={stage}] .box"
    return page.evaluate("box => getComputedStyle(document.querySelector(box)).fill", box)


def wait_for_state(page: Any, stage: str, state: str) -> None:
    page.wait_for_selector(f"g.stage.{state}[data-stage={stage}]", timeout=15_000)


def test_the_graph_changes_colour_while_the_run_goes_on(tmp_path: Path, page: Any) -> None:
    run = RunBuilder(tmp_path, SST_STAGES[:3])
    with serving(run.path, "--port", "0") as site:
        page.goto(site.url)
        page.wait_for_selector("#live.on")
        assert "token" not in page.url
        assert stage_states(page) == {"dataset": "pending", "model": "pending", "train": "pending"}
        colours = [fill_of(page, "dataset")]
        data = run.plan("dataset")
        run.start(data)
        wait_for_state(page, "dataset", "running")
        page.wait_for_timeout(600)  # the colour fades in
        colours.append(fill_of(page, "dataset"))
        run.commit(data)
        model, train = run.plan("model"), run.plan("train", {"lr": 0.1})
        run.start(model)
        wait_for_state(page, "dataset", "success")
        wait_for_state(page, "model", "running")
        page.wait_for_timeout(600)
        colours.append(fill_of(page, "dataset"))
        run.fail(model, "ValueError: no")
        run.prune(train, "what it needs failed")
        run.close("FAILED")
        wait_for_state(page, "model", "failed")
        wait_for_state(page, "train", "pruned")
        assert len(set(colours)) == 3
        expect(page.locator("#status")).to_have_text("FAILED")
        assert page.inner_text("[data-count=failed]") == "1"
        assert page.inner_text("#banner") == "sst ended, 1 failed"


def test_a_stage_that_was_never_planned_says_why_once_the_run_has_ended(tmp_path: Path, page: Any) -> None:
    run = RunBuilder(tmp_path, SST_STAGES)
    data = run.plan("dataset")
    run.start(data)
    with serving(run.path, "--port", "0") as site:
        page.goto(site.url)
        wait_for_state(page, "dataset", "running")
        line = page.locator("g.stage[data-stage=evaluate] [data-line=count]")
        expect(line).to_have_text("not planned yet")
        run.fail(data, "ValueError: no")
        run.close("FAILED")
        wait_for_state(page, "evaluate", "pruned")
        expect(line).to_have_text("skipped: dataset failed")
        page.locator("g.stage[data-stage=evaluate]").click()
        expect(page.locator("#fault")).to_have_text("no variants: dataset failed")


def test_a_stage_opens_its_variants_curves_log_and_configuration(tmp_path: Path, page: Any) -> None:
    sst_run(tmp_path)
    with serving(tmp_path, "--port", "0") as site:
        page.goto(site.url)
        page.click("text=exp.0")
        # Without a wish, the stage with most to compare is open.
        expect(page.locator("#units tbody tr")).to_have_count(8)
        assert page.inner_text("#title") == "train"
        page.click("#units th[data-key=metric] button")
        assert page.locator("#units tbody tr").first.locator(".star").count() == 1
        page.fill("#where", "params.model.dropout > 0.2 and metric > 0.77")
        expect(page.locator("#units tbody tr")).to_have_count(3)
        page.fill("#where", "metrc > 1")
        expect(page.locator("#fault")).to_contain_text("Did you mean 'metric'?")
        page.complaints[:] = [line for line in page.complaints if "400 (BAD REQUEST)" not in line]

        page.click("#tab-curves")
        page.wait_for_selector("#chart .scatterlayer .trace")
        assert page.locator("#chart .scatterlayer .trace").count() == 8
        page.select_option("#metric", "Training/Loss")
        expect(page.locator("#chart .ytitle")).to_have_text("Training/Loss")
        page.check("#logy")
        page.locator("#smooth").fill("0.5")
        expect(page.locator("#chart .scatterlayer .trace")).to_have_count(16)

        page.click("#tab-log")
        expect(page.locator("#log")).to_contain_text("step 20")
        page.click("#tab-config")
        expect(page.locator("#config")).to_contain_text("$new: flambe.learn:Trainer")
        assert re.search(r"#stage=train&tab=config$", page.url)
        page.reload()
        expect(page.locator("#config")).to_contain_text("$new: flambe.learn:Trainer")


def test_the_log_grows_and_stays_at_its_end(tmp_path: Path, page: Any) -> None:
    run = sst_run(tmp_path, until=0.3)
    with serving(run.path, "--port", "0") as site:
        page.goto(site.url + "#stage=&tab=log")
        expect(page.locator("#log")).to_contain_text("vocabulary")
        run.say("\x1b[32mgreen\x1b[0m\nwait 1%\rwait 50%\rwait 100%\n<b>bold</b>")
        expect(page.locator("#log")).to_contain_text("bold")
        assert page.inner_text("#log").rstrip().endswith("green\nwait 100%\n<b>bold</b>")


def test_it_works_by_keyboard(tmp_path: Path, page: Any) -> None:
    run = sst_run(tmp_path)
    with serving(run.path, "--port", "0") as site:
        page.goto(site.url)
        page.wait_for_selector("#units tbody tr")
        page.focus("g.stage[data-stage=dataset]")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("model")
        expect(page.locator("#units tbody tr")).to_have_count(4)
        page.focus("#tab-variants")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#view-curves:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "tab-curves"
        page.wait_for_selector("#nochart:not([hidden])")


def test_names_from_files_are_text_in_the_page(tmp_path: Path, page: Any) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    run = RunBuilder(tmp_path, [], name="evil")
    unit = run.plan("train", {evil: evil}, variant="v")
    run.start(unit)
    run.step(unit, 0.5, [{"step": 1, evil: 1.0}, {"step": 2, evil: 2.0}], metric_name=evil)
    run.fail(unit, evil)
    run.record.name = evil
    run.save()
    with serving(tmp_path, "--port", "0") as site:
        page.goto(site.url)
        page.click("text=exp.0")
        page.wait_for_selector("#units tbody tr")
        assert evil in page.inner_text("#units")
        page.click("#tab-curves")
        page.wait_for_selector("#chart .scatterlayer .trace")
        assert page.locator("img[src=x]").count() == 0
        assert page.title().startswith("● <img")
