"""Folders that look like runs and were made to harm whoever reads them: a seeded generator."""

from __future__ import annotations

import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

from run_writer import unit_of, write_run

SECRET = "the-secret-of-somebody-else"


class Hostile:
    """Makes folders below ``home``; what nobody may read or touch lies in ``outside``."""

    def __init__(self, home: Path, outside: Path, seed: int) -> None:
        self.home = home
        self.outside = outside
        self.random = random.Random(seed)
        outside.mkdir(parents=True)
        for name in (
            "run.json",
            "spec.json",
            "train.jsonl",
            "config.yaml",
            "info.yaml",
            "note.txt",
            "outputs.log",
            "config.yml",
        ):
            (outside / name).write_text(json.dumps({"step": 1, "loss": SECRET, "status": SECRET}) + "\n")
        (outside / "metrics").mkdir()
        (outside / "metrics" / "train.jsonl").write_text(json.dumps({"loss": SECRET}) + "\n")

    def make(self, index: int) -> Path:
        """Make one more folder, harmful in one to four ways."""
        tricks = [self.linked_file, self.linked_folder, self.names_that_lead_out, self.wrong_types, self.torn, self.huge, self.deep,
                  self.pickles, self.pipes, self.foreign, self.odd_values, self.bomb, self.endless_line, self.link_in_a_circle]  # fmt: skip
        path = write_run(
            self.home, {"lr": 0.1}, {"train": [{"step": 1, "loss": 0.5}]}, index=index, name=f"n{index % 7}"
        )
        for trick in self.random.sample(tricks, self.random.randint(1, 4)):
            trick(path)
        return path

    def _any_file(self, path: Path) -> Path:
        unit = unit_of(path)
        return self.random.choice(
            [
                path / "run.json",
                path / "spec.json",
                path / "ledger.jsonl",
                unit / "run.json",
                unit / "metrics" / "train.jsonl",
            ]
        )

    def _put(self, path: Path, data: bytes) -> None:
        if path.is_symlink() or path.exists():
            path.unlink()
        if path.parent.is_dir():
            path.write_bytes(data)

    def linked_file(self, path: Path) -> None:
        file = self._any_file(path)
        file.unlink(missing_ok=True)
        if file.parent.is_dir():
            file.symlink_to(self.outside / self.random.choice(["run.json", "train.jsonl", "note.txt"]))

    def linked_folder(self, path: Path) -> None:
        unit = unit_of(path)
        for name in self.random.sample(["metrics", "artifacts"], self.random.randint(1, 2)):
            folder = unit / name
            if folder.is_dir() and not folder.is_symlink():
                folder.rename(unit / f"old-{name}")
            if not folder.is_symlink() and unit.is_dir():
                folder.symlink_to(self.outside if name == "artifacts" else self.outside / "metrics")
        if self.random.random() < 0.3 and not (path / "stages" / "evil").is_symlink():
            (path / "stages" / "evil").symlink_to(self.outside)

    def names_that_lead_out(self, path: Path) -> None:
        up = "../" * self.random.randint(1, 9)
        names = [up + self.outside.name, "..", "/etc", f"{self.outside}", ".\0.", "a/../../.."]
        stage, variant = self.random.choice(names), self.random.choice([*names, "."])
        event = {"n": 3, "t": "2026-03-01T10:00:00.000Z", "event": "plan", "unit": f"{stage}/{variant}", "stage": stage,
                 "variant": variant, "params": {"a.b": 1}, "key": "k", "needs": {stage: "../../x"}}  # fmt: skip
        self._put(path / "ledger.jsonl", json.dumps(event).encode() + b"\n")

    def wrong_types(self, path: Path) -> None:
        odd = [
            None,
            3,
            -1,
            1e400,
            "x",
            [],
            {},
            [[]],
            {"$new": 3},
            True,
            {"$map": 1},
            {"$grid": "x"},
            {"$link": []},
            10**400,
        ]
        file = self._any_file(path)
        if not _is_small(file):
            return
        try:
            value = json.loads(file.read_text().splitlines()[0] if file.suffix == ".jsonl" else file.read_text())
        except (ValueError, OSError, IndexError):
            return
        if isinstance(value, dict):
            for name in self.random.sample(sorted(value), min(len(value), self.random.randint(1, 3))):
                if isinstance(value[name], dict) and value[name] and self.random.random() < 0.5:
                    value[name][self.random.choice(sorted(value[name]))] = self.random.choice(odd)
                else:
                    value[name] = self.random.choice(odd)
        self._put(file, json.dumps(value).encode() + b"\n")

    def torn(self, path: Path) -> None:
        file = self._any_file(path)
        if _is_small(file):
            data = file.read_bytes()
            cut = self.random.randrange(len(data) + 1)
            self._put(file, data[:cut] + self.random.choice([b"", b"\0" * 20, b"\xff\xfe", b"]}"]))

    def huge(self, path: Path) -> None:
        file = self._any_file(path)
        if file.parent.is_dir():
            file.unlink(missing_ok=True)
            with file.open("wb") as stream:
                stream.truncate(1 << 40)  # a hole: nothing of it is on the disk

    def deep(self, path: Path) -> None:
        self._put(self._any_file(path), b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n")

    def pickles(self, path: Path) -> None:
        folder = unit_of(path) / "artifacts" / "pickle"
        if folder.parent.is_symlink() or not unit_of(path).is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("last_ckpt.pkl", "run.json", "state.pt"):
            (folder / name).write_bytes(pickle.dumps(_Touch(str(self.outside / "pwned"))))
        (unit_of(path) / "artifacts.jsonl").write_text(
            '{"name": "x", "type": "own", "t": "", "size": 1, "load": "os:system"}\n'
        )

    def pipes(self, path: Path) -> None:
        file = self._any_file(path)
        if file.parent.is_dir():
            file.unlink(missing_ok=True)
            os.mkfifo(file)

    def foreign(self, path: Path) -> None:
        other = path.parent / str(self.random.randrange(1000))
        if other.exists():
            return
        (other / "metadata").mkdir(parents=True)
        (other / "metrics").mkdir()
        (other / "metadata" / "config.yaml").write_text(
            f"!!python/object/apply:os.system ['touch {self.outside}/pwned']\n"
        )
        if self.random.random() < 0.5:
            (other / "metadata" / "info.yaml").symlink_to(self.outside / "info.yaml")
        (other / "metrics" / "train.json").symlink_to(self.outside / "train.jsonl")
        third = path.parent / f"exp.{self.random.randrange(1000, 2000)}"
        third.mkdir(exist_ok=True)
        lines = ["__run__:", "  __name__: [", "a: &a [x, x]", "b: &b [*a, *a]"]
        (third / "config.yml").write_text("\n".join(self.random.sample(lines, 3)))

    def odd_values(self, path: Path) -> None:
        spec = {"flambe_spec": "1.0", "kind": "function", "name": "n", "stages": [{"name": "main", "body": {
            "$new": "flambe.runnable:Function", "config": {"": 1, "a\x1b[2J": "\x1b]0;x\x07", "b" * 5000: "c" * 50_000, "n": 10**60,
            "x": {"$new": "os:system", "$args": ["touch pwned"]}, "f": {"$file": "/etc/passwd"}, "e": {"$env": "HOME"}}}}]}  # fmt: skip
        self._put(path / "spec.json", json.dumps(spec).encode())

    def bomb(self, path: Path) -> None:
        other = path.parent / str(self.random.randrange(1000, 2000))
        if other.exists():
            return
        (other / "metadata").mkdir(parents=True)
        lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
        (other / "metadata" / "config.yaml").write_text("\n".join(lines))
        (other / "metadata" / "info.yaml").write_text("status: COMPLETE\n")

    def endless_line(self, path: Path) -> None:
        file = self.random.choice([path / "ledger.jsonl", unit_of(path) / "metrics" / "train.jsonl"])
        self._put(file, b'{"event": "' + b"x" * (1 << 20))

    def link_in_a_circle(self, path: Path) -> None:
        for place in (path.parent / "again", path / "stages" / "again"):
            if not place.is_symlink():
                place.symlink_to(self.home)


def _is_small(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 20


class _Touch:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))
