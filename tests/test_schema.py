"""The JSON Schemas of the spec and of records are generated from their types and committed, so that other languages can read them."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import msgspec
import pytest

from flambe.record.run import NOT_FINITE, RunRecord, StageRecord
from flambe.spec.nodes import Spec, Stage

FLOOR = Path(__file__).parent.parent / "packages/flambe-config"
PATH = FLOOR / "src/flambe/spec/schema.json"
RECORDS = FLOOR / "src/flambe/record/schema.json"


def generated(path: Path) -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if path == PATH:
        schema.update(msgspec.json.schema(Spec))
    else:
        # The record of a unit says so; that of a run says what its spec is.
        kinds, components = msgspec.json.schema_components([StageRecord, RunRecord], ref_template="#/$defs/{name}")
        # In memory it is a number always.
        components["StageRecord"]["properties"]["metric"]["anyOf"].append({"enum": list(NOT_FINITE)})
        of_unit = {"properties": {"kind": {"const": "stage"}}, "required": ["kind"]}
        schema.update({"if": of_unit, "then": kinds[0], "else": kinds[1], "$defs": components})
    return msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n"


@pytest.mark.parametrize("path", [PATH, RECORDS], ids=["spec", "record"])
def test_the_committed_schema_is_current(path: Path) -> None:
    # Run this file with Python to write it again.
    assert path.read_bytes() == generated(path)


def test_the_records_of_every_version_fit_it_and_wrong_ones_do_not() -> None:
    schema = msgspec.json.decode(RECORDS.read_bytes())
    records = sorted((FLOOR / "tests/data").rglob("run.json"))
    assert len(records) > 5
    for path in records:
        document = msgspec.json.decode(path.read_bytes())
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "status": 3}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "key" if document["kind"] == "stage" else "id": None}, schema)


def test_a_spec_fits_it_and_a_wrong_one_does_not() -> None:
    schema = msgspec.json.decode(PATH.read_bytes())
    spec = Spec(name="x", stages=[Stage(name="train", body={"$new": "flambe.learn:Trainer"}, reduce=1)])
    document = msgspec.json.decode(msgspec.json.encode(spec))
    jsonschema.validate(document, schema)
    document["stages"][0]["reduce"] = "one"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


if __name__ == "__main__":
    for path in (PATH, RECORDS):
        path.write_bytes(generated(path))
