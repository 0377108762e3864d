"""What holds of every layer: its gradients are those of its values, and a row depends on nothing but itself: not on padding,
on what stands in it, on the other rows, or on their order. In double precision, so that little is allowed.

Shapes: B batch, S longest sequence, E = 4 features. A layer joins by a line in one of the tables below; a test asks for those
that are in none. Formulas are in each layer's own file.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import flambe.nn
import flambe.nn.distance
from flambe.model import LogisticRegression
from flambe.nlp.classification import TextClassifier
from flambe.nlp.fewshot import PrototypicalTextClassifier
from flambe.nlp.language_modeling import LanguageModel
from flambe.nn import (
    AvgPooling,
    CNNEncoder,
    Embedder,
    Embeddings,
    FirstPooling,
    GeneralizedPooling,
    LastPooling,
    MixtureOfSoftmax,
    MLPEncoder,
    PooledRNNEncoder,
    RNNEncoder,
    Sequential,
    SoftmaxLayer,
    StructuredSelfAttentivePooling,
    SumPooling,
    Transformer,
    TransformerDecoder,
    TransformerEncoder,
    TransformerSRU,
    TransformerSRUDecoder,
    TransformerSRUEncoder,
)
from flambe.nn.distance import (
    CosineDistance,
    CosineMean,
    EuclideanDistance,
    EuclideanMean,
    HyperbolicDistance,
    HyperbolicMean,
)
from flambe.nn.transformer import generate_square_subsequent_mask
from flambe.vision.classification import ImageClassifier

E = 4
Made = Callable[[], nn.Module]

# States [B, S, E] and their padding_mask [B, S] to [B, S, H] or [B, H].
OF_STATES: dict[str, Made] = {
    **{
        f"{kind}{' both ways' * both}": lambda kind=kind, both=both: RNNEncoder(E, 3, 2, kind, bidirectional=both)
        for kind in ("lstm", "gru", "sru")
        for both in (False, True)
    },
    **{
        f"{kind}, {pooling}": lambda kind=kind, pooling=pooling: PooledRNNEncoder(E, 3, rnn_type=kind, pooling=pooling)
        for kind, pooling in (("lstm", "last"), ("gru", "first"), ("gru", "sum"), ("lstm", "average"), ("sru", "last"))
    },
    "first": FirstPooling,
    "last": LastPooling,
    "sum": SumPooling,
    "average": AvgPooling,
    "attentive": lambda: StructuredSelfAttentivePooling(E, 3, (5, 2)),
    "generalized": lambda: GeneralizedPooling(E, (5,)),
    "transformer": lambda: TransformerEncoder(E, 6, 2, 2, 8, dropout=0),
    "transformer, as wide": lambda: TransformerEncoder(E, E, 2, 1, 8, dropout=0),
    "sru transformer": lambda: TransformerSRUEncoder(E, 6, 2, 2, 8, dropout=0),
    "sru transformer both ways": lambda: TransformerSRUEncoder(E, 6, 2, 2, 4, dropout=0, bidirectional=True),
}

# A target [B, S, E] with its padding, and what it looks at.
OF_TWO: dict[str, Made] = {
    "encoder and decoder": lambda: Transformer(E, 6, 2, 1, 2, 8, dropout=0),
    "decoder": lambda: TransformerDecoder(E, E, 2, 2, 8, dropout=0),
    "sru encoder and decoder": lambda: TransformerSRU(E, 6, 2, 2, 2, 8, dropout=0),
    "sru decoder": lambda: TransformerSRUDecoder(E, E, 2, 2, 8, dropout=0),
}

# Ids [B, S], 0 for padding.
OF_IDS: dict[str, Made] = {
    "embeddings": lambda: Embeddings(9, E),
    "embeddings with sines": lambda: Embeddings(9, E, positional_encoding=True),
    "embeddings with learned places": lambda: Embeddings(9, E, positional_encoding=True, positional_learned=True),
    "embedder": lambda: Embedder(Embeddings(9, E), RNNEncoder(E, 3, bidirectional=True), "average"),
    "embedder of an mlp": lambda: Embedder(Embeddings(9, E), MLPEncoder(E, 3), LastPooling()),
    "embedder of a transformer": lambda: Embedder(
        Embeddings(9, E, positional_encoding=True), TransformerEncoder(E, 6, 2, 1, 8, dropout=0), GeneralizedPooling(6)
    ),
    "text classifier": lambda: TextClassifier(
        Embedder(Embeddings(9, E), PooledRNNEncoder(E, 3, rnn_type="gru")), SoftmaxLayer(3, 5)
    ),
    "language model": lambda: LanguageModel(Embedder(Embeddings(9, E), RNNEncoder(E, E)), SoftmaxLayer(E, 9), tie_weights=True),
}  # fmt: skip

# Whole rows of numbers: what comes in for one row, without the batch.
OF_ROWS: dict[str, tuple[Made, tuple[int, ...]]] = {
    "mlp": (lambda: MLPEncoder(E, 3, 2, nn.Tanh(), 5, nn.PReLU()), (E,)),
    "softmax": (lambda: SoftmaxLayer(E, 3), (E,)),
    "softmax of positions": (lambda: SoftmaxLayer(E, 3, take_log=False, mlp_layers=2), (2, E)),
    "mixture of softmaxes": (lambda: MixtureOfSoftmax(E, 5, k=3), (E,)),
    "mixture of one": (lambda: MixtureOfSoftmax(E, 5, take_log=False), (2, E)),
    "sequential": (lambda: Sequential(first=nn.Linear(E, 3), then=nn.Tanh()), (E,)),
    "logistic regression": (lambda: LogisticRegression(E), (E,)),
    "cnn 1d": (lambda: CNNEncoder(2, [3, 2], 1, 3, nn.Tanh(), nn.AvgPool1d(2), batch_norm=False), (2, 12)),
    "cnn 2d": (lambda: CNNEncoder(2, [3, 2], 2, [(3, 2), 3], nn.Tanh(), padding=1), (2, 6, 5)),
    "cnn 3d": (lambda: CNNEncoder(1, [2], 3, 2, nn.Tanh(), stride=2), (1, 4, 4, 4)),
    "image classifier": (
        lambda: ImageClassifier(CNNEncoder(1, [2], activation=nn.Tanh()), SoftmaxLayer(18, 3)),
        (1, 5, 5),
    ),
    "euclidean distance": (lambda: To(EuclideanDistance()), (E,)),
    "cosine distance": (lambda: To(CosineDistance()), (E,)),
    "hyperbolic distance": (lambda: To(HyperbolicDistance()), (E,)),
}

# Sets of points [N, E]: their order is of no consequence, all of them are.
OF_SETS: dict[str, Made] = {"euclidean": EuclideanMean, "cosine": CosineMean, "hyperbolic": HyperbolicMean}


class To(nn.Module):
    """Distances to three points that stay."""

    def __init__(self, distance: nn.Module) -> None:
        super().__init__()
        self.distance = distance
        self.points = nn.Parameter(torch.randn(3, E))

    def forward(self, data: Tensor) -> Tensor:
        return self.distance(data, self.points)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Running SRU on CPU")
        yield


def made(make: Made, name: str) -> nn.Module:
    if "sru" in name and importlib.util.find_spec("sru") is None:
        pytest.skip("sru is not installed")
    return make().double()


def ragged(rows: int = 5, longest: int = 6) -> tuple[Tensor, Tensor]:
    """States and mask of random lengths, the longest and an empty row among them."""
    lengths = torch.cat([torch.tensor([longest, 0]), torch.randint(1, longest + 1, (rows - 2,))])
    return torch.randn(rows, longest, E).double(), torch.arange(longest) < lengths[:, None]


def first_of(output: Any) -> Tensor:
    """States, of layers that give a recurrent state too."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


