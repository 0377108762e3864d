"""One suite for every destination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flambe.errors import ConfigError, MachineError, UsageError
from flambe.export.artifact import ARTIFACT, Artifact, seal, verify
from flambe.export.destinations import Destination, destination_of
from flambe.export.destinations.s3 import S3Scheme, parse


class DestinationContract:
    """What every destination has to do."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Destination:
        raise AssertionError("each destination makes its own")

    def fetch(self, address: str, folder: Path) -> Path:
        """Bring back what is at ``address``."""
        raise AssertionError(address, folder)

    def put(self, address: str, name: str) -> None:
        """Put a foreign file below ``address``."""
        raise AssertionError(address, name)

    def test_an_artifact_arrives_whole(self, place: Destination, component: Path, tmp_path: Path) -> None:
        sealed = seal(component)
        place.check(force=False)
        address = place.publish(component, sealed)
        assert verify(self.fetch(address, tmp_path / "back")) == sealed

    def test_it_is_replaced_only_by_force(
        self, place: Destination, component: Path, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        place.publish(component, seal(component))
        with pytest.raises(UsageError, match=r"not empty.*--force") as caught:
            place.check(force=False)
        assert caught.value.exit_code == 2
        other = write(tmp_path / "other", value=2.0)
        (other / "note.txt").write_text("new")
        (other / "state.json").unlink()
        place.check(force=True)
        sealed = seal(other)
        address = place.publish(other, sealed)
        assert verify(self.fetch(address, tmp_path / "back")) == sealed

    def test_force_never_touches_what_is_no_artifact(self, place: Destination, component: Path) -> None:
        address = place.publish(component, seal(component))
        self.put(address, "thesis.txt")
        with pytest.raises(UsageError, match="'thesis.txt', which is part of no artifact"):
            place.check(force=True)


class TestLocal(DestinationContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Destination:
        return destination_of("local", str(tmp_path / "deep" / "down" / "artifact"))

    def fetch(self, address: str, folder: Path) -> Path:
        return Path(address)

    def put(self, address: str, name: str) -> None:
        (Path(address) / name).write_text("mine")

    def test_an_empty_folder_is_free(self, component: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        place = destination_of("local", str(tmp_path / "empty"))
        place.check(force=False)
        place.publish(component, seal(component))
        verify(tmp_path / "empty")

    def test_nothing_is_left_beside_it(self, place: Destination, component: Path) -> None:
        address = Path(place.publish(component, seal(component)))
        place.publish(component, seal(component))
        assert [path.name for path in address.parent.iterdir()] == ["artifact"]

    def test_a_file_is_no_destination(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="is no folder"):
            destination_of("local", str(tmp_path / "file")).check(force=True)

    def test_an_address_of_another_storage_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="storage: s3"):
            destination_of("local", "s3://models")


class TestS3(DestinationContract):
    @pytest.fixture(params=["s3://models/deep/down", "s3://models"])
    def place(self, request: pytest.FixtureRequest, s3: Any) -> Destination:
        self.client = s3
        return destination_of("s3", request.param)

    def fetch(self, address: str, folder: Path) -> Path:
        folder.mkdir()
        S3Scheme().download(address, folder)
        return folder

    def put(self, address: str, name: str) -> None:
        where = parse(address)
        self.client.put_object(Bucket=where.bucket, Key=where.below(name), Body=b"mine")

    def test_a_neighbour_with_the_same_beginning_is_not_seen(self, s3: Any, component: Path) -> None:
        s3.put_object(Bucket="models", Key="abc/x", Body=b"")
        place = destination_of("s3", "s3://models/ab")
        place.check(force=False)
        place.publish(component, seal(component))
        assert not S3Scheme().exists("s3://models/a")
        assert S3Scheme().exists("s3://models/ab")

    def test_an_interrupted_upload_cannot_be_loaded_and_can_be_repeated(
        self, s3: Any, component: Path, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        place = destination_of("s3", "s3://models/torn")
        sealed = seal(component)
        (component / "model" / "state.json").unlink()
        with pytest.raises(FileNotFoundError):
            place.publish(component, sealed)
        keys = {item["Key"] for item in s3.list_objects_v2(Bucket="models")["Contents"]}
        assert "torn/artifact.json" in keys
        assert "torn/manifest.json" not in keys
        whole = write(tmp_path / "whole")
        place.check(force=True)
        place.publish(whole, seal(whole))
        verify(self.fetch("s3://models/torn", tmp_path / "back"))

    @pytest.mark.slow
    def test_more_keys_than_a_page_holds(self, s3: Any, tmp_path: Path, component: Path) -> None:
        for number in range(1005):
            (component / f"part{number:04}").write_text("")
        sealed = seal(component)
        destination_of("s3", "s3://models/wide").publish(component, sealed)
        assert verify(self.fetch("s3://models/wide", tmp_path / "back")) == sealed

    def test_a_missing_bucket_is_said(self, s3: Any) -> None:
        with pytest.raises(
            MachineError, match=r"s3://nowhere/x: S3 refused with NoSuchBucket. Create the bucket"
        ) as caught:
            destination_of("s3", "s3://nowhere/x").check(force=False)
        assert caught.value.exit_code == 4

    def test_a_dead_endpoint_is_said(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(MachineError, match="Check the network and AWS_ENDPOINT_URL"):
            destination_of("s3", "s3://models").check(force=False)


class TestScheme:
    def test_one_object_is_fetched_by_its_name(self, s3: Any, tmp_path: Path) -> None:
        s3.put_object(Bucket="models", Key="a/vectors.txt", Body=b"1 2 3")
        S3Scheme().download("s3://models/a/vectors.txt", tmp_path)
        assert (tmp_path / "vectors.txt").read_bytes() == b"1 2 3"

    def test_nothing_there_is_said(self, s3: Any, tmp_path: Path) -> None:
        assert not S3Scheme().exists("s3://models/none")
        with pytest.raises(ConfigError, match="nothing is stored at s3://models/none"):
            S3Scheme().download("s3://models/none", tmp_path)

    def test_a_key_cannot_leave_the_folder(self, s3: Any, tmp_path: Path) -> None:
        s3.put_object(Bucket="models", Key="a/../../escaped", Body=b"")
        with pytest.raises(ConfigError, match="no path below it"):
            S3Scheme().download("s3://models/a", tmp_path / "in")
        assert not (tmp_path / "escaped").exists()

    def test_the_floor_finds_the_hook(self) -> None:
        from flambe.spec.hooks import scheme

        assert isinstance(scheme("s3"), S3Scheme)


@pytest.mark.parametrize(
    ("url", "expected"), [("my-bucket", "s3://my-bucket"), ("s3:///x", "s3://bucket"), ("http://x", "s3://")]
)
def test_an_address_needs_its_scheme(url: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        destination_of("s3", url)


def test_another_storage_is_refused() -> None:
    with pytest.raises(ConfigError, match="no storage 'ftp'; expected local or s3"):
        destination_of("ftp", "x")


def test_the_record_lies_beside_the_manifest(component: Path) -> None:
    assert isinstance(seal(component), Artifact)
    assert (component / ARTIFACT).is_file()
