from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.tiles import Tiles
from edgeseg.errors import InputError
from edgeseg.runtime.frame_layouts import cut, packed_as, unpacked
from edgeseg.runtime.tasks import SCORES, task_of
from edgeseg.runtime.tasks.multilabel import packed
from edgeseg.runtime.tiles import Grid

SIZES = [
    ((64, 96), (64, 96), 8),
    ((70, 96), (64, 96), 8),
    ((150, 233), (64, 96), 20),
    ((200, 97), (24, 32), 23),
]


def spec_of(task: str, classes: int) -> ModelSpec:
    return ModelSpec(
        name="net",
        source=Source(kind="onnx", ref="net.onnx"),
        input_size=(64, 96),
        classes=default_classes(classes),
        task=task,
        postprocess=Postprocess(threshold=0.5),
    )


def grid_of(frame, tile, overlap, blend="gaussian", multiples=(1, 1)) -> Grid:
    return Grid.of(frame, Tiles(size=tile, overlap=overlap, blend=blend), multiples)


def scores_of(grid: Grid, channels: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(1, channels, *grid.tile)).astype(np.float32) for _ in grid]


def averaged(grid: Grid, tiles: list[np.ndarray], blend: str) -> np.ndarray:
    """All at once, in float64."""
    profile = [
        np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (side / 8)) ** 2)
        if blend == "gaussian"
        else np.ones(side)
        for side in grid.tile
    ]
    weight, total = np.outer(*profile), np.zeros(grid.frame)
    sums = np.zeros((1, tiles[0].shape[1], *grid.frame))
    for (top, left), scores in zip(grid, tiles):
        rows, columns = slice(top, top + grid.tile[0]), slice(left, left + grid.tile[1])
        total[rows, columns] += weight
        sums[..., rows, columns] += weight * scores
    return sums / total


def merged(spec: ModelSpec, grid: Grid, tiles: list[np.ndarray], *, confidence: bool = False) -> dict:
    infos = task_of(spec).outputs(spec, 1, grid.frame, confidence=confidence)
    whole = {info.name: np.empty(info.shape, info.dtype) for info in infos}
    task_of(spec).merge([{SCORES: tile} for tile in tiles], spec, grid, whole)
    return whole


@pytest.mark.parametrize(("frame", "tile", "overlap"), SIZES)
@pytest.mark.parametrize("blend", ["gaussian", "flat"])
def test_scores_are_averaged_over_the_whole_frame(frame, tile, overlap, blend):
    grid = grid_of(frame, tile, overlap, blend)
    tiles = scores_of(grid, 3)
    found = np.full((1, 3, *frame), np.nan)
    for start, rows in grid.blended(tiles):
        found[:, :, start : start + rows.shape[2]] = rows
    np.testing.assert_allclose(found, averaged(grid, tiles, blend), atol=2e-6)


@pytest.mark.parametrize("multiples", [(1, 1), (2, 2), (1, 2)])
def test_tiles_share_at_least_the_overlap_and_end_at_the_borders(multiples):
    for frame in ((64, 96), (66, 98), (500, 402), (1002, 2000)):
        grid = grid_of(frame, (64, 96), 20, multiples=multiples)
        for starts, side, tile, step in zip((grid.tops, grid.lefts), frame, grid.tile, multiples):
            assert starts[0] == 0 and starts[-1] == side - tile and all(start % step == 0 for start in starts)
            assert all(tile - 20 >= after - before > 0 for before, after in pairwise(starts))


def test_a_frame_of_one_tile_keeps_its_scores():
    grid = grid_of((64, 96), (64, 96), 8)
    (scores,) = scores_of(grid, 5)
    found = np.concatenate([rows.copy() for _, rows in grid.blended([scores])], axis=2)
    np.testing.assert_array_equal(found, scores)


def test_a_class_is_chosen_by_the_averaged_scores():
    grid, spec = grid_of((150, 233), (64, 96), 20), spec_of("semantic", 3)
    tiles = scores_of(grid, 3)
    found = merged(spec, grid, tiles, confidence=True)
    exact = averaged(grid, tiles, "gaussian")
    best = np.sort(exact, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-5
    np.testing.assert_array_equal(found["class_map"][clear], exact.argmax(axis=1)[clear])
    sure = np.exp(exact).max(axis=1) / np.exp(exact).sum(axis=1)
    np.testing.assert_allclose(found["confidence"], sure, atol=1e-5)


def test_bits_are_set_where_averaged_scores_pass_their_threshold():
    grid, spec = grid_of((150, 233), (64, 96), 20), spec_of("multilabel", 11)
    tiles = scores_of(grid, 11)
    (found,) = merged(spec, grid, tiles).values()
    exact = averaged(grid, tiles, "gaussian")
    clear = (np.abs(exact) > 1e-5).all(axis=1)
    np.testing.assert_array_equal(found[clear], packed(np.moveaxis(exact > 0, 1, -1))[clear])


def test_a_frame_smaller_than_a_tile_is_refused():
    with pytest.raises(InputError, match=r"60x200 \(height x width\) is smaller than a tile of 64x96"):
        grid_of((60, 200), (64, 96), 8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"overlap": 64}, "expected 0 to 63"),
        ({"overlap": -1}, "overlap is -1"),
        ({"size": (0, 4)}, r"\[0, 4\]"),
    ],
)
def test_tiles_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        Tiles(**{"size": (64, 96), **fields})


def test_the_usual_overlap_fits_into_small_tiles():
    assert [Tiles(size=(side, 512)).overlap for side in (512, 200, 64, 1)] == [64, 50, 16, 0]


@pytest.mark.parametrize("layout", ["nv12", "yuyv", "bayer_grbg", "rgb"])
def test_a_part_of_a_frame_of_any_layout_is_that_part_of_the_picture(layout):
    frame = Frame.parse(layout)
    image = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3)), 2, 1), 2, 2)
    image = image.astype(np.uint8)
    whole = image if layout == "rgb" else packed_as(image, frame)
    part = cut(whole[0], frame, (8, 6), (10, 12))
    assert part.shape == frame.shape(10, 12)
    inner = (..., slice(2, -2), slice(2, -2))  # a mosaic is mirrored at its borders
    np.testing.assert_array_equal(
        unpacked(part[None], frame)[inner], unpacked(whole, frame)[..., 8:18, 6:18][inner]
    )
