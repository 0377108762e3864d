"""``tell_class_order``: which label the class 1 of a binary metric is, where that is the other one than it looks like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambe.cli.console import say
from flambe.field import LabelField


def tell_class_order(dataset: Any, metrics: Iterable[Any]) -> None:
    """Warn where a metric looks at one of two classes, and a field of ``dataset`` has numbered the labels 0 and 1 as 1 and 0.

    Ids follow first appearance, so that depends on the first row: precision of class 1 would be that of the label 0.
    """
    one_class = next((metric for metric in metrics if hasattr(metric, "positive_label")), None)
    if one_class is None:
        return
    for name, field in getattr(dataset, "__dict__", {}).items():
        if isinstance(field, LabelField) and field.vocab == {"1": 0, "0": 1}:
            place = one_class.positive_label
            say(
                f"warning: {type(one_class).__qualname__} looks at class {place}, which is the label '{1 - place}': the field {name!r} "
                "numbers labels by first appearance. Fix the order: `!LabelField {labels: ['0', '1']}`"
            )


__all__ = ["tell_class_order"]
