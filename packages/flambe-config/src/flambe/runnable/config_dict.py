"""``ConfigDict``: plain data whose keys are attributes too."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from flambe.errors import did_you_mean


class ConfigDict(dict[str, Any]):
    """A dict whose keys are attributes too: ``config.model.num_layers``, or ``config["model"]["num_layers"]``.

    Mappings in it, those inside of lists included, are of this class, whatever way they came in. A key that is called as a method
    (``items``) is reached with brackets; the method stays. ``repr`` is YAML.
    """

    def __init__(self, values: Mapping[Any, Any] | None = None, **more: Any) -> None:
        super().__init__()
        self.update(values or {}, **more)

    def __getattr__(self, name: str) -> Any:
        # Called for what is no method only. Copying and pickling ask for names that no config has.
        if name in self and not name.startswith("__"):
            return self[name]
        hint = did_you_mean(name, [key for key in self if isinstance(key, str)])
        raise AttributeError(f"the config has no key {name!r}{f'. {hint}' if hint else ''}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(dict, name):
            raise AttributeError(f"{name!r} is a method of dict; write config[{name!r}] = …")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"the config has no key {name!r}")
        del self[name]

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _as_config(value))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, which is ``default`` from now on where there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Take values over. Mappings are merged to any depth; lists and single values are replaced whole."""
        for key, value in dict(values, **more).items():
            mine = self.get(key)
            if isinstance(mine, ConfigDict) and isinstance(value, Mapping):
                mine.update(value)
            else:
                self[key] = value

    def __ior__(self, values: Any) -> ConfigDict:  # type: ignore[override,misc]
        self.update(values)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the same values in plain dicts and lists, which share nothing with these."""
        return {key: _as_plain(value) for key, value in self.items()}

    def copy(self) -> ConfigDict:
        """Return a copy whose mappings and lists are its own."""
        return ConfigDict(self.to_dict())

    def __deepcopy__(self, memo: dict[int, Any]) -> ConfigDict:
        return ConfigDict({key: copy.deepcopy(value, memo) for key, value in self.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return (ConfigDict, (dict(self),))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(key for key in self if isinstance(key, str) and key.isidentifier())]

    def __repr__(self) -> str:
        from flambe.compile.dump import node_to_yaml
        from flambe.spec.codec import escape

        try:
            return node_to_yaml(escape(self.to_dict())).rstrip("\n")
        except TypeError:  # the function has put something else than data into it
            return dict.__repr__(self)


def _as_config(value: Any) -> Any:
    if isinstance(value, ConfigDict):
        return value
    if isinstance(value, Mapping):
        return ConfigDict(value)
    if type(value) is list:
        return [_as_config(item) for item in value]
    if type(value) is tuple:
        return tuple(_as_config(item) for item in value)
    return value


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_plain(item) for key, item in value.items()}
    if type(value) is list:
        return [_as_plain(item) for item in value]
    return tuple(_as_plain(item) for item in value) if type(value) is tuple else value


__all__ = ["ConfigDict"]
