"""Wheels of the flambe that is installed here, so that machines get exactly the local version.

They are packed from the installed files themselves (the checkout in developer mode), without a builder and without
the package index, and byte for byte the same for the same files.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flambe.errors import FlambeError

_EPOCH = (1980, 1, 1, 0, 0, 0)


def distributions() -> dict[str, metadata.Distribution]:
    """Return the installed distributions of flambe by name."""
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions():
        name = _normal(one.metadata["Name"] or "")
        if name.startswith("flambe-"):
            found.setdefault(name, one)
    return dict(sorted(found.items()))


def versions() -> dict[str, str]:
    """Return name → version of the installed distributions of flambe."""
    return {name: one.version for name, one in distributions().items()}


def checkout_of(distribution: metadata.Distribution) -> Path | None:
    """Return the project folder of an editable installation (developer mode), None for a regular one."""
    text = distribution.read_text("direct_url.json")
    direct = json.loads(text) if text else {}
    if not direct.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(direct["url"]).path))


def pack(distribution: metadata.Distribution, folder: Path) -> Path:
    """Write the wheel of an installed distribution into ``folder`` and return its path."""
    name = _normal(distribution.metadata["Name"] or "").replace("-", "_")
    stem = f"{name}-{distribution.version}"
    contents: dict[str, bytes] = dict(sorted(_modules(distribution)))
    if not contents:
        raise FlambeError(f"the files of {name} {distribution.version} cannot be found here", hint="Install it anew.")
    for part in ("METADATA", "entry_points.txt"):
        text = distribution.read_text(part)
        if text:
            contents[f"{stem}.dist-info/{part}"] = text.encode()
    contents[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: flambe-cluster\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n".encode()
    target = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return target


def constraints() -> list[str]:
    """Return ``name==version`` of everything that the installed flambe distributions need, and that is here."""
    pinned: dict[str, str] = {}
    waiting = list(distributions())
    while waiting:
        name = waiting.pop()
        try:
            one = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name in pinned:
            continue
        # Local versions (2.13.0+cpu) are of one index only; the public part matches all of them.
        pinned[name] = one.version.partition("+")[0]
        for line in one.requires or []:
            needed = re.match(r"[A-Za-z0-9._-]+", line)
            if needed and "extra ==" not in line:
                waiting.append(_normal(needed.group()))
    return sorted(f"{name}=={version}" for name, version in pinned.items() if not name.startswith("flambe-"))


def _modules(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    checkout = checkout_of(distribution)
    if checkout is not None:
        source = checkout / "src"
        for path in (source / "flambe").rglob("*"):
            place = path.relative_to(source)
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in place.parts):
                yield place.as_posix(), path.read_bytes()
        return
    for file in distribution.files or []:
        if file.parts[0] == "flambe" and file.suffix != ".pyc":
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
