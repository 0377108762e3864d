"""``flambe-compile``: YAML in, spec out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flambe.cli.brief import brief
from flambe.cli.console import say
from flambe.cli.ending import run_to_end
from flambe.cli.streams import emit, emit_lines, read_text
from flambe.errors import ConfigError, ConfigFaults

if TYPE_CHECKING:
    from flambe.compile.compiler import Compiled
    from flambe.errors import Notice


def answer(
    file: str,
    overrides: Sequence[str] = (),
    *,
    check: bool = False,
    expand: bool = False,
    count: bool = False,
    stage: str | None = None,
    explain: str | None = None,
    form: str | None = None,
    install: bool = False,
) -> int:
    """Compile a file (``-`` is stdin), write what is asked for, and return the exit code. The options are those of ``command``."""
    from flambe.compile.compiler import compile_whole, name_of
    from flambe.compile.yaml import LARGEST

    text = read_text(file, what="config", largest=LARGEST)
    shown = "<stdin>" if file == "-" else file
    compiled: Compiled | None = None
    fault: ConfigError | None = None
    try:
        compiled = compile_whole(
            text, name=name_of(file), file=shown, overrides=overrides, argv=sys.argv, install=install
        )
        warnings = compiled.warnings
    except ConfigError as error:
        fault = error
        warnings = error.warnings if isinstance(error, ConfigFaults) else []
    if check and form in ("json", "sarif"):
        _diagnose(fault, warnings, text, shown, form)
        return 0 if fault is None else fault.exit_code
    for warning in warnings:
        say(f"flambe-compile: warning: {warning}")
    if compiled is None:
        assert fault is not None
        raise fault
    if check:
        if len(compiled.files) > 1:
            say(f"flambe-compile: {len(compiled.files)} files checked")
        return 0
    if explain is not None:
        _explain(compiled, explain, text, shown, overrides, form)
    elif count:
        from flambe.compile.search import total

        emit(str(total(compiled.spec)))
    elif stage == "composed":
        from flambe.compile.compose import Composer
        from flambe.compile.dump import tree_to_yaml

        emit(text if len(compiled.files) == 1 else tree_to_yaml(*Composer([]).config(text, shown)))
    elif stage == "raw":
        emit(text if compiled.raw is None else compiled.raw)
    elif expand:
        _expand(compiled)
    elif compiled.follows:
        raise compiled.undecided()
    elif stage == "resolved" or form == "yaml":
        from flambe.record.provenance import spec_to_yaml

        emit(spec_to_yaml(compiled.spec))
    else:
        from flambe.spec.codec import dump_spec

        emit(dump_spec(compiled.spec).decode())
    return 0


def _expand(compiled: Compiled) -> None:
    """Write every concrete spec. The origins of the values, which say the same each time, go into the first line only."""
    from flambe.spec.codec import dump_spec

    def lines() -> Iterator[bytes]:
        for number, spec in enumerate(compiled.variants()):
            if number:
                spec.origins = {}
            yield dump_spec(spec) + b"\n"

    emit_lines(lines())


def _diagnose(fault: ConfigError | None, warnings: Sequence[Notice], text: str, file: str, form: str) -> None:
    import flambe
    from flambe.compile.diagnostics import diagnose, to_json, to_sarif

    found = diagnose(fault, warnings, text, file)
    emit(to_json(found, file) if form == "json" else to_sarif(found, file, flambe.__version__))


def _explain(compiled: Compiled, key: str, text: str, file: str, overrides: Sequence[str], form: str | None) -> None:
    from flambe.compile.explain import explain
    from flambe.spec.codec import dump_json

    found = explain(compiled, key, text, file, overrides)
    emit(dump_json(found.document()).decode() if form == "json" else found.text())


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-compile``."""
    return brief(lambda: _main(sys.argv[1:])) if argv is None else _main(argv)


def _main(words: Sequence[str]) -> int:
    if words and all(word == "-" or not word.startswith("-") for word in words):
        # Nothing here is for click to read; to load it takes longer than to compile a file.
        return run_to_end(lambda: answer(words[0], words[1:]), "flambe-compile")
    from flambe.cli.door import enter
    from flambe.compile.command import command

    return enter(command, "flambe-compile", words)


if __name__ == "__main__":
    sys.exit(main())
