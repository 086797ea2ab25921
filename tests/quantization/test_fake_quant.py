from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeseg.quantization.grid import Grid, fake_quantize
from edgeseg.quantization.qat.fake_quant import SPEED, FakeQuantize, FakeQuantizedBias


def values(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 1, shape).astype(np.float32))


@pytest.mark.parametrize(
    "grid",
    [
        Grid(scale=0.01, zero_point=0, dtype="int8"),
        Grid(scale=0.01, zero_point=0, dtype="uint8"),
        Grid(scale=0.02, zero_point=128, dtype="uint8"),
        Grid(scale=0.013, zero_point=37, dtype="uint8"),
    ],
)
def test_it_rounds_as_the_graph_does(grid: Grid) -> None:
    module = FakeQuantize(torch.tensor(grid.scale), torch.tensor(grid.zero_point), None, *grid.levels)
    x = values(4, 5, 6)
    expected = fake_quantize(x.numpy(), grid)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-6)
    levels = module.levels(x).numpy()
    assert levels.min() >= grid.levels[0] and levels.max() <= grid.levels[1]
    np.testing.assert_array_equal(levels, np.rint(expected / grid.scale) + grid.zero_point)


def test_the_gradients_are_those_of_lsq() -> None:
    """Esser et al. 2020, equations 2, 3 and 5; the chain rule of the logarithm around the scale's."""
    low, high, scale = -7, 7, 0.1
    module = FakeQuantize(torch.tensor(scale), None, None, low, high)
    x = values(50).requires_grad_()
    weight = values(50) + 0.3
    (module(x) * weight).sum().backward()
    steps = x.detach().numpy().astype(np.float64) / scale
    clipped = (steps < low - 0.5) | (steps > high + 0.5)
    np.testing.assert_array_equal(x.grad.numpy(), np.where(clipped, 0, weight))
    slope = np.where(clipped, np.clip(np.rint(steps), low, high), np.rint(steps) - steps)
    expected = (slope * weight.numpy()).sum() / np.sqrt(50 * high) * scale * SPEED
    assert clipped.any() and not clipped.all()
    assert float(module.log_scale.grad) == pytest.approx(expected, rel=1e-4)


def test_channels_have_their_own_scales_and_gradients() -> None:
    scales = torch.tensor([0.01, 0.1, 1.0])
    x = values(2, 3, 4)
    module = FakeQuantize(scales, None, 1, -127, 127)
    module(x).square().sum().backward()
    for channel in range(3):
        alone = FakeQuantize(scales[channel], None, None, -127, 127)
        part = x[:, channel]
        assert torch.equal(alone(part), module(x)[:, channel])
        alone(part).square().sum().backward()
        assert float(alone.log_scale.grad) == pytest.approx(float(module.log_scale.grad[channel]), rel=1e-4)


def test_a_dead_channel_stays_finite() -> None:
    module = FakeQuantize(torch.tensor([1e-36, 0.1]), None, 0, -127, 127)
    x = torch.tensor([[0.0, 1e-3], [0.2, 0.3]], requires_grad=True)
    module(x).sum().backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(module.log_scale.grad).all()


def test_it_computes_in_float32_under_autocast() -> None:
    module = FakeQuantize(torch.tensor(0.01), None, None, -128, 127)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(values(8).bfloat16()).dtype == torch.float32


def test_a_bias_follows_the_scales_around_it() -> None:
    source = FakeQuantize(torch.tensor(0.5), None, None, 0, 255)
    weight = FakeQuantize(torch.tensor([0.1, 0.2]), None, 0, -127, 127)
    grid = FakeQuantizedBias(torch.tensor([0.05, 0.1]), source, weight)
    bias = torch.tensor([1.01, -0.97], requires_grad=True)
    torch.testing.assert_close(grid(bias), torch.tensor([1.0, -1.0]), atol=1e-6, rtol=0)
    assert grid.levels(bias).tolist() == [20, -10]
    grid(bias).sum().backward()
    assert bias.grad.tolist() == [1, 1]
    with torch.no_grad():
        source.log_scale += np.log(2) / SPEED
    torch.testing.assert_close(grid.scale, torch.tensor([0.1, 0.2]))
    assert next(grid.parameters(), None) is None
