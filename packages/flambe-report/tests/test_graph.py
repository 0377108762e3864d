"""Where the boxes of a pipeline stand and how its arrows run."""

from __future__ import annotations

import re

import pytest

from flambe.report.graph import BOX_HEIGHT, BOX_WIDTH, draw

DIAMOND = {"data": [], "left": ["data"], "right": ["data"], "end": ["left", "right"]}


def overlap(one, other) -> bool:
    return abs(one.x - other.x) < BOX_WIDTH and abs(one.y - other.y) < BOX_HEIGHT


def test_a_stage_stands_right_of_everything_it_needs() -> None:
    needs = {"c": ["b", "a"], "a": [], "b": ["a"], "d": ["c", "a"]}
    boxes = {box.name: box for box in draw(needs).boxes}
    for target, above in needs.items():
        for source in above:
            assert boxes[source].x + BOX_WIDTH < boxes[target].x
    assert {name: box.depth for name, box in boxes.items()} == {"a": 0, "b": 1, "c": 2, "d": 3}


@pytest.mark.parametrize("needs", [DIAMOND, {f"s{i}": [] for i in range(5)}, {"x": []}])
def test_boxes_do_not_overlap_and_stay_inside(needs: dict[str, list[str]]) -> None:
    drawing = draw(needs)
    for place, one in enumerate(drawing.boxes):
        assert 0 <= one.x <= drawing.width - BOX_WIDTH
        assert 0 <= one.y <= drawing.height - BOX_HEIGHT
        assert not any(overlap(one, other) for other in drawing.boxes[place + 1 :])


def test_an_arrow_that_a_chain_implies_is_marked() -> None:
    arrows = draw({"data": [], "model": ["data"], "train": ["data", "model"]}).arrows
    assert {(arrow.source, arrow.target): arrow.implied for arrow in arrows} == {
        ("data", "model"): False, ("data", "train"): True, ("model", "train"): False
    }  # fmt: skip


def test_a_long_arrow_passes_beside_the_boxes_between() -> None:
    drawing = draw({"data": [], "model": ["data"], "train": ["data", "model"]})
    model = next(box for box in drawing.boxes if box.name == "model")
    path = next(arrow.path for arrow in drawing.arrows if arrow.implied)
    straight = re.search(r"L([\d.]+),([\d.]+)", path)
    assert straight is not None
    assert not model.y <= float(straight[2]) <= model.y + BOX_HEIGHT


def test_crossings_are_untangled() -> None:
    # Drawn in file order, both arrows would cross.
    drawing = draw({"a": [], "b": [], "x": ["b"], "y": ["a"]})
    height = {box.name: box.y for box in drawing.boxes}
    assert (height["a"] < height["b"]) == (height["y"] < height["x"])


def test_circles_and_unknown_needs_of_a_broken_file_are_left_out() -> None:
    drawing = draw({"a": ["b", "ghost"], "b": ["a"], "c": ["c"]})
    assert sorted(box.name for box in drawing.boxes) == ["a", "b", "c"]
    assert len(drawing.arrows) == 1


def test_nothing_is_an_empty_picture() -> None:
    assert draw({}) == (0, 0, [], [])
