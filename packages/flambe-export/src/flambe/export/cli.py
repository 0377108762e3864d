"""``flambe-build``: from a builder's YAML, or its spec, to an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.console import say
from flambe.cli.door import enter, standing_options
from flambe.cli.given import given_options, install_for
from flambe.cli.streams import emit_json, read_text
from flambe.errors import UsageError

if TYPE_CHECKING:
    from flambe.spec.nodes import Spec

BUILDERS = ("flambe.export.builder:Builder", "flambe.export:Builder")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--force", is_flag=True, help="Replace the artifact that is at the destination.")
@click.option("--inspect", metavar="PATH", help="Print what the component at PATH is made of, and build nothing.")
@click.option("--verify", metavar="PATH", help="Check every file of the artifact at PATH against its digest.")
@click.option("--diff", nargs=2, metavar="A B", help="Print how the components at A and B differ.")
@given_options
@standing_options("flambe-export")
def command(
    file: str,
    force: bool,
    inspect: str | None,
    verify: str | None,
    diff: tuple[str, str] | None,
    install_extensions: bool,
) -> int:
    """Build the component that FILE describes and store it: a folder, or s3://.

    FILE is a YAML file with a !Builder, or a spec; "-" reads a spec from stdin. One line of JSON comes out:
    {"artifact": ADDRESS, "digest": SHA-256, "files": COUNT, "bytes": SUM, "component": CLASS}.

    \b
    Examples:
      flambe-build builder.yaml
      flambe-compile builder.yaml | flambe-build --force | jq -r .digest
      flambe-build --verify s3://models/sentiment
      flambe-build --diff models/old models/new

    PATH, A and B are folders or s3:// addresses; any saved component can be inspected, also one of a run.
    Exit codes: 0 done, 1 the component could not be built or --diff found a difference, 2 wrong usage, 3 --verify found a
    change, 4 S3 refused.
    """
    looks = [name for name, value in (("--inspect", inspect), ("--verify", verify), ("--diff", diff)) if value]
    if len(looks) > 1:
        raise UsageError(f"{' and '.join(looks)} were both given", expected="one of them")
    if looks and (file != "-" or force):
        raise UsageError(f"{looks[0]} builds nothing, but {'--force' if force else file} was given too")
    if inspect:
        emit_json(_inspect(inspect))
    elif verify:
        emit_json(_verify(verify))
    elif diff:
        found = _diff(*diff)
        emit_json(found)
        return 0 if found["equal"] else 1
    else:
        emit_json(build_artifact(read_builder(file, install=install_extensions), force=force))
    return 0


def read_builder(file: str, *, install: bool = False) -> Spec:
    """Read a spec (``-`` is stdin), or compile a YAML file. install: its extensions.

    Raises UsageError when it is not that of a builder.
    """
    from flambe.spec.codec import load_spec
    from flambe.spec.nodes import NEW

    if file == "-" or file.endswith(".json"):
        spec = load_spec(read_text(file, what="spec"), where="stdin" if file == "-" else file)
        if install:
            install_for([spec])
    else:
        from flambe.compile import compile_file

        spec = compile_file(file, install=install)
    made = spec.stages[0].body.get(NEW) if len(spec.stages) == 1 and isinstance(spec.stages[0].body, dict) else None
    if made not in BUILDERS:
        raise UsageError(
            f"{'stdin' if file == '-' else file} describes {'an experiment' if spec.kind == 'experiment' else made}",
            expected="a !Builder",
            hint="flambe run FILE starts the tool that fits.",
        )
    return spec


def build_artifact(spec: Spec, *, force: bool = False) -> dict[str, Any]:
    """Build the component of a builder's spec, store it, and return the row that ``flambe-build`` prints.

    Raises FlambeError when it cannot be built, UsageError when the destination is not free.
    """
    from flambe.build.builder import Scope, build
    from flambe.build.trust import import_extensions
    from flambe.runner.seeding import seed_everything
    from flambe.spec.hooks import codecs

    (stage,) = spec.stages
    for codec in codecs().values():
        codec.prepare(threads=1)
    import_extensions(spec.environment.extensions)
    # A component with weights of its own has to come out the same each time.
    seed_everything(spec.seed)
    builder = build(stage.body, scope=Scope(stage=stage.name))
    builder.run(force=force, extensions=spec.environment.extensions)
    artifact = builder.artifact
    say(f"{artifact.component} is at {builder.address}: {len(artifact.files)} files, {artifact.bytes:,} bytes")
    return {
        "artifact": builder.address,
        "digest": artifact.digest,
        "files": len(artifact.files),
        "bytes": artifact.bytes,
        "component": artifact.component,
    }


def _inspect(address: str) -> dict[str, Any]:
    from flambe.export.inspection import inspect

    with _folder(address) as folder:
        return {**inspect(folder), "artifact": address}


def _verify(address: str) -> dict[str, Any]:
    from flambe.export.artifact import verify

    with _folder(address) as folder:
        artifact = verify(folder)
    return {"artifact": address, "digest": artifact.digest, "files": len(artifact.files), "verified": True}


def _diff(one: str, other: str) -> dict[str, Any]:
    from flambe.export.inspection import differences

    with _folder(one) as a, _folder(other) as b:
        return differences(a, b)


@contextmanager
def _folder(address: str) -> Iterator[Path]:
    """Give the folder of a component; what is stored elsewhere is fetched into one that goes again."""
    if "://" not in address:
        if not Path(address).is_dir():
            raise UsageError(f"{address} is no folder")
        yield Path(address)
        return
    import tempfile

    from flambe.spec.hooks import scheme

    with tempfile.TemporaryDirectory(prefix="flambe-build-") as scratch:
        scheme(address.partition("://")[0]).download(address, Path(scratch))
        yield Path(scratch)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-build`` and return its exit code."""
    return enter(command, "flambe-build", argv)
