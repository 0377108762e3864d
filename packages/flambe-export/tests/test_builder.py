from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambe
from flambe.errors import ConfigError, UsageError
from flambe.export import Builder, Exporter
from flambe.export.artifact import verify


@pytest.fixture
def group() -> Exporter:
    return Exporter(
        weights=np.arange(6, dtype=np.float32).reshape(2, 3),
        threshold=0.5,
        names=["neg", "pos"],
        inner=Exporter(deep=7),
    )


def same(one: Any, other: Any) -> bool:
    return bool(
        np.array_equal(one.weights, other.weights)
        and one.threshold == other.threshold
        and one.names == other.names
        and one.inner.deep == other.inner.deep
    )


class TestExporter:
    def test_every_keyword_is_an_attribute(self, group: Exporter) -> None:
        assert group.threshold == 0.5
        assert group.inner.deep == 7
        assert group.run() is False

    def test_it_comes_back_as_it_was(self, group: Exporter, tmp_path: Path) -> None:
        flambe.save(group, str(tmp_path / "group"))
        assert same(flambe.load(str(tmp_path / "group")), group)
        assert flambe.load(str(tmp_path / "group" / "inner")).deep == 7

    def test_a_changed_value_is_state(self, group: Exporter, tmp_path: Path) -> None:
        group.threshold = 0.75
        flambe.save(group, str(tmp_path / "group"))
        assert flambe.load(str(tmp_path / "group")).threshold == 0.75

    def test_what_cannot_be_saved_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(flambe.errors.FlambeError, match="handle"):
            flambe.save(Exporter(handle=object()), str(tmp_path / "group"))


class TestBuilder:
    def test_a_folder(self, group: Exporter, tmp_path: Path) -> None:
        builder = Builder(group, str(tmp_path / "artifact"))
        assert builder.run() is False
        assert builder.artifact == verify(tmp_path / "artifact")
        assert same(flambe.load(str(tmp_path / "artifact")), group)

    def test_s3(self, group: Exporter, s3: Any) -> None:
        builder = Builder(group, "s3://models/group", storage="s3")
        builder.run()
        assert builder.address == "s3://models/group"
        assert same(flambe.load("s3://models/group"), group)

    def test_equal_components_have_equal_digests(self, group: Exporter, tmp_path: Path) -> None:
        digests = set()
        for name in ("one", "two"):
            builder = Builder(group, str(tmp_path / name))
            builder.run()
            assert builder.artifact
            digests.add(builder.artifact.digest)
        group.threshold = 0.9
        other = Builder(group, str(tmp_path / "three"))
        other.run()
        assert other.artifact
        assert len(digests) == 1
        assert other.artifact.digest not in digests

    def test_force(self, group: Exporter, tmp_path: Path) -> None:
        builder = Builder(group, str(tmp_path / "artifact"))
        builder.run()
        with pytest.raises(UsageError, match="--force"):
            builder.run()
        builder.run(force=True)
        builder.save_local(force=True)
        verify(tmp_path / "artifact")

    def test_save_s3_wants_an_address_on_s3(self, group: Exporter, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no address on S3"):
            Builder(group, str(tmp_path / "artifact")).save_s3()

    @pytest.mark.parametrize("option", [{"pickle_only": True}, {"pickle_module": "dill"}])
    def test_no_pickle(self, group: Exporter, option: dict[str, Any]) -> None:
        with pytest.raises(
            ConfigError, match=r"stores no pickle: .* runs whatever code .* Leave out pickle_only"
        ) as caught:
            Builder(group, "x", **option)
        assert caught.value.exit_code == 2

    def test_no_archive(self, group: Exporter) -> None:
        with pytest.raises(ConfigError, match="stores folders, not archives"):
            Builder(group, "x", compress=True)

    def test_the_old_protocol_number_does_nothing(self, group: Exporter, tmp_path: Path) -> None:
        Builder(group, str(tmp_path / "artifact"), pickle_protocol=2).run()
        verify(tmp_path / "artifact")