def check_gradients(layer: nn.Module, call: Callable[..., Any], *data: Tensor) -> None:
    """Compare the gradient of all parameters and of ``data`` with a quotient of differences, and find it finite."""
    layer.train()
    # A tied parameter is there once. All numbers are one vector, so that one direction is tried in place of one for each.
    named = {name: p.detach() for name, p in layer.named_parameters() if p.requires_grad}
    parts = [*named.values(), *(each for each in data if each.is_floating_point())]
    numbers = torch.cat([part.flatten() for part in parts]).requires_grad_()

    def run(numbers: Tensor) -> Tensor:
        split = numbers.split([part.numel() for part in parts])
        values = iter(flat.view_as(part) for flat, part in zip(split, parts, strict=True))
        parameters = {name: next(values) for name in named}
        given = [next(values) if each.is_floating_point() else each for each in data]
        return first_of(call(lambda *a, **k: functional_call(layer, parameters, a, k), *given))

    assert torch.autograd.gradcheck(run, numbers, fast_mode=True, check_undefined_grad=False, nondet_tol=1e-10)
    (gradient,) = torch.autograd.grad(run(numbers).square().sum(), numbers)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


def check_rows(call: Callable[[Tensor, Tensor, Tensor], Any], data: Tensor, mask: Tensor) -> None:
    """Each row alone, with more padding and in another order gives what it gave. ``call(data, mask, numbers of the rows)``."""
    rows = torch.arange(len(data))
    plain = first_of(call(data, mask, rows)).detach()
    assert plain.dtype == torch.double
    assert torch.isfinite(plain).all()

    real = mask if data.dim() == 2 else mask.unsqueeze(-1)
    junk = torch.zeros_like(data[:, :2]) if data.dim() == 2 else torch.full_like(data[:, :2], 100.0)
    longer = torch.cat([torch.where(real, data, junk[:1, :1]), junk], dim=1)
    padded = first_of(call(longer, torch.cat([mask, torch.zeros_like(mask[:, :2])], dim=1), rows))
    order = torch.randperm(len(data))
    turned = first_of(call(data[order], mask[order], order))[order.argsort()]

    for row, length in enumerate(mask.sum(dim=1).tolist()):
        # Of a layer that gives states for positions, those at padding do not count.
        kept = slice(0, length) if plain.dim() == 3 else slice(None)
        torch.testing.assert_close(padded[row, kept], plain[row, kept])
        torch.testing.assert_close(turned[row, kept], plain[row, kept])
        if length:
            one = slice(row, row + 1)
            alone = first_of(call(data[one, :length], mask[one, :length], rows[one]))
            torch.testing.assert_close(alone[0], plain[row, kept])


