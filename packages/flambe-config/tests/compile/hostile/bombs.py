"""Small files that would be large, deep or slow, each read in a process of its own: what it takes, and how it ends.

    python bombs.py [NAME …] [--seconds 5] [--megabytes 300]

Prints a line for each: its size, CPU seconds and megabytes beyond those of a small config, and the first line of the error or ``spec``.
Ends with 1 when one of them takes more than it may, or ends in anything but an error of ours.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable

BASE_MB = 1024
"""Of addresses, beside what a bomb may take: the interpreter and its libraries map more than they use."""


def _experiment(body: str, more: str = "") -> str:
    return f"my_module: ./my_module.py\n---\n!Experiment\n{more}pipeline:\n  a: !my_module.Engine\n{body}"


def _laughs(item: str, levels: int = 12, width: int = 9) -> str:
    """Return lines of arguments that hold each other: ``item`` is one with ``%s`` for what it holds."""
    lines = [f"    x0: &x0 {item % 'lol'}\n"]
    for level in range(1, levels):
        inner = ", ".join([f"*x{level - 1}"] * width)
        lines.append(f"    x{level}: &x{level} {item % inner}\n")
    return "".join(lines)


BOMBS: dict[str, Callable[[], str]] = {
    "lists": lambda: _experiment(_laughs("[%s]")),
    "lists alone": lambda: "a: &x0 [x]\n" + "".join(f"b{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "mappings": lambda: _experiment("    x0: &x0 {a: lol}\n" + "".join(f"    x{n}: &x{n} {{a: *x{n - 1}, b: *x{n - 1}}}\n" for n in range(1, 60))),
    "tags": lambda: _experiment(_laughs("!my_module.Engine {inner: [%s]}")),
    "positions": lambda: _experiment(_laughs("!my_module.Engine [%s]")),
    "search options": lambda: _experiment(_laughs("!g [%s, 1]")),
    "samples": lambda: _experiment("    x: [" + ", ".join(["!s [0, 1000000000, 100000]"] * 3000) + "]\n"),
    "samples that are equal": lambda: _experiment("    x: &x !s [0.0, 1.0, 100000, 10]\n    y: [" + ", ".join(["*x"] * 3000) + "]\n"),
    "keys": lambda: _experiment("    x0: &x0 [a]\n" + "".join(f"    ? &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n    : 1\n" for n in range(1, 12))),
    "merges": lambda: "!Experiment\nname: &x0 {a: 1}\n" + "".join(f"k{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}\n" for n in range(1, 40)),
    "long text, many times": lambda: _experiment(f"    x: &x {'x' * 100_000}\n    y: [{', '.join(['*x'] * 20_000)}]\n"),
    "long list, many times": lambda: _experiment(f"    x: &x [{', '.join(['1'] * 3000)}]\n    y: [{', '.join(['*x'] * 3000)}]\n"),
    "brackets": lambda: "a: " + "[" * 500_000,
    "braces": lambda: "{a: " * 200_000,
    "indentation": lambda: "".join(" " * n + "a:\n" for n in range(3000)),
    "dashes": lambda: "- " * 100_000 + "a",
    "tags in tags": lambda: "".join(" " * n + "a: !my_module.Engine\n" for n in range(99)),
    "digits": lambda: _experiment(f"    x: {'9' * 1_000_000}\n    y: -{'9' * 1_000_000}\n"),
    "hexadecimal": lambda: _experiment(f"    x: 0x{'f' * 1_000_000}\n"),
    "digits of a standard tag": lambda: _experiment(f"    x: !!int '{'9' * 1_000_000}'\n    y: !!float '{'9' * 1_000_000}'\n"),
    "exponents": lambda: _experiment(f"    x: 1e999999\n    y: -1e999999\n    z: 1e{'9' * 100_000}\n"),
    "a long text": lambda: _experiment(f"    x: {'x' * 20_000_000}\n"),
    "a long key": lambda: _experiment(f"    {'k' * 1000}: 1\n    '{'q' * 1_000_000}': 1\n"),
    "a long tag": lambda: _experiment(f"    x: !{'a' * 1_000_000}\n    y: !my_module.{'b.' * 100_000}c\n    z: !torch.{'L' * 100_000}\n"),
    "a long link": lambda: _experiment(f"    x: !@ a{'[x]' * 100_000}\n    y: !@ a{'.x' * 100_000}\n    z: !@ {'b' * 1_000_000}\n"),
    "a long name": lambda: _experiment("", f"name: {'n' * 1_000_000}\n"),
    "many unknown arguments": lambda: _experiment("".join(f"    siez{n}: 1\n" for n in range(5000))),
    "many misspelt arguments": lambda: _experiment("    x: !my_module.Strict\n" + "".join(f"      siez{n}: 1\n" for n in range(5000))),
    "many misspelt classes": lambda: _experiment("".join(f"    x{n}: !my_module.Strict {{siez: 1, wieght: 2}}\n" for n in range(5000))),
    "many wrong types": lambda: _experiment("".join(f"    x{n}: !my_module.Strict {{size: x}}\n" for n in range(5000))),
    "many good classes": lambda: _experiment("".join(f"    x{n}: !my_module.Strict {{size: 1}}\n" for n in range(5000))),
    "many equal options": lambda: _experiment("    x: !g [" + ", ".join(["[1, 2, 3]"] * 10000) + "]\n"),
    "many steps": lambda: _experiment("    x: [" + ", ".join(["!quniform [0, 1, 100000]"] * 1000) + "]\n"),
    "many unknown tags": lambda: _experiment("    x: [" + ", ".join(f"!Enginee{n} {{}}" for n in range(5000)) + "]\n"),
    "many unknown links": lambda: _experiment("    x: [" + ", ".join(f"!@ aa{n}" for n in range(5000)) + "]\n"),
    "many unknown parameters": lambda: _experiment("", "".join(f"nmae{n}: 1\n" for n in range(5000))),
    "one key many times": lambda: _experiment("    x: 1\n" * 50_000),
    "many keys": lambda: _experiment("    y:\n" + "".join(f"      k{n}: {n}\n" for n in range(30_000))),
    "many documents": lambda: "---\n" * 200_000,
    "many comments": lambda: "# x\n" * 500_000,
    "a chain of links": lambda: _experiment("    size: 3\n" + "".join(f"  s{n}: !my_module.Engine\n    inner: !@ s{n - 1}[inner]\n" for n in range(1, 2000)).replace("s0[inner]", "a")),
    "many variants": lambda: _experiment("".join(f"    x{n}: !g [{', '.join(map(str, range(10)))}]\n" for n in range(60))),
    "searches in searches": lambda: _experiment("    x: " + "!g [" * 40 + "1" + ", 2]" * 40 + "\n"),
    "references": lambda: _experiment("    x0: lol\n" + "".join(f'    x{n}: "{{a.x{n - 1}}}{{a.x{n - 1}}}"\n' for n in range(1, 60))),
    "references to lists": lambda: _experiment("    x0: [lol]\n" + "".join(f'    x{n}: ["{{a.x{n - 1}}}", "{{a.x{n - 1}}}"]\n' for n in range(1, 60))),
    "a chain of references": lambda: _experiment("    x0: lol\n" + "".join(f'    x{n}: "{{a.x{n - 1}}}"\n' for n in range(1, 3000))),
    "a ring of references": lambda: _experiment('    x: "{a.y}"\n    y: "{a.x}"\n'),
    "many braces": lambda: _experiment(f'    x: "{"{" * 100_000}"\n    y: "{"{a}" * 30_000}"\n    z: "{"$" * 100_000}"\n'),
    "parents": lambda: "__default__: [wide0.yaml, wide0.yaml]\n",
    "a chain of parents": lambda: "__default__: chain0.yaml\n",
    "a device as parent": lambda: "__default__: /dev/zero\n",
    "a pipe as parent": lambda: "__default__: ./pipe\n",
}  # fmt: skip


def _folder(folder: str) -> None:
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = os.path.join(folder, "cache")
    with open("my_module.py", "w") as stream:
        stream.write("class Engine:\n    def __init__(self, size: int = 1, inner=None, **others): ...\n")
        stream.write(
            "class Strict:\n    def __init__(self, size: int = 1, weight: float = 1, width: int = 1, inner=None): ...\n"
        )
    for number in range(40):
        with open(f"wide{number}.yaml", "w") as stream:
            stream.write(f"__default__: [wide{number + 1}.yaml, ./wide{number + 1}.yaml]\na{number}: 1\n")
    for number in range(2000):
        with open(f"chain{number}.yaml", "w") as stream:
            stream.write(f"__default__: ./chain{number + 1}.yaml\na{number}: 1\n")
    os.mkfifo("pipe")


def _read(text: str) -> str:
    """Compile a text and write its spec; return the first line of what came of it."""
    from flambe.compile.compiler import compile_text
    from flambe.errors import ConfigError
    from flambe.spec.codec import dump_spec

    try:
        spec = compile_text(text, name="x", file="exp.yaml")
    except ConfigError as error:
        return f"refused: {str(error).splitlines()[0][:150]}"
    return f"spec of {len(dump_spec(spec)):,} bytes"


def explode(name: str, seconds: float, megabytes: float) -> bool:
    """Read a bomb in a process of its own, print a line, and return whether it kept to its limits."""
    text = BOMBS[name]()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        limit = int((BASE_MB + megabytes) * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 5, int(seconds) + 6))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            told = _read(text)
        except BaseException as error:
            told = f"FAILED: {type(error).__name__}: {str(error)[:200]}"
        taken, grown = time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        bad = told.startswith("FAILED") or taken > seconds or grown > megabytes
        os.write(writing, f"{len(text):10,} characters {taken:6.2f} s {grown:5.0f} MB  {told}".encode())
        os._exit(bad)
    os.close(writing)
    told = b""
    while piece := os.read(reading, 65536):
        told += piece
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    print(
        f"{'' if status == 0 else 'TOO MUCH '}{name:26}{told.decode() or f'killed by signal {os.WTERMSIG(status)}'}",
        flush=True,
    )
    return status == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BOMBS, []])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--megabytes", type=float, default=300.0)
    options = parser.parse_args()
    from flambe.cli.console import set_level

    set_level(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        _folder(folder)
        _read(_experiment("    size: 3\n"))  # what every config needs is no part of the figures
        _read("!Experiment\nnmae: 1\npipeline: {a: !Enginee {}}\n")
        kept = [explode(name, options.seconds, options.megabytes) for name in options.names or BOMBS]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
