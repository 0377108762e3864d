"""Hostile input: texts, words of a command line, links and JSON, from nothing or from real ones that were damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

_TAGS = (
    "g s @ link Link ref call FunctionCallLink copy choice uniform normal beta quniform seeds file env cluster ClusterResource "
    "$ PickledDataLink Experiment Pipeline Environment Trainer Evaluator SSTDataset TextField LabelField TextClassifier Embedder "
    "PooledRNNEncoder torch torch. torch.Adam torch.nn.Linear torch.hub.load torch.os.system torch.load torch.StepLR torch.relu "
    "ray.ASHAScheduler ray.tune.run os.system subprocess.Popen builtins.eval my_module.Engine my_module.Engine.make "
    "my_module.os.system my_module.subprocess.Popen my_module.own_yaml my_module._private my_module.__class__ my_module "
    "my_package.deep.Engine my_package.deep flambe flambe. flambe.compile.cli.main flambe.learn.Trainer __main__.X .a a..b a.b.c.d.e "
    "! !str !int !float !null !bool !binary !set !omap !map !seq !timestamp !merge !python/object/apply:os.system !python/name:os.system "
    "<tag:yaml.org,2002:str> <!x> <x> %C3%A9 %00 : TextField: g: x!y e!x é"
)
TAGS = _TAGS.split()
SCALARS = (
    "", "~", "null", "true", "no", "0", "-1", "+3", "1_000", "0o17", "0x1F", "1e-3", "1e999999", "-.inf", ".nan", "1.", ".5", "1:30",
    "2001-12-14", "9" * 30, "9" * 5000, "-" + "1" * 400, "1" + "0" * 999 + ".0", "0x" + "f" * 900, "a", "gru", "train", "model",
    "dataset.text.vocab_size", "model[embedder][encoder].hidden_size", "train[model].trainable_params", "train[model", "[x]", ".x", "a..b",
    "a[0][-1]['0']", "model.__class__.__init__.__globals__", "model[__dict__]", "a[99999999999999999999]", "words.txt", "./words.txt",
    "/etc/passwd", "../../x", "https://u:p@h/x", "file:///etc/passwd", "s3://b/k", "http://[::1", "git+https://h/r@c", "git@h:r.git",
    "./my_module.py", "my_module", "-e .", "torch>=1", "{a.b}", "{train.max_steps}", "{..x}", "{", "}", "{{", "{}", "$HOME", "${HOME}", "$",
    "$$", "${", "$new", "$link", "$grid", "$map", "$fault", "@x", "base.yaml", "loop.yaml", "!x", "*a", "&a", "<<", "? x", "- x", "a: b", "#",
    "'", '"', '"\\0"', '"\\ud800"', '"\\x1b[2J"', '"\\u202e"', "|\n  x", ">\n  x", "\t", "\ufeff", "é" * 40, "x" * 3000, "日本", "\x85", "\u2028",
    "\x1b[31m", "\x00", "\ud800", "aGk=", "__import__('os')", "%s%n", "NaN", "Infinity",
)  # fmt: skip
_KEYS = (
    "name pipeline stages resume debug devices save_path resources search schedulers reduce env max_failures stop_on_failure merge_plot "
    "user_provider seed ordering algorithm cpus_per_trial gpus_per_trial local remote extensions local_files remote_files extra output_path "
    "dataset model train transform text label embedder embedding encoder optimizer params lr max_steps size inner a b c my_module my_package "
    "torch os __default__ __new_key_policy__ __run__ __main__ __name__ __output_dir__ __class__ $new $args $link $grid 0 1 -1 1.5 ~ << é"
)
KEYS = _KEYS.split()
WORDS = (
    "train.max_steps=2", "+train.x=5", "++a.b.c=1", "~train", "~", "=", "a=", "=a", "--", "--a", "--seed", "--seed=3", "--train.max_steps", "2",
    "name=7", "seed=1,2,3", "seed=range(1, 10, 2)", "seed=range(0, 99999999999)", "seed=range(1,2,0)", "a=range(9,1)", "a=!g [1, 2]", "a=!s [0, 1, 3]",
    "train=@words.txt", "train=@nothing.yaml", "train=@", "a=[", "a={", "a='", "a=*x", "a=&x 1", "a: b", "...=1", "a..b=1", "\ud800=1", "name=\udcff",
    "pipeline.train=1", "pipeline={}", "model.0=1", "a.-1=2", "\x00=\x00", "a=!os.system x", "schedulers.train=!ray.ASHAScheduler", "a=---\n---",
    "{a}={b}", "name={seed}", "name=$HOME", "+x={x}", "+__default__=base.yaml", "name=" + "x" * 5000, "seed=" + "9" * 5000, "seed=1e9", "seed=-1",
)  # fmt: skip

PARENTS = (
    "base.yaml", "./base.yaml", "loop.yaml", "[base.yaml, ./base.yaml]", "words.txt", "nothing.yaml", ".", "/dev/zero", "/dev/null", "../base.yaml", "[]",
    "$HOME/x", "{name}", "!x y", "3", "~/x", "x\\0y", "base.yaml, base.yaml", "chain0.yaml", "pipe", '"\\0"', "*a", "!file base.yaml", "/proc/self/mem", "/etc/shadow",
)  # fmt: skip
_ODD = "\x00\x07\x1b\x7f\x85\xa0\xad\u200b\u2028\u202e\ufeff\ufffe\uffff\U0001f600\U000e0001\ud800\udfff\t\r\n:-?[]{},#&*!|>'\"%@`~$ \\/=<.0aé"


class Inputs:
    """Makes hostile inputs from a corpus of real configs and specs; equal generators give equal inputs."""

    def __init__(self, configs: Sequence[str], specs: Sequence[bytes]) -> None:
        self._configs = configs
        self._specs = [json.loads(spec) for spec in specs]

    # Texts -------------------------------------------------------------------------------------------------------

    def text(self, rng: random.Random) -> str:
        """Return a text that a config could be."""
        kind = rng.random()
        if kind < 0.5:
            return self._damaged(rng)
        if kind < 0.85:
            return self._written(rng)
        if kind < 0.92:
            return self._experiment(rng)
        if kind < 0.95:
            return self._sound(rng)
        if kind < 0.99:
            return "".join(rng.choice(_ODD) for _ in range(rng.randint(0, 60)))
        return rng.choice(_TALL)(rng)

    def _damaged(self, rng: random.Random) -> str:
        text = rng.choice(self._configs)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
            text = rng.choice(_DAMAGES)(text, rng)
        if rng.random() < 0.1:
            other = rng.choice(self._configs)
            text = text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]
        return text

    def _written(self, rng: random.Random) -> str:
        head = ""
        if rng.random() < 0.4:
            head = rng.choice(
                ("my_module: ./my_module.py\n", "my_package: .\nmy_module: my_module.py\n", "!Environment\n" + block(rng, 0, 3), block(rng, 0, 2),
                 "os: os\n", "torch: torch\n", "my_module: git+https://h/r@0123456789abcdef0123456789abcdef01234567\n")
            ) + "---\n"  # fmt: skip
        return (
            head
            + rng.choice((block, flow))(rng, 0, rng.randint(1, 5))
            + ("\n" if rng.random() < 0.9 else "\n---\n" * rng.randint(1, 3))
        )

    def _experiment(self, rng: random.Random) -> str:
        stages = "".join(f"  {rng.choice(KEYS)}: {flow(rng, 0, 3)}\n" for _ in range(rng.randint(0, 4)))
        more = "".join(f"{rng.choice(KEYS)}: {flow(rng, 0, 2)}\n" for _ in range(rng.randint(0, 3)))
        if rng.random() < 0.3:
            more += f"__default__: {rng.choice(PARENTS)}\n"
        extension = "my_module: ./my_module.py\n---\n" if rng.random() < 0.7 else ""
        return f"{extension}!{rng.choice(('Experiment', 'Pipeline'))}\n{more}pipeline:\n  e: &e !my_module.Engine\n    size: 3\n{stages}"

    def _sound(self, rng: random.Random) -> str:
        """Return a config without faults, so that what comes after the checks is reached too."""
        values = ("3", "[1, 2]", "!g [1, 2]", "!g {a: 1, b: 2.5}", "!s [0, 9, 4]", "!s [0.0, 1.0, 3, 2]", "!uniform [0, 1]", "!quniform [0, 1, 3]", "!normal [0, 1]", "!@ e", "!@ e.size",
                  "!call e.make", "!copy e", "*e", "!g [!my_module.Engine {size: !g [1, 2]}, *e]", "!file ./words.txt", "!env HOME", "{1: 2, ~: x, $a: .nan}", "!!binary aGk=", "!my_module.Own {a: [1]}",
                  "!torch.nn.Linear [1, 2]", "[[], {}, '', ~]", "!env X", '"\\x1b"')  # fmt: skip
        stages = "".join(
            f"  s{n}: !my_module.Engine\n    inner: {rng.choice(values)}\n    names: [{rng.choice(values)}, {rng.choice(values)}]\n"
            for n in range(rng.randint(0, 3))
        )
        return f"my_module: ./my_module.py\n---\n!Experiment\nseed: {rng.choice(('3', '!seeds 3', '!seeds [1, 2]', '0'))}\npipeline:\n  e: &e !my_module.Engine {{size: 3}}\n{stages}"

    def words(self, rng: random.Random) -> list[str]:
        """Return what may follow the file on a command line."""
        found = [rng.choice(WORDS) for _ in range(rng.randint(0, 3))]
        if rng.random() < 0.4:
            found.append(
                f"{rng.choice(('', '+', '++', '~', '--'))}{rng.choice(KEYS)}.{rng.choice(KEYS)}={flow(rng, 0, 2)}"
            )
        if found and rng.random() < 0.2:
            found[0] = _exchanged(found[0], rng)
        return found

    def link(self, rng: random.Random) -> str:
        """Return the text of a link."""
        parts = (
            "a",
            "model",
            "[a]",
            "[0]",
            "[-1]",
            "['0']",
            '["x"]',
            ".a",
            "._b",
            ".__class__",
            "[",
            "]",
            ".",
            " ",
            "'",
            "é",
            "[a",
            "]]",
            "[ ]",
            "9" * 20,
            "\x00",
        )
        return "".join(rng.choice(parts) for _ in range(rng.randint(0, 7)))

    # JSON --------------------------------------------------------------------------------------------------------

    def spec(self, rng: random.Random) -> bytes:
        """Return bytes that a spec could be."""
        return self.json(rng.choice(self._specs), rng)

    def json(self, document: Any, rng: random.Random) -> bytes:
        """Return a damaged copy of a document, as bytes."""
        changed = document
        for _ in range(rng.choice((1, 1, 2, 4))):
            changed = _changed(changed, rng, rng.randint(0, 7))
        data = json.dumps(changed).encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            at = rng.randint(0, len(data))
            data = (
                data[:at]
                + rng.choice((b"", b"\xff", b"[" * 300, b'"', b"\\ud800", b"NaN", b"1e999", b"9" * 5000))
                + data[at + rng.randint(0, 9) :]
            )
        return data


def scalar(rng: random.Random) -> str:
    """Return a value, sometimes quoted."""
    text = rng.choice(SCALARS)
    quote = rng.random()
    return f"'{text}'" if quote < 0.1 else f'"{text}"' if quote < 0.2 else text


def _properties(rng: random.Random) -> str:
    anchor = f"&{rng.choice('abc')} " if rng.random() < 0.12 else ""
    tag = f"!{rng.choice(TAGS)} " if rng.random() < 0.45 else ""
    return anchor + tag


def flow(rng: random.Random, depth: int, most: int) -> str:
    """Return a value in one line."""
    kind = rng.random()
    if depth >= most or kind < 0.35:
        return f"*{rng.choice('abc')}" if rng.random() < 0.12 else _properties(rng) + scalar(rng)
    items = [flow(rng, depth + 1, most) for _ in range(rng.randint(0, 4))]
    if kind < 0.6:
        return f"{_properties(rng)}[{', '.join(items)}]"
    return _properties(rng) + "{" + ", ".join(f"{key(rng)}: {item}" for item in items) + "}"


def block(rng: random.Random, depth: int, most: int) -> str:
    """Return a value in lines of its own, each ended."""
    pad = "  " * depth
    lines = []
    for _ in range(rng.randint(1, 4)):
        before = f"{pad}- " if rng.random() < 0.15 else f"{pad}{key(rng)}: "
        if depth < most and rng.random() < 0.4:
            lines.append(f"{before}{_properties(rng)}\n{block(rng, depth + 1, most)}")
        else:
            lines.append(f"{before}{flow(rng, 0, 2)}\n")
    top = _properties(rng) + "\n" if depth == 0 and rng.random() < 0.5 else ""
    return top + "".join(lines)


def key(rng: random.Random) -> str:
    """Return the key of a mapping."""
    return rng.choice(KEYS) if rng.random() < 0.85 else _properties(rng) + scalar(rng)


# Damages: text → text -------------------------------------------------------------------------------------------------


def _cut(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.choice((1, 1, 5, 40)) :]


def _inserted(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    what = rng.choice((scalar, _properties, lambda rng: rng.choice(_ODD), lambda rng: flow(rng, 0, 2)))(rng)
    return text[:at] + what + text[at:]


def _exchanged(text: str, rng: random.Random) -> str:
    at = rng.randint(0, max(len(text) - 1, 0))
    return text[:at] + rng.choice(_ODD) + text[at + 1 :]


def _line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    change = rng.randrange(6)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines.insert(rng.randint(0, len(lines)), lines[at])
    elif change == 2:
        lines[at] = " " * rng.randint(1, 4) + lines[at]
    elif change == 3:
        lines[at] = lines[at].lstrip()
    elif change == 4:
        name, colon, _ = lines[at].partition(": ")
        lines[at] = f"{name}{colon}{flow(rng, 0, 3)}"
    else:
        name, colon, value = lines[at].partition(": ")
        lines[at] = f"{name}{colon}{_properties(rng)}{value}"
    return "\n".join(lines)


def _truncated(text: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


_DAMAGES: tuple[Callable[[str, random.Random], str], ...] = (
    _cut,
    _inserted,
    _inserted,
    _exchanged,
    _line,
    _line,
    _line,
    _truncated,
)

# Tall and wide texts: a little slower than others, and no more than that ----------------------------------------------

_TALL: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: "a: " + "[" * rng.randint(1, 3000),
    lambda rng: "{a: " * rng.randint(1, 400) + "1" + "}" * rng.randint(0, 400),
    lambda rng: "!Experiment\npipeline:\n" + "".join(f"{'  ' * depth}a:\n" for depth in range(1, rng.randint(2, 200))),
    lambda rng: f"!my_module.Engine\nsize: {'x' * rng.randint(1, 100_000)}\n",
    lambda rng: f"!{'a.' * rng.randint(1, 3000)}b\n",
    lambda rng: f"!@ {'a' + '[x]' * rng.randint(1, 2000)}\n",
    lambda rng: f"!g [{', '.join(str(n) for n in range(rng.randint(1, 3000)))}]",
    lambda rng: f"!s [0, 1, {rng.choice((1, 1000, 99999, 10**9, 10**30))}]",
    lambda rng: "".join(f"k{n}: {n}\n" for n in range(rng.randint(1, 3000))),
    lambda rng: (
        "a: &a0 [x, x]\n" + "".join(f"b{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, rng.randint(2, 40)))
    ),
    lambda rng: "a: " + rng.choice(("9", "0x9", "1e9", "-")) + "9" * rng.randint(1, 200_000),
)


# JSON -----------------------------------------------------------------------------------------------------------------

_NODES: tuple[Any, ...] = (
    None, True, -1, 2**70, 1e300, "", "x", "../x", "\x00", "\ud800", [], {}, [[]], {"$new": "os:system"}, {"$new": "builtins:eval", "$args": ["1"]},
    {"$new": 3}, {"$new": "a"}, {"$link": []}, {"$link": ["train", {}]}, {"$link": ["a"], "attr": ["__class__"]}, {"$link": ["a"], "call": 3},
    {"$grid": []}, {"$grid": [1], "names": [1]}, {"$grid": 3}, {"$uniform": [1]}, {"$normal": "x"}, {"$quniform": [0, 1, 1e99]}, {"$map": [[1]]},
    {"$map": [[{}, 1]]}, {"$float": "x"}, {"$float": []}, {"$bytes": "!"}, {"$bytes": 1}, {"$env": []}, {"$file": 3}, {"$yaml": "!x"}, {"$later": 1},
    {"x": {"$new": "torch.hub:load"}}, "1.0", "1.9", "2.0", "1." + "9" * 30, {"$saved": "../.."}, {"$result": {"path": "/"}}, {"$tensor": "x"},
)  # fmt: skip


def _changed(value: Any, rng: random.Random, depth: int) -> Any:
    """Return a copy of a document with one thing changed at about ``depth``."""
    if depth <= 0 or not isinstance(value, dict | list) or not value:
        return rng.choice(_NODES)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return [*value, value[at]]
        if kind < 0.2:
            return value[:at] + value[at + 1 :]
        return [*value[:at], _changed(value[at], rng, depth - 1), *value[at + 1 :]]
    name = rng.choice(list(value))
    kind = rng.random()
    if kind < 0.1:
        return {key: item for key, item in value.items() if key != name}
    if kind < 0.2:
        return {(rng.choice(KEYS) if key == name else key): item for key, item in value.items()}
    if kind < 0.3:
        return {
            **value,
            rng.choice(("$new", "$link", "$grid", "$args", "attr", "names", "probs", "x")): rng.choice(_NODES),
        }
    return {**value, name: _changed(value[name], rng, depth - 1)}
