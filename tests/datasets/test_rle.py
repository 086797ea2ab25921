"""Run-length masks and polygons of COCO, against faster-coco-eval."""

from __future__ import annotations

import numpy as np
import pytest
from faster_coco_eval import mask as rle

from edgeseg.datasets.rle import coded, compressed, filled, mask_of_runs, runs_of, uncompressed
from edgeseg.errors import DataError


def random_mask(rng, kind):
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    if kind % 2:
        return np.kron(rng.random((3, 4)) < 0.5, np.ones((height, width))) > 0
    return rng.random((height, width)) < rng.random()


@pytest.mark.parametrize("seed", range(100))
def test_masks_are_coded_and_decoded_as_faster_coco_eval_does(seed):
    mask = random_mask(np.random.default_rng(seed), seed)
    theirs = rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    theirs = theirs.decode() if isinstance(theirs, bytes) else theirs
    assert coded(mask) == {"size": list(mask.shape), "counts": theirs}
    assert uncompressed(theirs) == runs_of(mask)
    assert np.array_equal(mask_of_runs(runs_of(mask), mask.shape), mask)


@pytest.mark.parametrize("mask", [np.zeros((5, 7), bool), np.ones((5, 7), bool), np.ones((1, 1), bool)])
def test_masks_of_one_value(mask):
    assert np.array_equal(mask_of_runs(uncompressed(compressed(runs_of(mask))), mask.shape), mask)
    assert np.array_equal(rle.decode(coded(mask)) > 0, mask)


@pytest.mark.parametrize("seed", range(100))
def test_polygons_are_filled_as_faster_coco_eval_does(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(30, 80, 2))
    points = rng.uniform(-5, 59, (int(rng.integers(3, 12)), 2))
    if seed % 3 == 0:
        points = np.round(points)
    theirs = rle.decode(rle.frPyObjects([points.reshape(-1).tolist()], height, width))[..., 0]
    assert np.array_equal(filled(points, (height, width)), theirs > 0)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[0, 0], [4, 4]], "a polygon has 2 points"),
        ([[0, 0], [4, 4], [np.nan, 1]], "far outside"),
        ([[0, 0], [4, 4], [1e9, 1]], "far outside"),
    ],
)
def test_polygons_that_are_none_are_refused(points, said):
    with pytest.raises(DataError, match=said):
        filled(np.array(points, np.float64), (20, 30))


def test_a_polygon_with_an_endless_border_is_refused():
    points = np.tile([[0.0, 0.0], [9000.0, 0.0], [0.0, 9000.0]], (400, 1))
    with pytest.raises(DataError, match="a border of"):
        filled(points, (9000, 9000))


@pytest.mark.parametrize("runs", [[5], [0, 13], [-2, 14], [6, 7], [1 << 62, 12], []])
def test_runs_of_another_size_are_refused(runs):
    with pytest.raises(DataError, match=r"a run-length mask (covers|has a run of) -?\d+ pixels"):
        mask_of_runs(runs, (3, 4))


@pytest.mark.parametrize("text", ["a b", "é", "oooooooooooooooooooo", "P"])
def test_text_that_is_no_code_is_refused(text):
    with pytest.raises(DataError, match="a run-length mask is"):
        uncompressed(text)
