"""Distances and means."""

from __future__ import annotations

import pytest
import torch

from flambe.nn.distance import (
    CosineDistance,
    DistanceModule,
    EuclideanDistance,
    HyperbolicDistance,
    HyperbolicMean,
    MeanModule,
    get_distance_module,
    get_mean_module,
)
from flambe.nn.distance import hyperbolic as h

NAMES = ["euclidean", "cosine", "hyperbolic"]


def points(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=torch.double)


def test_euclidean() -> None:
    torch.testing.assert_close(
        EuclideanDistance()(points(3), points(5, seed=1)), torch.cdist(points(3), points(5, seed=1)) ** 2
    )


def test_cosine() -> None:
    a, b = points(3), points(5, seed=1)
    torch.testing.assert_close(CosineDistance()(a, b), 1 - torch.cosine_similarity(a[:, None], b[None], dim=2))
    assert torch.equal(CosineDistance()(torch.zeros(1, 4), torch.ones(1, 4)), torch.ones(1, 1))


def test_hyperbolic_is_that_of_the_poincare_ball() -> None:
    a, b = points(3), points(5, seed=1)
    lifted_a, lifted_b = h.project(a), h.project(b)
    torch.testing.assert_close(h.mdot(lifted_a, lifted_a), -torch.ones(3, dtype=torch.double))
    ball_a, ball_b = (x[:, 1:] / (1 + x[:, :1]) for x in (lifted_a, lifted_b))
    gap = (ball_a[:, None] - ball_b[None]).square().sum(2)
    scale = (1 - ball_a.square().sum(1))[:, None] * (1 - ball_b.square().sum(1))[None]
    torch.testing.assert_close(HyperbolicDistance()(a, b), torch.acosh(1 + 2 * gap / scale) ** 2)


def test_every_feature_counts() -> None:
    for name in NAMES:
        for place in range(3):
            one, other = torch.ones(1, 3), torch.ones(1, 3)
            other[0, place] = 4
            assert get_distance_module(name)(one, other).item() > 1e-3, (name, place)


def test_maps_are_inverse() -> None:
    x, y = h.project(points(4)), h.project(points(4, seed=1))
    torch.testing.assert_close(h.exp_map(x, h.log_map(x, y)), y)
    torch.testing.assert_close(h.norm(h.log_map(x, y)), h.dist(x, y))
    torch.testing.assert_close(h.loss(x, y), h.dist(x, y).square().sum())


def test_hyperbolic_mean_is_the_nearest_point() -> None:
    data = points(6)
    mean = HyperbolicMean().eval()(data)

    def cost(point: torch.Tensor) -> torch.Tensor:
        return h.loss(h.project(point), h.project(data))

    point = mean.clone().requires_grad_()
    cost(point).backward()
    assert point.grad is not None
    assert point.grad.abs().max() < 1e-6
    assert all(cost(mean) < cost(mean + 0.05 * step) for step in points(10, seed=3))
    torch.testing.assert_close(HyperbolicMean().train()(data), mean, atol=0.1, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_even_at_equal_points(name: str) -> None:
    data = points(3).requires_grad_()
    get_distance_module(name)(data, data).sum().backward()
    assert torch.isfinite(data.grad).all()  # type: ignore[arg-type]
    data = points(3).requires_grad_()
    get_mean_module(name)(data).sum().backward()
    assert torch.isfinite(data.grad).all()  # type: ignore[arg-type]
    assert data.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert get_distance_module(name)(points(3), points(3)).diagonal().abs().max() < 1e-6
    assert get_mean_module(name)(points(1)).shape == (4,)
    torch.testing.assert_close(get_mean_module("hyperbolic").eval()(points(1)), points(1)[0], atol=1e-5, rtol=0)


def test_detached_means_and_names() -> None:
    assert not get_mean_module("euclidean", detach_mean=True)(points(3).requires_grad_()).requires_grad
    for make in (get_distance_module, get_mean_module):
        with pytest.raises(ValueError, match=r"distance 'euclid' is not known; expected euclidean.*Did you mean"):
            make("euclid")
    with pytest.raises(TypeError, match="must implement forward"):
        DistanceModule()(points(1), points(1))
    with pytest.raises(TypeError, match="must implement mean"):
        MeanModule()(points(1))
