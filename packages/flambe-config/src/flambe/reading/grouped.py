"""``GroupedRuns``: runs in groups of equal values in some columns. What ``Runs`` does, it does for each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.column_map import COLUMNWISE, GENERIC, POINTWISE, names_of
from flambe.reading.runs import Cells, Runs, counted, key_of

Label = tuple[Any, ...]
"""The values of a group in the columns it is grouped by; None where a row has none."""


class NoSuchGroup(ConfigError, KeyError):
    """A group that there is none of."""


class GroupedRuns(Mapping[Label, Runs]):
    """A mapping from the values in some columns to ``Runs``, in order of first appearance.

    Labels may hold None and lists. ``grouped[0.1, 2]``, ``items()``, ``keys()`` and ``values()`` are those of a mapping. With
    ``ungroup=True`` a method puts the groups together again, with the columns they were grouped by. A column that a whole group
    lacks, and another has, is one of None there.
    """

    def __init__(self, group_keys: tuple[str, ...], groups: Sequence[tuple[Label, Runs]]) -> None:
        self.group_keys = group_keys
        self._groups = {tuple(map(key_of, label)): (label, runs) for label, runs in groups}

    def __getitem__(self, label: Any) -> Runs:
        whole = label if isinstance(label, tuple) else (label,)
        try:
            return self._groups[tuple(map(key_of, whole))][1]
        except KeyError:
            known = ", ".join(repr(label) for label in list(self)[:8])
            raise NoSuchGroup(f"there is no group {whole!r}", hint=f"There are {known}.") from None

    def __iter__(self) -> Iterator[Label]:
        # A label may hold lists, so it is no key of a dictionary: values() and items() go another way.
        return iter([label for label, _ in self._groups.values()])

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, label: object) -> bool:
        return isinstance(label, tuple) and tuple(map(key_of, label)) in self._groups

    def __repr__(self) -> str:
        sizes = ", ".join(f"{label!r}: {counted(len(runs), 'run')}" for label, runs in list(self._groups.values())[:8])
        more = ", …" if len(self) > 8 else ""
        return f"{counted(len(self), 'group')} by {', '.join(self.group_keys)}: {{{sizes}{more}}}"

    def ungroup(self) -> Runs:
        """Return the rows of all groups, with the columns they are grouped by."""
        return Runs(self._labelled(row, label) for label, runs in self._groups.values() for row in runs)

    def _labelled(self, row: Cells, label: Label) -> Cells:
        if all(name in row for name in self.group_keys):
            return row
        return {**dict(zip(self.group_keys, label, strict=True)), **row}

    def select(self, key_list: Sequence[Any]) -> GroupedRuns:
        """Return some of the groups, by their labels, in the order given. Raises NoSuchGroup."""
        labels = [label if isinstance(label, tuple) else (label,) for label in key_list]
        return GroupedRuns(self.group_keys, [(label, self[label]) for label in labels])

    def map(self, maps: Any, ungroup: bool = False) -> Any:
        """``Runs.map`` of each group."""
        return self.apply(maps, POINTWISE, ungroup=ungroup)

    def transform(self, maps: Any, ungroup: bool = False) -> Any:
        """``Runs.transform`` of each group."""
        return self.apply(maps, COLUMNWISE, ungroup=ungroup)

    def aggregate(self, maps: Any, ungroup: bool = False) -> Any:
        """``Runs.aggregate`` of each group: one row for each."""
        return self.apply(maps, COLUMNWISE, reduce=True, ungroup=ungroup)

    def apply(
        self,
        maps: Any,
        kind: str = GENERIC,
        *,
        reduce: bool = False,
        ungroup: bool = False,
        map_type: str | None = None,
    ) -> Any:
        """``Runs.apply`` of each group."""
        return self._each(lambda runs: runs.apply(maps, kind, reduce=reduce, map_type=map_type), ungroup)

    def sort(self, by: str | Sequence[str], ascending: bool = True, ungroup: bool = False) -> Any:
        """``Runs.sort`` of each group."""
        return self._each(lambda runs: runs.sort(by, ascending), ungroup)

    def filter(self, map: Any, bygroups: str | Sequence[str] | None = None, ungroup: bool = False) -> Any:
        """Keep rows of each group, as ``Runs.filter``; a group of which no row stays is gone.

        bygroups: some columns, by which rows are put together for the question: ``bygroups="config.model"`` on groups by model
        and rate asks for all rates of a model at once. The groups stay what they are.
        """
        if bygroups is None:
            return self._each(lambda runs: runs.filter(map), ungroup)
        rows = [(key, row, self._labelled(row, label)) for key, (label, runs) in self._groups.items() for row in runs]
        kept = {id(row) for row in Runs(labelled for *_, labelled in rows).filter(map, bygroups)}
        groups = [
            (label, runs.part(row for of, row, labelled in rows if of == key and id(labelled) in kept))
            for key, (label, runs) in self._groups.items()
        ]
        result = GroupedRuns(self.group_keys, [(label, runs) for label, runs in groups if len(runs)])
        return result.ungroup() if ungroup else result

    def groupby(self, group_keys: str | Sequence[str]) -> GroupedRuns:
        """Return smaller groups: by the columns of these, and others."""
        names = tuple(dict.fromkeys((*self.group_keys, *names_of(group_keys))))
        whole = self.ungroup()
        return whole.groupby(names)

    def _each(self, act: Any, ungroup: bool) -> Any:
        found = [(label, act(runs)) for label, runs in self._groups.values()]
        result = GroupedRuns(self.group_keys, [(label, runs) for label, runs in found if len(runs)])
        return result.ungroup() if ungroup else result


__all__ = ["GroupedRuns", "Label", "NoSuchGroup"]
