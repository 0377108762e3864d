"""Where a path of a config lies."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flambe.errors import ConfigError, near_file

PACKAGE = "package:"


def locate(path: str) -> Path:
    """Return the place of ``path``: a file or folder, or ``package:NAME/rest`` for data that an installed package ships.

    The package is found, not imported: nothing of it runs.

    Raises
    ------
    ConfigError: there is nothing; or the package is not installed.
    """
    if path.startswith(PACKAGE):
        name, _, rest = path.removeprefix(PACKAGE).partition("/")
        found = importlib.util.find_spec(name) if name.isidentifier() else None
        folders = list((found.submodule_search_locations if found else None) or ())
        if not folders:
            raise ConfigError(
                f"{path}: there is no installed package {name!r}", hint="Install the distribution that ships it"
            )
        places = [Path(folder) / rest for folder in folders]
    else:
        places = [Path(path).expanduser()]
    for place in places:
        if place.exists():
            return place
    hint: str | None
    if path.startswith(PACKAGE):
        hint = "Is it another version of the package?"
    elif places[0].is_absolute():
        hint = near_file(str(places[0]))
    else:
        hint = (
            f"A relative path is looked for in the current folder, {Path.cwd()}. Written `!file ./{path.removeprefix('./')}` it begins at "
            "the YAML file"
        )
    raise ConfigError(f"{path} does not exist", hint=hint)
