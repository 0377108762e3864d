"""Configs of Hydra, mlxp and expyrun → ours. ``translate`` is the door."""

from __future__ import annotations

from collections.abc import Sequence

from flambe.compile.importing.translation import Note, Translation, Written


def translate(
    tool: str, folder: str, out: str, *, primary: Sequence[str] = (), main: str | None = None, as_tags: bool = False
) -> Translation:
    """Return what a folder of configs becomes. Nothing is written, nothing of the folder is run.

    tool: ``hydra``, ``mlxp`` or ``expyrun``. out: the folder that the files will be in; relative paths depend on it.
    primary: names of the configs that the program starts from. main: ``module:function``, where its decorator does not
    show it. as_tags: whether ``_target_`` becomes a tag. Raises ConfigError for files that the tool itself could not read.
    """
    if tool == "expyrun":
        from flambe.compile.importing.expyrun import ExpyrunFolder

        return ExpyrunFolder(folder, out, Translation()).translate()
    from flambe.compile.importing.hydra import HydraFolder
    from flambe.compile.importing.program import Program

    translation = Translation()
    if tool == "mlxp":
        from flambe.compile.importing.mlxp import MlxpFolder

        program = Program(
            folder, out, translation, decorators=("mlxp.launch", "mlxpy.launch", "expy.launch"), main=main
        )
        return MlxpFolder(folder, program, translation, primary=primary, as_tags=as_tags).translate()
    program = Program(folder, out, translation, decorators=("hydra.main",), main=main)
    return HydraFolder(folder, program, translation, primary=primary, as_tags=as_tags).translate()


__all__ = ["Note", "Translation", "Written", "translate"]
