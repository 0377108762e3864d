"""``ConfigDict``: a dict whose keys are attributes."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import yaml

from flambe import ConfigDict

VALUES = {"a": {"b": 1, "items": [1, {"c": 2}]}, "keys": "x", "1": 2, 3: {"d": 4}, "e": None}


def test_attributes_and_keys_are_the_same() -> None:
    config = ConfigDict(VALUES)
    assert (config.a.b, config["a"]["b"], config.a["items"][1].c) == (1, 1, 2)
    config.a.b = 5
    config.a.new = {"deep": [{"f": 6}]}
    assert config["a"]["new"].deep[0].f == 6
    del config.a.new
    assert "new" not in config.a
    assert isinstance(config, dict)
    assert json.loads(json.dumps(config))["a"]["b"] == 5
    assert config == {**VALUES, "a": {**VALUES["a"], "b": 5}}
    assert config.get("none", 3) == 3
    assert {"a", "e"} <= set(dir(config))


def test_methods_are_never_hidden() -> None:
    config = ConfigDict(VALUES)
    assert list(config.keys()) == list(VALUES)
    assert config["keys"] == "x"
    assert config.a["items"][0] == 1
    assert dict(config.a.items())["b"] == 1
    with pytest.raises(AttributeError, match=r"'keys' is a method of dict; write config\['keys'\]"):
        config.keys = 3
    with pytest.raises(AttributeError, match="the config has no key 'bb'. Did you mean 'b'?"):
        config.a.bb
    with pytest.raises(KeyError):
        config["none"]
    assert not hasattr(config, "none")


def test_its_text_is_yaml() -> None:
    config = ConfigDict(VALUES)
    assert repr(config) == 'a:\n  b: 1\n  items:\n    - 1\n    - c: 2\nkeys: x\n"1": 2\n3:\n  d: 4\ne: null'
    assert str(ConfigDict()) == "{}"
    assert yaml.safe_load(repr(config)) == VALUES
    config.a.b = object()
    assert "object object" in repr(config)


def test_update_merges_and_copies_share_nothing() -> None:
    values = copy.deepcopy(VALUES)
    config = ConfigDict(values)
    config.update({"a": {"b": {"g": 7}}, "keys": [1]}, e=2)
    assert config.a.b.g == 7
    assert config.a["items"] == [1, {"c": 2}]
    assert (config["keys"], config.e) == ([1], 2)
    assert values == VALUES
    for other in (config.copy(), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), config.to_dict()):
        assert other == config
        other["a"]["items"].append(9)
        assert config.a["items"] == [1, {"c": 2}]
    assert type(config.to_dict()["a"]) is dict
    assert type(config.to_dict()["a"]["items"][1]) is dict
    assert isinstance(config.copy(), ConfigDict)
    config |= {"a": {"h": 8}}
    assert (config.a.h, config.setdefault("i", {"j": 9}).j) == (8, 9)
