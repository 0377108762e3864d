"""Extensions from git: reading their addresses, and the clones that are kept in the user's folder.

``<data folder>/flambe/extensions/<module>/`` holds ``repo.git``, which is fetched again later, and one checkout for each
commit that was asked for. A checkout never changes, so a run that goes on for days keeps the code that it began with.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flambe.cli.console import say
from flambe.errors import ConfigError, did_you_mean

LARGE_MB = 100
_COMMIT = re.compile(r"[0-9a-f]{7,40}\Z")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2")
_TREE = re.compile(r"(?P<url>.+?)(?:\.git)?/(?:-/)?tree/(?P<tree>.+)\Z")
_BITBUCKET = re.compile(r"(?P<url>https?://bitbucket\.org/[^/]+/[^/]+)/src/(?P<tree>.+)\Z")


class GitSource(NamedTuple):
    """An address of code. url: what git clones. ref: branch, tag or commit; None is the default branch.

    folder: where in the repository, "" for its root. tree: branch and folder in one (``feature/x/sub/folder``), as web
    addresses have them; only the repository can tell where one ends.
    """

    url: str
    ref: str | None = None
    folder: str = ""
    tree: str = ""


class Checkout(NamedTuple):
    """The files of one commit. folder: the extension's, in them. source: the address with its commit, as a spec has it."""

    folder: Path
    commit: str
    source: str


def parse_source(text: str) -> GitSource | None:
    """Return the git address that ``text`` is, None when it is none.

    Forms: ``https://host/user/repo[/tree/BRANCH/folder]``, ``ssh://…``, ``git@host:user/repo.git``, ``file:///…``, pip's
    ``git+URL@REF#subdirectory=FOLDER``. Raises ``ConfigError`` for an address that holds a password.
    """
    if text.startswith("git+"):
        rest, _, fragment = text.removeprefix("git+").partition("#")
        folder = next((part[13:] for part in fragment.split("&") if part.startswith("subdirectory=")), "")
        start = rest.find("/", rest.find("://") + 3)
        url, at, ref = rest[start:].partition("@")
        return GitSource(_url(rest[:start] + url), ref if at else None, _folder(folder))
    if re.match(r"[\w.-]+@[\w.-]+:(?!/)", text):
        host, _, path = text.partition(":")
        return parse_source(f"ssh://{host}/{path}")
    if os.path.isabs(text) and text.endswith(".git"):
        return GitSource(f"file://{text}")
    if not re.match(r"(https?|ssh|git|file)://", text) or text.partition("#")[0].endswith(_ARCHIVES):
        return None
    tree = _BITBUCKET.match(text) or _TREE.match(text)
    if tree is None or (text.startswith("file://") and os.path.isdir(text.removeprefix("file://"))):
        return GitSource(_url(text.rstrip("/")))
    return GitSource(_url(tree["url"]), tree=tree["tree"].strip("/"))


def _url(text: str) -> str:
    if re.match(r"\w+://[^/@]*:[^/@]*@", text):
        # The text is not shown: it is a secret.
        what, hint = "the address of an extension holds a password", "Leave it to git's credential helper."
        raise ConfigError(what, rule="extension-source", hint=hint)
    # git has no "ssh://host:user/repo", which people write all the same; a port is a number.
    return re.sub(r"\A(ssh://[^/:]+):(?!\d+/)", r"\1/", text)


def _folder(text: str) -> str:
    folder = text.strip("/")
    if ".." in folder.split("/"):
        raise ConfigError(f"the folder {text!r} leaves its repository", rule="extension-source")
    return folder


def extensions_folder() -> Path:
    """Return the folder that holds the clones; the user's data folder of the platform."""
    import platformdirs

    return Path(platformdirs.user_data_dir("flambe", appauthor=False)) / "extensions"


def fetch(module: str, source: GitSource) -> Checkout:
    """Clone a repository, or fetch what is new in it, and return the checkout of what ``source`` asks for.

    A clone of another address is replaced. Raises ``ConfigError`` when git cannot fetch it, or has no such branch or commit.
    """
    place = extensions_folder() / module
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        repository = place / "repo.git"
        if _origin(repository) not in (None, source.url):
            for name in os.listdir(place):
                if name != "lock":
                    shutil.rmtree(place / name)
        if not repository.exists():
            say(f"cloning {source.url}")
            aside = place / "repo.git.new"
            shutil.rmtree(aside, ignore_errors=True)
            _git(["clone", "--quiet", "--bare", "--", source.url, str(aside)], source)
            os.rename(aside, repository)
        elif not (source.ref and len(source.ref) == 40 and _commit(repository, source.ref)):
            say(f"fetching {source.url}")
            refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
            _git(["fetch", "--quiet", "--prune", "origin", *refs], source, repository)
        found = _resolve(repository, source)
        if found is None and source.ref is not None and _COMMIT.match(source.ref):
            # A commit that no branch holds any more.
            _git(["fetch", "--quiet", "origin", source.ref], source, repository)
            found = _resolve(repository, source)
        if found is None:
            raise _no_ref(repository, source)
        commit, folder = found
        checkout = place / commit
        if not checkout.exists():
            aside = place / f"{commit}.new"
            shutil.rmtree(aside, ignore_errors=True)
            _git(["clone", "--quiet", "--local", "--no-checkout", "--", str(repository), str(aside)], source)
            _git(["-C", str(aside), "checkout", "--quiet", "--detach", commit], source)
            os.rename(aside, checkout)
    _warn_of_size()
    return _as_checkout(checkout, commit, folder, source)


