"""An engine for tiles, as one for whole frames of any size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edgeseg.core.layouts import multiples
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.core.tiles import Tiles
from edgeseg.runtime.frame_layouts import cut
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.tasks import Outputs, task_of
from edgeseg.runtime.tiles import Grid

Run = Callable[[Array], Outputs]
"""`batch` tiles [batch,...] to what the engine returns."""


@dataclass(frozen=True)
class Tiled:
    """
    Attributes:
        run: the engine; `batch`: tiles that it takes at once.
    """

    run: Run
    batch: int
    tiles: Tiles
    spec: ModelSpec

    def __call__(self, frames: Array) -> Outputs:
        """The outputs of frames [N,...] of one size, in the bundle's own channel order.

        Raises:
            InputError: frames smaller than a tile, or of a size that their layout cannot have.
        """
        frame = self.spec.preprocess.frame
        size = frame_size(frames, frame)
        frame.require_size(size)
        grid, task = Grid.of(size, self.tiles, multiples(frame.layout)), task_of(self.spec)
        confidence = self.tiles.confidence
        found = [task.merge(self._found(one, grid), self.spec, grid, confidence=confidence) for one in frames]
        if len(found) == 1:
            return found[0]
        infos = task.outputs(self.spec, 0, size, confidence=confidence)
        none = {info.name: np.empty(info.shape, info.dtype) for info in infos}
        return {name: np.concatenate([array, *(one[name] for one in found)]) for name, array in none.items()}

    def timed(self, frames: Array) -> tuple[Outputs, float]:
        """With the milliseconds that all of it took: tiles are cut and joined on the host."""
        start = time.perf_counter()
        found = self(frames)
        return found, (time.perf_counter() - start) * 1e3

    def _found(self, one: Array, grid: Grid) -> Iterator[Outputs]:
        """What the engine gives for each tile of a frame, [1,...]."""
        frame, corners = self.spec.preprocess.frame, tuple(grid)
        given = np.zeros(frame.shape(self.batch, *grid.tile), one.dtype)
        for start in range(0, len(corners), self.batch):
            chosen = corners[start : start + self.batch]
            for place, corner in enumerate(chosen):
                given[place] = cut(one, frame, corner, grid.tile)
            outputs = self.run(given)
            for place in range(len(chosen)):
                yield {name: array[place : place + 1] for name, array in outputs.items()}


def repeated(tiles: Array, shape: tuple[int, ...]) -> Array:
    """Frames of `shape` [1,H,...] that the first of some tiles fills again and again."""
    rows, columns = (np.arange(side) for side in shape[1:3])
    return tiles[:1].take(rows, axis=1, mode="wrap").take(columns, axis=2, mode="wrap")
