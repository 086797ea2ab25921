from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError
from edgeseg.runtime.preprocess import preprocess

torch = pytest.importorskip("torch")

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)


def expected_image(frames, contract, size=None):
    """Normalised NCHW by torch, resized to `size`."""
    x = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float()
    if contract.permuted:
        x = x.flip(1)
    if size is not None:
        x = torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v)[:, None, None] for v in (contract.mean, contract.std))
    return ((x * contract.scale - mean) / std).numpy()


def test_a_frame_of_the_input_size_is_only_normalised():
    result = preprocess(FRAMES, Preprocess(), (20, 30))
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected_image(FRAMES, Preprocess()), atol=1e-5)


@pytest.mark.parametrize(("color", "order"), [("rgb", "bgr"), ("bgr", "rgb"), ("bgr", "bgr")])
def test_mean_and_std_are_in_the_order_the_network_was_trained_with(color, order):
    contract = Preprocess(color=color, frame=Frame(order=order), mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.4))
    np.testing.assert_allclose(
        preprocess(FRAMES, contract, (20, 30)), expected_image(FRAMES, contract), atol=1e-5
    )


def test_stretch_fills_the_input():
    contract = Preprocess(resize="stretch")
    result = preprocess(FRAMES, contract, (33, 17))
    np.testing.assert_allclose(result, expected_image(FRAMES, contract, (33, 17)), atol=1e-4)


@pytest.mark.parametrize(("anchor", "top", "left"), [("top-left", 0, 0), ("center", 6, 1)])
def test_padding_surrounds_the_frame(anchor, top, left):
    contract = Preprocess(anchor=anchor, pad_value=-3.5)
    result = preprocess(FRAMES, contract, (32, 32))
    inside = result[:, :, top : top + 20, left : left + 30]
    np.testing.assert_allclose(inside, expected_image(FRAMES, contract), atol=1e-5)
    assert (result == -3.5).sum() == 2 * 3 * (32 * 32 - 20 * 30)


def test_letterbox_keeps_the_aspect_and_pads_with_a_pixel_value():
    contract = Preprocess(resize="letterbox", anchor="center", pad_value=114, pad_space="pixel")
    result = preprocess(FRAMES, contract, (64, 60))
    grey = expected_image(np.full((1, 1, 1, 3), 114, np.uint8), contract)[0, :, 0, 0]
    np.testing.assert_allclose(result[0, :, 0, 0], grey, atol=1e-6)
    np.testing.assert_allclose(result[1, :, -1, -1], grey, atol=1e-6)
    np.testing.assert_allclose(result[:, :, 12:52], expected_image(FRAMES, contract, (40, 60)), atol=1e-4)


def test_a_frame_larger_than_the_input_is_refused_without_a_resize_rule():
    with pytest.raises(InputError, match=r"20x30.*does not fit.*16x32"):
        preprocess(FRAMES, Preprocess(), (16, 32))


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES.astype(np.float32), FRAMES[..., :2]])
def test_other_arrays_are_refused(frames):
    with pytest.raises(InputError, match=r"expected: uint8 \[N,H,W,3\]"):
        preprocess(frames, Preprocess(), (32, 32))
