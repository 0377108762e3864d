"""Artifacts on S3, or on anything that speaks its protocol (set ``AWS_ENDPOINT_URL``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from flambe.errors import ConfigError, FlambeError, MachineError, UsageError
from flambe.export.artifact import ARTIFACT, Artifact, decode, encode
from flambe.record.layout import MANIFEST


class Address(NamedTuple):
    """``s3://bucket/key``; ``key`` has no slash at either end and may be empty."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    def below(self, name: str) -> str:
        """Return the full key of ``name`` below this address."""
        return f"{self.key}/{name}" if self.key else name

    @property
    def prefix(self) -> str:
        """What all keys below this address start with. Ends in a slash: ``models/a`` is not above ``models/ab``."""
        return f"{self.key}/" if self.key else ""


def parse(url: str) -> Address:
    """Take ``s3://bucket[/key]`` apart. Raises ConfigError for anything else, such as a bare bucket name."""
    if not url.startswith("s3://"):
        raise ConfigError(f"{url!r} is no address on S3", expected=f"s3://{url.strip('/') or 'bucket'}")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{url!r} names no bucket", expected="s3://bucket or s3://bucket/folder")
    return Address(bucket, key.strip("/"))


def connect() -> Any:
    """Return a boto3 S3 client, configured as boto3 does: environment, profile, instance role."""
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise FlambeError(
            "s3:// needs boto3, which is not installed", hint="pip install 'flambe-export[s3]'"
        ) from error
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client("s3")
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"boto3 cannot be set up: {error}") from error


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn boto3's errors into one line that says what was being done and what helps."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise MachineError(
            f"{what}: no AWS credentials were found",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        ) from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        hints = {
            "NoSuchBucket": "Create the bucket first: aws s3 mb.",
            "AccessDenied": "The credentials in use may not do this.",
        }
        raise MachineError(f"{what}: S3 refused with {code}", hint=hints.get(code)) from error
    except (BotoCoreError, Boto3Error) as error:
        raise MachineError(f"{what}: {error}", hint="Check the network and AWS_ENDPOINT_URL.") from error


def keys_below(client: Any, address: Address) -> list[str]:
    """Return the names of everything stored below ``address``, relative to it, sorted."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=address.prefix)
    keys = (item["Key"] for page in pages for item in page.get("Contents", ()))
    # Consoles mark a folder with an empty object whose key ends in a slash.
    return sorted(key[len(address.prefix) :] for key in keys if not key.endswith("/"))


def _is_object(client: Any, address: Address) -> bool:
    if not address.key:
        return False
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=address.key)
    return any(item["Key"] == address.key for page in pages for item in page.get("Contents", ()))


class S3Destination:
    """A bucket, or a folder in one.

    S3 has no rename, so order makes an artifact whole: ``artifact.json`` goes first (it names what may be replaced
    after an interruption) and the root's manifest last (nothing loads without it).
    """

    def __init__(self, address: str) -> None:
        self.address = parse(address)

    def check(self, *, force: bool) -> None:
        client = connect()
        with refusals(f"looking at {self.address}"):
            found = set(keys_below(client, self.address))
            if not found:
                return
            if not force:
                raise UsageError(
                    f"{self.address} is not empty", hint="Name another destination, or replace it with --force."
                )
            foreign = sorted(found - {ARTIFACT, *self._earlier(client, found)})
        if foreign:
            raise UsageError(
                f"{self.address} holds {foreign[0]!r}, which is part of no artifact",
                hint="--force replaces an earlier artifact and deletes nothing else. Name another destination.",
            )

    def publish(self, folder: Path, artifact: Artifact) -> str:
        client = connect()
        bucket = self.address.bucket
        with refusals(f"storing {self.address}"):
            earlier = {*self._earlier(client, set(keys_below(client, self.address)))}
            for name in sorted(earlier, key=lambda name: name != MANIFEST):
                client.delete_object(Bucket=bucket, Key=self.address.below(name))
            client.put_object(Bucket=bucket, Key=self.address.below(ARTIFACT), Body=encode(artifact))
            for name in sorted(artifact.files, key=lambda name: (name == MANIFEST, name)):
                client.upload_file(str(folder / name), bucket, self.address.below(name))
        return str(self.address)

    def _earlier(self, client: Any, found: set[str]) -> list[str]:
        """Return the files of the artifact that is there now, or of what an interrupted upload left of one."""
        if ARTIFACT not in found:
            return []
        body = client.get_object(Bucket=self.address.bucket, Key=self.address.below(ARTIFACT))["Body"].read()
        return [name for name in decode(body, where=f"{self.address}/{ARTIFACT}").files if name in found]


class S3Scheme:
    """``flambe.load("s3://…")``: the hook ``flambe.scheme`` for ``s3``."""

    version = 1

    def download(self, url: str, destination: Path) -> None:
        """Fetch the object, or everything below ``url``, into the folder ``destination``.

        Raises ConfigError when nothing is there, MachineError when S3 refuses.
        """
        address, client = parse(url), connect()
        with refusals(f"reading {url}"):
            if _is_object(client, address):
                wanted = [(address.key, PurePosixPath(address.key).name)]
            else:
                wanted = [(address.below(name), name) for name in keys_below(client, address)]
            if not wanted:
                raise ConfigError(f"nothing is stored at {url}")
            for key, name in wanted:
                if any(part in ("", ".", "..") for part in name.split("/")):
                    raise ConfigError(f"{url} holds the key {key!r}, which is no path below it")
                target = destination / name
                target.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(address.bucket, key, str(target))

    def exists(self, url: str) -> bool:
        """Whether an object is at ``url``, or below it."""
        address, client = parse(url), connect()
        with refusals(f"looking at {url}"):
            return _is_object(client, address) or bool(keys_below(client, address))

    def names(self, url: str) -> list[str]:
        """Return the names of all objects below ``url``, relative to it, sorted. Raises MachineError when S3 refuses."""
        address, client = parse(url), connect()
        with refusals(f"looking at {url}"):
            return keys_below(client, address)

    def upload(self, file: Path, url: str) -> None:
        """Store a file at ``url``; readers see it as a whole or not at all. Raises MachineError when S3 refuses."""
        address, client = parse(url), connect()
        with refusals(f"storing {url}"):
            client.upload_file(str(file), address.bucket, address.key)