@pytest.mark.parametrize("name", OF_STATES)
def test_layers_of_states(name: str) -> None:
    layer = made(OF_STATES[name], name)
    data, mask = ragged()
    check_gradients(layer, lambda call, data, mask: call(data, padding_mask=mask), data, mask)
    layer.eval()
    check_rows(lambda data, mask, rows: layer(data, padding_mask=mask), *ragged())


@pytest.mark.parametrize("name", OF_TWO)
def test_layers_of_two_sequences(name: str) -> None:
    layer = made(OF_TWO[name], name)
    whole = isinstance(layer, (Transformer, TransformerSRU))
    masks = ("src_key_padding_mask", "tgt_key_padding_mask") if whole else ("memory_key_padding_mask", "padding_mask")

    def run(call: Any, source: Tensor, data: Tensor, source_mask: Tensor, mask: Tensor) -> Any:
        both = (source, data) if whole else (data, source)
        causal = generate_square_subsequent_mask(data.size(1)).double()
        return call(*both, tgt_mask=causal, **dict(zip(masks, (source_mask, mask), strict=True)))

    (source, source_mask), (data, mask) = ragged(longest=3), ragged()
    check_gradients(layer, run, source, data, source_mask, mask)
    layer.eval()
    check_rows(lambda data, mask, rows: run(layer, source[rows], data, source_mask[rows], mask), data, mask)
    check_rows(lambda source, seen, rows: run(layer, source, data[rows], seen, mask[rows])[:, :1], source, source_mask)


@pytest.mark.parametrize("name", OF_IDS)
def test_layers_of_ids(name: str) -> None:
    layer = made(OF_IDS[name], name)
    _, mask = ragged()
    ids = torch.where(mask, torch.randint(1, 9, mask.shape), 0)

    def run(call: Any, ids: Tensor) -> Tensor:
        output = first_of(call(ids))
        # The vector of padding has no gradient, and that is right: it stays as it is.
        return output * (ids != 0).unsqueeze(-1) if isinstance(layer, Embeddings) else output

    check_gradients(layer, run, ids)
    layer.eval()
    check_rows(lambda ids, mask, rows: layer(ids), ids, mask)


@pytest.mark.parametrize("name", OF_ROWS)
def test_layers_of_rows(name: str) -> None:
    make, shape = OF_ROWS[name]
    layer = made(make, name)
    data = torch.randn(4, *shape).double()
    check_gradients(layer, lambda call, data: call(data), data)
    layer.eval()
    plain = layer(data)
    torch.testing.assert_close(layer(data.flip(0)).flip(0), plain)
    torch.testing.assert_close(torch.cat([layer(row.unsqueeze(0)) for row in data]), plain)


@pytest.mark.parametrize("name", OF_SETS)
def test_means_of_sets(name: str) -> None:
    mean = made(OF_SETS[name], name)
    points = torch.randn(5, E).double()
    check_gradients(mean, lambda call, points: call(points), points)
    mean.eval()
    torch.testing.assert_close(mean(points.flip(0)), mean(points))


def test_no_layer_is_left_out() -> None:
    rows = [make for make, _ in OF_ROWS.values()]
    tested: set[type] = {PrototypicalTextClassifier}  # takes a support besides: test_fewshot
    for make in (*OF_STATES.values(), *OF_TWO.values(), *OF_IDS.values(), *OF_SETS.values(), *rows):
        tested |= {type(module) for module in (make().modules())}
    rooms = (flambe.nn, flambe.nn.distance)
    public = {
        kind for room in rooms for kind in (getattr(room, name) for name in room.__all__) if inspect.isclass(kind)
    }
    bases = {flambe.nn.Module, flambe.nn.distance.DistanceModule, flambe.nn.distance.MeanModule}
    assert public - bases - tested == set()
