"""Secrets: an INI file, read only where it is needed, whose values no message shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flambe.runnable import Runnable
from flambe.runnable.error import MissingSecretsError, ResourceError
from flambe.runnable.secrets import hide, hide_bytes, read_secrets, secrets_file


def write(folder: Path, text: str) -> Path:
    file = folder / "secrets.ini"
    file.write_text(text)
    return file


def test_values_with_a_percent_sign_are_values(tmp_path: Path) -> None:
    secrets = read_secrets(write(tmp_path, "[AWS]\nTOKEN = 50%(off)s!\n"))
    assert secrets["AWS"]["TOKEN"] == secrets["AWS"]["token"] == "50%(off)s!"
    assert secrets.get("AWS", "token") == "50%(off)s!"


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path) -> None:
    file = write(tmp_path, "[AWS]\nTOKEN = hunter2hunter2\n")
    secrets = read_secrets(file)
    with pytest.raises(MissingSecretsError, match=r"there is no section \[SERVICE\] in the secrets. Write it into"):
        secrets["SERVICE"]
    with pytest.raises(
        KeyError, match=rf"there is no PASSWORD in the section \[AWS\] of the secrets. Write it into {file}"
    ):
        secrets["AWS"]["PASSWORD"]
    with pytest.raises(
        MissingSecretsError, match=r"no section \[AWS\] in the secrets. Give their file by --secrets FILE"
    ):
        Runnable().config["AWS"]["TOKEN"]
    assert secrets["AWS"].get("PASSWORD") is None
    assert "SERVICE" not in secrets


@pytest.mark.parametrize(
    "text", ["TOKEN = hunter2hunter2\n", "[AWS]\nhunter2hunter2\n", "[A]\nx=1\n[A]\ny=hunter2hunter2\n"]
)
def test_a_malformed_file_is_refused_by_its_line_without_its_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(ResourceError, match=r"is no INI file \(\w+, line \d\). Write \[SECTION\]") as caught:
        read_secrets(write(tmp_path, text))
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_values_are_taken_out_of_what_is_shown(tmp_path: Path) -> None:
    read_secrets(write(tmp_path, "[AWS]\nTOKEN = hunter2hunter2\nREGION = eu\n"))
    assert hide("eu refuses hunter2hunter2.") == "eu refuses [secret]."
    assert hide_bytes(b"a hunter2hunter2") == b"a [secret]"


def test_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FLAMBE_SECRETS", raising=False)
    assert secrets_file() is None
    (tmp_path / ".flambe").mkdir()
    default = write(tmp_path / ".flambe", "")
    assert secrets_file() == default
    named = write(tmp_path, "")
    monkeypatch.setenv("FLAMBE_SECRETS", str(named))
    assert secrets_file() == named
    assert secrets_file(str(default)) == default
    with pytest.raises(MissingSecretsError, match="there is no file of secrets nowhere.ini"):
        secrets_file("nowhere.ini")


def test_every_form_of_a_value_is_taken_out(tmp_path: Path) -> None:
    read_secrets(write(tmp_path, '[A]\nquoted = say "hunter2" \\o/\nkey = first line\n  second line\n'))
    value = 'say "hunter2" \\o/'
    assert hide(value) == hide(json.dumps(value)[1:-1]) == hide(repr(value)[1:-1]) == "[secret]"
    assert hide("first line\nsecond line") == "[secret]"
    assert hide("a second line") == "a [secret]"
