"""Which images an optimiser step sees: a function of (seed, step, process), the same after a resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, default_collate

from edgeseg.core.model_spec import ModelSpec
from edgeseg.datasets import Split
from edgeseg.errors import InputError
from edgeseg.training.augment import training_sample
from edgeseg.training.settings import TrainSettings
from edgeseg.training.tasks import TrainTask, training_of

Key = tuple[int, int]
"""(epoch, index into the split): together with the seed it decides the augmentation."""


@dataclass(frozen=True)
class Share:
    """The part of every batch that one process computes.

    Attributes:
        rank, processes: this process, and how many there are.
        size: images per forward pass.
    """

    rank: int
    processes: int
    size: int


def share_of(settings: TrainSettings, rank: int, processes: int) -> Share:
    """Split the batch over processes and accumulated parts.

    Raises:
        InputError: the batch cannot be split evenly.
    """
    parts = processes * settings.accumulate
    if settings.batch % parts:
        raise InputError(
            f"a batch of {settings.batch} cannot be split over {processes} process(es) and "
            f"{settings.accumulate} accumulated part(s)",
            expected=f"a multiple of {parts}",
            hint=f"use --train batch={-(-settings.batch // parts) * parts}",
        )
    return Share(rank, processes, settings.batch // parts)


class Samples(Dataset[tuple[torch.Tensor, Any]]):
    """Augmented samples by (epoch, index)."""

    def __init__(self, split: Split, spec: ModelSpec, settings: TrainSettings) -> None:
        self.split = split
        self.spec = spec
        self.settings = settings
        self.task = training_of(spec.task)

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, Any]:
        rng = np.random.default_rng((self.settings.seed, *key))
        _, index = key
        image = self.split.image(index)
        spec, classes = self.spec, len(self.spec.classes)
        drawn = self.task.drawn(self.split.label(index), classes, self.split.ignore_index)
        shown, drawn, corner = training_sample(
            image, drawn, spec.preprocess, spec.input_size, self.settings, rng
        )
        height, width = shown.shape[1:]
        return shown, self.task.target(drawn, (height, width), corner, classes)


class StepSampler:
    """Keys of one process, one list per forward pass, from optimiser step `start` to `stop`."""

    def __init__(self, images: int, settings: TrainSettings, share: Share, start: int, stop: int) -> None:
        self.images = images
        self.settings = settings
        self.share = share
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[list[Key]]:
        size = self.share.size
        for step in range(self.start, self.stop):
            for part in range(self.settings.accumulate):
                first = step * self.settings.batch + (part * self.share.processes + self.share.rank) * size
                yield [self._key(position) for position in range(first, first + size)]

    def __len__(self) -> int:
        return (self.stop - self.start) * self.settings.accumulate

    def _key(self, position: int) -> Key:
        epoch, place = divmod(position, self.images)
        return epoch, int(order(self.images, self.settings.seed, epoch)[place])


def order(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the images in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(images)


def loader(
    split: Split, spec: ModelSpec, settings: TrainSettings, share: Share, start: int, stop: int
) -> DataLoader[tuple[torch.Tensor, Any]]:
    """Batches of (float32 [n,C,h,w], targets as the task has them) for the forward passes of this process."""
    sampler: Any = StepSampler(len(split), settings, share, start, stop)
    samples = Samples(split, spec, settings)
    together = partial(_together, samples.task)
    return DataLoader(samples, batch_sampler=sampler, num_workers=settings.workers, collate_fn=together)


def _together(task: TrainTask, samples: Sequence[tuple[torch.Tensor, Any]]) -> tuple[torch.Tensor, Any]:
    images, targets = zip(*samples)
    image: torch.Tensor = default_collate(list(images))
    return image, task.batch(targets)
