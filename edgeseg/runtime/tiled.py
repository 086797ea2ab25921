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
from edgeseg.runtime.results import arrays
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
        """The outputs of frames [N,...] of one size. Raises as `fill`."""
        size, task = frame_size(frames, self.spec.preprocess.frame), task_of(self.spec)
        infos = task.outputs(self.spec, len(frames), size, confidence=self.tiles.confidence)
        whole = arrays(infos)
        self.fill(frames, whole)
        return whole

    def fill(self, frames: Array, whole: Outputs) -> float:
        """Write the outputs of frames [N,...] of one size, in the bundle's own channel order, to arrays.

        Returns:
            The milliseconds that all of it took: tiles are cut and joined on the host.

        Raises:
            InputError: frames smaller than a tile, or of a size that their layout cannot have.
        """
        frame, start = self.spec.preprocess.frame, time.perf_counter()
        size = frame_size(frames, frame)
        frame.require_size(size)
        grid = Grid.of(size, self.tiles, multiples(frame.layout))
        for place, one in enumerate(frames):
            into = {name: array[place : place + 1] for name, array in whole.items()}
            task_of(self.spec).merge(self._found(one, grid), self.spec, grid, into)
        return (time.perf_counter() - start) * 1e3

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