def fetched(module: str, source: GitSource) -> Checkout | None:
    """Return the checkout that an earlier ``fetch`` left; None when there is none. Nothing is fetched."""
    place = extensions_folder() / module
    if _origin(place / "repo.git") != source.url:
        return None
    found = _resolve(place / "repo.git", source)
    if found is None or not (place / found[0]).exists():
        return None
    return _as_checkout(place / found[0], found[0], found[1], source)


def _as_checkout(checkout: Path, commit: str, folder: str, source: GitSource) -> Checkout:
    whole = checkout / folder
    if not whole.exists():
        raise ConfigError(f"{source.url} has no folder {folder!r} at {commit[:12]}", rule="extension-source")
    below = f"#subdirectory={folder}" if folder else ""
    return Checkout(whole, commit, f"git+{source.url}@{commit}{below}")


def _resolve(repository: Path, source: GitSource) -> tuple[str, str] | None:
    """Return commit and folder. Of ``a/b/c`` the longest beginning that is a branch, tag or commit is the branch."""
    if not source.tree:
        commit = _commit(repository, source.ref or "HEAD")
        return None if commit is None else (commit, source.folder)
    parts = source.tree.split("/")
    for size in range(len(parts), 0, -1):
        commit = _commit(repository, "/".join(parts[:size]))
        if commit is not None:
            return commit, _folder("/".join(parts[size:]))
    return None


def _commit(repository: Path, ref: str) -> str | None:
    # Never a bare name: git would also take "main~3", "@{yesterday}" or an option for one.
    names = ["HEAD"] if ref == "HEAD" else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    if _COMMIT.match(ref):
        names.append(ref)
    for name in names:
        if re.search(r"[\s~^:?*\[\\]|\.\.|@\{", name):
            continue
        done = _run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], repository)
        if done.returncode == 0:
            return done.stdout.strip().splitlines()[-1]
    return None


def _no_ref(repository: Path, source: GitSource) -> ConfigError:
    done = _run(["for-each-ref", "--format=%(refname:lstrip=2)"], repository)
    known = done.stdout.split()
    asked = source.ref or source.tree or "HEAD"
    hint = did_you_mean(asked, known)
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return ConfigError(
        f"{source.url} has no branch, tag or commit {asked!r}",
        rule="extension-source",
        expected=None if hint or not known else f"one of {shown}",
        hint=hint,
    )


def _origin(repository: Path) -> str | None:
    if not repository.is_dir():
        return None
    return _run(["config", "--get", "remote.origin.url"], repository).stdout.strip() or ""


def _git(words: Sequence[str], source: GitSource, repository: Path | None = None) -> None:
    done = _run(words, repository)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next(
            (line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), " ".join(lines[-2:])
        )
        raise ConfigError(
            f"git cannot fetch {source.url}: {said}",
            rule="extension-source",
            hint=f"Does `git ls-remote {source.url}` work in this terminal?",
        )


def _run(words: Sequence[str], repository: Path | None = None) -> subprocess.CompletedProcess[str]:
    # What git was told about the folder that flambe is called in, in a hook say, is not for this repository.
    environment = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    environment["LC_ALL"] = "C"
    place = [] if repository is None else ["--git-dir", str(repository)]
    try:
        return subprocess.run(
            ["git", *place, *words], capture_output=True, text=True, errors="replace", check=False, env=environment
        )
    except FileNotFoundError:
        hint = "Install it, or name a local folder."
        raise ConfigError("git is not installed", rule="extension-source", hint=hint) from None


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _warn_of_size() -> None:
    root = extensions_folder()
    size = sum(
        os.lstat(os.path.join(folder, name)).st_size for folder, _, files in os.walk(root) for name in files
    )  # a hard link counts each time, which is what a copy of the folder would take
    if size > LARGE_MB << 20:
        say(f"warning: {root} holds {size >> 20} MB of extensions; delete the folders of those you do not use any more")
