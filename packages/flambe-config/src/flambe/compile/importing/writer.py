"""Trees → YAML text of our language, with the comments that stood in the file they came from."""

from __future__ import annotations

import json

from flambe.compile.dump import scalar
from flambe.compile.importing.comments import Comments
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence

_WIDTH = 100


class Writer:
    """Writes trees. comments: of each file that nodes may come from, by its name."""

    def __init__(self, comments: dict[str, Comments]) -> None:
        self._comments = comments

    def text(self, tree: Node, *, below: list[str] | None = None) -> str:
        """Return the text of a document. below: lines of comment after it."""
        head, lines = self._block(tree)
        lines = [head, *lines] if head else lines
        lines += below or []
        while lines and not lines[0]:
            del lines[0]
        while lines and not lines[-1]:
            del lines[-1]
        return "\n".join(lines) + "\n"

    def _block(self, node: Node) -> tuple[str, list[str]]:
        """Return what stands beside the key (or dash), and the lines below it, not yet indented."""
        head, lines = self._bare(node)
        if node.tag is not None:
            head = f"{node.tag} {head}".rstrip()
        return head, lines

    def _bare(self, node: Node) -> tuple[str, list[str]]:
        if isinstance(node, Scalar):
            if node.plain:
                return node.text or ("" if node.tag else "null"), []
            if "\n" in node.text and node.text.isprintable() is False and _fits_block(node.text):
                mark = "|" if node.text.endswith("\n") and not node.text.endswith("\n\n") else "|-"
                return mark, node.text.removesuffix("\n").split("\n")
            return scalar(node.text), []
        if isinstance(node, Mapping):
            return self._mapping(node)
        assert isinstance(node, Sequence)
        return self._sequence(node)

    def _mapping(self, node: Mapping) -> tuple[str, list[str]]:
        if not node.items:
            return ("" if node.tag else "{}"), []
        lines: list[str] = []
        for key, value in node.items:
            lines += self._above(key)
            head, below = self._block(value)
            assert isinstance(key, Scalar)
            name = key.text if key.plain else scalar(key.text)
            lines.append(self._with_comment(f"{name}: {head}".rstrip(), key))
            lines += ["  " + line if line else "" for line in below]
        return "", lines

    def _sequence(self, node: Sequence) -> tuple[str, list[str]]:
        flow = _flow_list(node)
        has_comments = any(self._above(item) or self._beside(item) for item in node.items[1:])
        if flow is not None and len(flow) <= _WIDTH and not has_comments:
            return flow, []
        lines: list[str] = []
        for item in node.items:
            head, below = self._block(item)
            if head and not isinstance(item, Mapping):  # else what is inside has it
                lines += self._above(item)
            first = head or (below[0] if below else "{}")
            while not head and below and (not below[0] or below[0].startswith("#")):
                lines.append(below.pop(0))
                first = below[0]
            lines.append(self._with_comment(f"- {first}", item) if head else f"- {first}")
            lines += ["  " + line if line else "" for line in (below if head else below[1:])]
        return "", lines

    def _above(self, node: Node) -> list[str]:
        comments = self._comments.get(node.position.file)
        return comments.above(node.position.line) if comments else []

    def _beside(self, node: Node) -> str | None:
        comments = self._comments.get(node.position.file)
        return comments.beside(node.position.line) if comments else None

    def _with_comment(self, line: str, node: Node) -> str:
        beside = self._beside(node)
        return f"{line}  {beside}" if beside else line


def _fits_block(text: str) -> bool:
    """Whether a text may be written with ``|``: it has no other line ends, no blanks that could be lost."""
    lines = text.removesuffix("\n").split("\n")
    plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return plain and bool(lines[0]) and not lines[0].startswith(" ") and not text.endswith("\n\n") and bool(lines[-1])


def _flow(node: Node) -> str | None:
    """Return a list of single values on one line; None for anything else."""
    if isinstance(node, Scalar):
        if node.plain:
            return node.text or "null" if node.tag is None else None
        return scalar(node.text, flow=True) if node.tag is None else f"{node.tag} {json.dumps(node.text)}"
    return _flow_list(node) if isinstance(node, Sequence) and node.tag is None else None


def _flow_list(node: Sequence) -> str | None:
    parts = [_flow(item) for item in node.items]
    return None if None in parts else f"[{', '.join(part or '' for part in parts)}]"
