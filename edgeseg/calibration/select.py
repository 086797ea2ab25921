"""Choose the images that calibrate, and write them down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeseg.calibration.coverage import shares_of
from edgeseg.calibration.network import Network, features, open_network
from edgeseg.calibration.source import (
    forbidden,
    hashed,
    is_constant,
    is_list,
    labelled,
    open_source,
    samples_of,
    single,
)
from edgeseg.calibration.strategies import STRATEGIES, k_centre_order, random_order, stratified_order
from edgeseg.core.calibration import CalibrationList, Entry, refuse_existing
from edgeseg.core.plugins import unknown
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.samples import NEAR_DUPLICATE_BITS, Sample, SampleList, require_disjoint
from edgeseg.errors import DataError, InputError

if TYPE_CHECKING:
    from edgeseg.datasets import Split


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        path: the list that was written.
        available: images there were to choose from.
        near_duplicates: (image left out, the chosen image it nearly equals).
        constant: images left out because they are one colour.
        disjoint_from: the splits and folders that share no image with the list.
        classes: images of the list that show a class, by name; empty without labels.
    """

    path: Path
    dataset: str
    split: str
    strategy: str
    seed: int
    ids: tuple[str, ...]
    available: int
    near_duplicates: tuple[tuple[str, str], ...] = ()
    constant: tuple[str, ...] = ()
    disjoint_from: tuple[str, ...] = ()
    classes: dict[str, int] = {}
    notes: tuple[str, ...] = ()


def select(
    *,
    data: str = "",
    images: str = "",
    split: str = "",
    count: int,
    strategy: str = "",
    seed: int = 0,
    every: int = 1,
    not_in: list[str] | None = None,
    bundle: str = "",
    model: ModelChoice | None = None,
    trust_file: bool = False,
    output: str = "",
    overwrite: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> Selection:
    """Choose `count` images, different from each other and from those that validate, and write the list.

    Args:
        data, images, split, every: see `open_source`.
        strategy: one of STRATEGIES; empty: stratified where there are labels, else random.
        not_in: see `forbidden`; images of another list are left out, all others are refused.
        bundle, model: the network whose features `k-centre` spreads.
        output: the list; empty: `calibration/DATASET/STRATEGY-COUNT.txt`.
        command: recorded in the list.

    Raises:
        InputError: an unknown strategy, or one that lacks labels or a network.
        DataError: too few images, one that also validates, or a list that is already there.
    """
    source = open_source(data, images, split, every=every)
    strategy = strategy or ("stratified" if labelled(source) else "random")
    _require_strategy(strategy, source, has_network=bool(bundle or model))
    if not 1 <= count <= len(source):
        raise DataError(
            f"{count} images were asked for, {source.dataset}/{source.name} has {len(source)}",
            expected=f"from 1 to {len(source)} images",
            hint="lower --count, or choose from more images",
        )
    place = Path(output or f"calibration/{source.dataset}/{strategy}-{count}.txt")
    refuse_existing(place, overwrite=overwrite)
    others = [name for name in not_in or [] if not is_list(name)]
    banned = forbidden(data, images, others, chosen=source.name, progress=progress)
    lists = [samples_of(name, data, images, progress) for name in not_in or [] if is_list(name)]
    hashed(source, progress)
    network = None
    if strategy == "k-centre":
        height, width = source.image(0).shape[:2]
        camera = (int(height), int(width))
        network = open_network(bundle, model, data, camera, trust_file=trust_file, progress=progress)
    notes = () if banned else ("nothing says which images validate: name them with --not-in",)
    shares = shares_of(source, progress) if labelled(source) else None
    choice = _Choice(source, banned, lists, count, progress)
    choice.take(_order(strategy, source, shares, network, seed, progress))
    entries = tuple(Entry(s.id, s.sha256) for s in choice.samples)
    listed = CalibrationList(
        dataset=source.dataset, split=source.name, entries=entries, made_by=" ".join(command.split())
    )
    listed.write(place, overwrite=overwrite)
    return Selection(
        path=place,
        dataset=source.dataset,
        split=source.name,
        strategy=strategy,
        seed=seed,
        ids=listed.ids,
        available=len(source),
        near_duplicates=tuple(choice.near),
        constant=tuple(choice.constant),
        disjoint_from=tuple(f"{b.dataset}/{b.split}" for b in (*banned, *lists)),
        classes={} if shares is None else _images_per_class(source, shares, choice.indices),
        notes=(*notes, *(network.notes if network else ())),
    )


def _require_strategy(name: str, source: Split, *, has_network: bool) -> None:
    if name not in STRATEGIES:
        raise unknown(name, STRATEGIES, noun="strategy", listing="edgeseg calibrate select --help")
    if name == "stratified" and not labelled(source):
        raise InputError(
            f"--strategy stratified needs labels, {source.dataset} has none",
            expected="labelled images (--data), or another strategy",
            hint="use --strategy random, or k-centre with --bundle or --model",
        )
    if name == "k-centre" and not has_network:
        raise InputError(
            "--strategy k-centre needs a network",
            expected="--bundle BUNDLE or --model NAME",
            hint="name the network that will be calibrated",
        )


def _order(
    strategy: str,
    source: Split,
    shares: Array | None,
    network: Network | None,
    seed: int,
    progress: Progress,
) -> Iterator[int]:
    if network is not None:
        return k_centre_order(features(source, network, progress))
    if strategy == "stratified" and shares is not None:
        return stratified_order(shares, seed)
    return random_order(len(source), seed)


class _Choice:
    """The first `count` images of a ranking that differ, are not constant, and do not validate."""

    def __init__(
        self,
        source: Split,
        banned: tuple[SampleList, ...],
        lists: list[SampleList],
        count: int,
        progress: Progress,
    ) -> None:
        self._source = source
        self._banned = banned
        self._taken = [sample for other in lists for sample in other.samples]
        self._count = count
        self._progress = progress
        self.indices: list[int] = []
        self.samples: list[Sample] = []
        self.near: list[tuple[str, str]] = []
        self.constant: list[str] = []

    def take(self, order: Iterator[int]) -> None:
        """Raises DataError when too few are left, or one also validates."""
        for index in order:
            self._progress("choosing images", len(self.samples), self._count)
            self._consider(index)
            if len(self.samples) == self._count:
                return
        raise DataError(
            f"only {len(self.samples)} of {self._count} images can be chosen from {len(self._source)}: "
            f"{len(self.near)} nearly equal another one, {len(self.constant)} are one constant colour",
            expected="images that differ",
            hint=f"use --count {len(self.samples)}" if self.samples else "check the images",
        )

    def _consider(self, index: int) -> None:
        name = self._source.ids[index]
        one = single(self._source, index)
        (sample,) = one.sample_list().samples
        if is_constant(one):
            self.constant.append(name)
            return
        bits = int(sample.dhash, 16)
        twin = next((s.id for s in (*self._taken, *self.samples) if _near(bits, s)), None)
        if twin is not None:
            self.near.append((name, twin))
            return
        for banned in self._banned:
            require_disjoint(one.sample_list(), banned)
        self.indices.append(index)
        self.samples.append(sample)


def _near(bits: int, other: Sample) -> bool:
    return (bits ^ int(other.dhash, 16)).bit_count() <= NEAR_DUPLICATE_BITS


def _images_per_class(source: Split, shares: Array, indices: list[int]) -> dict[str, int]:
    counts = np.count_nonzero(shares[indices], axis=0)
    return {info.name: int(n) for info, n in zip(source.classes, counts)}
