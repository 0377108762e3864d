"""The JSON Schema of the spec is generated from its types and committed, so that other languages can read it."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import msgspec
import pytest

from flambe.spec.nodes import Spec, Stage

PATH = Path(__file__).parent.parent / "packages/flambe-config/src/flambe/spec/schema.json"


def generated() -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Spec)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n"


def test_the_committed_schema_is_current() -> None:
    # Run this file with Python to write it again.
    assert PATH.read_bytes() == generated()


def test_a_spec_fits_it_and_a_wrong_one_does_not() -> None:
    schema = msgspec.json.decode(PATH.read_bytes())
    spec = Spec(name="x", stages=[Stage(name="train", body={"$new": "flambe.learn:Trainer"}, reduce=1)])
    document = msgspec.json.decode(msgspec.json.encode(spec))
    jsonschema.validate(document, schema)
    document["stages"][0]["reduce"] = "one"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


if __name__ == "__main__":
    PATH.write_bytes(generated())
