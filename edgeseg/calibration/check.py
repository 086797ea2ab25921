"""Is a calibration list fit to calibrate? What it covers and repeats, and whether the pixels are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.calibration.contract import ContractTest, contract_test, scorable
from edgeseg.calibration.coverage import Band, ClassCoverage, brightness, class_coverage
from edgeseg.calibration.network import Network, open_network
from edgeseg.calibration.saturation import Saturation, saturation
from edgeseg.calibration.source import forbidden, held_out_images, is_constant, open_listed, single
from edgeseg.core.calibration import CalibrationList
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.samples import SampleList
from edgeseg.evaluation.verification import has_random_weights

if TYPE_CHECKING:
    from edgeseg.datasets import Split

CONTRACT_IMAGES = 16
"""Images of the list on which each reading of the pixels is tried."""
SATURATED = 0.001
"""A tensor with more of its held-out values outside its range is worth a warning."""
SEEN = 0.05
"""A band of brightness that this share of the held-out images has should be in the list."""
EXIT_BAD = 2


class ListCheck(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        held_out: what the list is compared with; empty: nothing was left.
        duplicates: (image, earlier image of the list it nearly equals).
        overlap: (image, image of a validation split it nearly equals).
        disjoint_from: the validation splits that were looked at.
        saturation: every observed tensor, the worst first; empty without a network.
        problems: why the list must not be used; `advice`: what would make it better.
    """

    path: Path
    dataset: str
    split: str
    images: int
    held_out: str = ""
    held_out_images: int = 0
    classes: tuple[ClassCoverage, ...] = ()
    brightness: tuple[Band, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    constant: tuple[str, ...] = ()
    overlap: tuple[tuple[str, str], ...] = ()
    disjoint_from: tuple[str, ...] = ()
    saturation: tuple[Saturation, ...] = ()
    contract: ContractTest | None = None
    problems: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return EXIT_BAD if self.problems else 0


def check(
    path: Path,
    *,
    data: str = "",
    images: str = "",
    not_in: list[str] | None = None,
    held_out: str = "",
    held_out_limit: int = 32,
    bundle: str = "",
    model: ModelChoice | None = None,
    trust_file: bool = False,
    progress: Progress = silent,
) -> ListCheck:
    """Look at the images of a list, and at what a network makes of them.

    Args:
        data, images: where the images are, as for `select`.
        not_in: see `forbidden`.
        held_out: images to compare with, in the words of `--not-in`; empty: those of the same split that
            are not in the list, else the split `train`.
        held_out_limit: at most so many of them, evenly spread.
        bundle, model: the network whose ranges and pixel contract are tested; without one they are not.

    Raises:
        DataError: a broken list, a list of other data, or images that are missing or changed.
    """
    listed = CalibrationList.read(path)
    source, chosen = open_listed(listed, data, images, progress)
    banned = forbidden(data, images, not_in or [], progress=progress)
    held = held_out_images(chosen, source, data, held_out, held_out_limit)
    samples = chosen.sample_list()
    size = chosen.image(0).shape
    network = open_network(
        bundle, model, data, (int(size[0]), int(size[1])), trust_file=trust_file, progress=progress
    )
    result = ListCheck(
        path=path,
        dataset=listed.dataset,
        split=listed.split,
        images=len(listed),
        held_out="" if held is None else f"{held.dataset}/{held.name}",
        held_out_images=0 if held is None else len(held),
        classes=class_coverage(chosen, held, progress),
        brightness=brightness(*_seen(network, chosen, held), progress),
        duplicates=duplicates(samples),
        constant=tuple(chosen.ids[i] for i in range(len(chosen)) if is_constant(single(chosen, i))),
        overlap=tuple(pair for other in banned for pair in _overlap(samples, other)),
        disjoint_from=tuple(f"{b.dataset}/{b.split}" for b in banned),
        saturation=() if network is None or held is None else saturation(network, chosen, held, progress),
        contract=None if network is None else _contract(network, chosen, progress),
        notes=_notes(banned, chosen, held, network),
    )
    return msgspec.structs.replace(result, problems=problems(result), advice=advice(result))


def duplicates(samples: SampleList) -> tuple[tuple[str, str], ...]:
    """Images of the list that nearly equal an earlier one."""
    found: list[tuple[str, str]] = []
    for end, sample in enumerate(samples.samples):
        earlier = SampleList(dataset=samples.dataset, split=samples.split, samples=samples.samples[:end])
        one = SampleList(dataset=samples.dataset, split=samples.split, samples=(sample,))
        found.extend(one.overlap(earlier))
    return tuple(found)


def problems(result: ListCheck) -> tuple[str, ...]:
    """Why the list must not be used, one sentence each."""
    found = []
    if result.overlap:
        shown = ", ".join(f"{mine} = {theirs}" for mine, theirs in result.overlap[:5])
        found.append(f"{len(result.overlap)} image(s) also validate: {shown}")
    if result.constant:
        found.append(
            f"{len(result.constant)} image(s) are one constant colour: {', '.join(result.constant[:5])}"
        )
    if result.contract is not None and result.contract.labelled and not result.contract.fits:
        found.append(result.contract.verdict)
    return tuple(found)


def advice(result: ListCheck) -> tuple[str, ...]:
    """What would make the list better, one sentence each."""
    found = []
    if result.duplicates:
        shown = ", ".join(f"{a} = {b}" for a, b in result.duplicates[:5])
        found.append(f"{len(result.duplicates)} image(s) repeat another one and add nothing: {shown}")
    missing = [c.name for c in result.classes if not c.images]
    if missing:
        found.append(f"no image shows {', '.join(missing)}; --strategy stratified looks for rare classes")
    for band in result.brightness:
        if not band.share and (band.held_out or 0) >= SEEN:
            found.append(
                f"no image has a mean brightness of {band.low}-{band.high}, "
                f"{100 * (band.held_out or 0):.0f}% of the held-out images have"
            )
    bad = [s for s in result.saturation if s.outside > SATURATED]
    if bad:
        found.append(
            f"{len(bad)} of {len(result.saturation)} tensors have more than {100 * SATURATED:.1f}% of their "
            f"held-out values outside the range of the list; '{bad[0].tensor}' is the worst: choose more "
            "images, or --strategy k-centre"
        )
    if result.contract is not None and not result.contract.labelled and not result.contract.fits:
        found.append(result.contract.verdict)
    return tuple(found)


def _seen(network: Network | None, chosen: Split, held: Split | None) -> tuple[Split, Split | None]:
    """As the frames of the network, where there is one: it knows what full light is."""
    if network is None:
        return chosen, held
    return network.seen(chosen), None if held is None else network.seen(held)


def _contract(network: Network, chosen: Split, progress: Progress) -> ContractTest:
    return contract_test(network, replace(chosen, ids=chosen.ids[:CONTRACT_IMAGES]), progress)


def _overlap(samples: SampleList, other: SampleList) -> list[tuple[str, str]]:
    return [(mine, f"{other.dataset}/{other.split}/{theirs}") for mine, theirs in samples.overlap(other)]


def _notes(
    banned: tuple[SampleList, ...], chosen: Split, held: Split | None, network: Network | None
) -> tuple[str, ...]:
    found = []
    if not banned:
        found.append("nothing says which images validate: name them with --not-in")
    if held is None:
        found.append("no image is left to compare with: name some with --held-out")
    if network is None:
        found.append("ranges and pixel contract are tested with a network: --bundle or --model")
        return tuple(found)
    if chosen.classes and not scorable(network.spec, chosen):
        found.append(
            f"labels of {len(chosen.classes)} classes cannot score a {network.spec.task} network of "
            f"{len(network.spec.classes)}: the pixel contract is judged without them"
        )
    if has_random_weights(network.spec):
        found.append("the network has random weights: what its tensors hold means nothing")
    return (*found, *network.notes)
