"""Right configs have no faults: many classes of PyTorch, scikit-learn, Optuna and Tune, with arguments that they take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ZOO = Path(__file__).parent / "zoo"
LAYERS = re.findall(r"^  s\d+: (!torch\.(?!\w+ .*!@|\w+ .*!call).*)$", (ZOO / "torch.yaml").read_text(), re.M)


@pytest.mark.parametrize("name", ["torch", "others"])
def test_right_arguments_are_no_fault(name: str) -> None:
    from flambe.compile.compiler import compile_whole

    path = ZOO / f"{name}.yaml"
    compiled = compile_whole(path.read_text(), name=name, file=str(path), overrides=(), argv=())
    # Models of scikit-learn have no steps: that their schedulers decide nothing is true, and not about arguments.
    assert [one for one in compiled.warnings if "has nothing to decide" not in one.what] == []


@pytest.mark.slow
@pytest.mark.parametrize("line", LAYERS, ids=range(len(LAYERS)))
def test_the_arguments_of_the_zoo_are_right(line: str) -> None:
    from flambe.compile import yaml

    yaml.load(line)()


WRONG = {
    "!torch.Linear {in_features: 4, out_features: two}": "out_features of Linear is the text 'two'; expected an integer",
    "!torch.Linear {in_feature: 4, out_features: 2}": "Linear has no argument 'in_feature'. Did you mean 'in_features'?",
    "!torch.Linear [4]": "Linear needs the argument 'out_features'",
    "!torch.Conv2d {in_channels: 3, out_channels: 4, kernel_size: big}": "kernel_size of Conv2d is the text 'big'",
    "!torch.GELU {approximate: 3}": "approximate of GELU is 3; expected text. Put it in quotes.",
    "!torch.Dropout {p: '0.5'}": "p of Dropout is the text '0.5'; expected a number. Remove the quotes.",
    "!torch.Dropout {p: 50%}": "p of Dropout is the text '50%'; expected a number. Write 0.5.",
    "!torch.TransformerEncoder {encoder_layer: !torch.ReLU , num_layers: 2}": "encoder_layer",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_arguments_are_found(line: str) -> None:
    from flambe.compile.compiler import compile_whole
    from flambe.errors import ConfigFaults

    text = f"!Experiment\npipeline:\n  a: {line}\n"
    with pytest.raises(ConfigFaults) as caught:
        compile_whole(text, name="t", file="t", overrides=(), argv=())
    (fault,) = caught.value.faults
    assert WRONG[line] in str(fault)
