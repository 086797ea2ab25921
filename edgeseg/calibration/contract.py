"""Are the pixels what the network was trained on? Its contract, tried against the usual mistakes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from edgeseg.calibration.network import Network
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets.pictures import resize_class_map
from edgeseg.metrics import confusion, mean_iou
from edgeseg.runtime.postprocess import class_map

if TYPE_CHECKING:
    from edgeseg.datasets import Split

SWAPPING = "swapping colours"
MARGIN = 1.0
"""Points by which another contract must win before the stated one is doubted."""
STRIDE = 4
"""Probabilities are looked at on every fourth pixel each way."""

NORMALISATIONS: tuple[tuple[str, bool, float | None, float | None], ...] = (
    ("0-1 with the mean and std of ImageNet", False, None, None),
    ("0-1 without mean and std", False, 0.0, 1.0),
    ("-1 to 1 (mean and std 0.5)", False, 0.5, 0.5),
    ("0-{full:g} without mean and std", True, 0.0, 1.0),
    ("0-{full:g} with the mean of ImageNet", True, None, 1.0),
)
"""In words, whether pixels keep their values, mean and std; None: those of ImageNet."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One way of reading the pixels.

    Attributes:
        change: what differs from the contract, in words; `settings`: the same for `--set`.
        miou: against the labels, in points; None without labels.
        certainty: mutual information between pixel and predicted class, 0 to 100 (all of log C): high when
            predictions are sure and differ from pixel to pixel.
        agreement: pixels with the class that the contract gives, in percent.
    """

    change: str
    settings: str
    miou: float | None
    certainty: float
    agreement: float


class ContractTest(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        trials: the contract as stated, then the others, best first.
        labelled: labels decided; else `fits` only means that nothing speaks against the contract.
    """

    images: int
    trials: tuple[Trial, ...]
    labelled: bool
    fits: bool
    verdict: str


def variants(contract: Preprocess) -> list[tuple[str, str, Preprocess]]:
    """(change, settings, contract): as stated, other colours, other ranges, and both."""
    swapped: Literal["rgb", "bgr"] = "bgr" if contract.color == "rgb" else "rgb"
    turned = msgspec.structs.replace(contract, color=swapped)
    colored, full = contract.frame.colored, contract.frame.full
    found = [("as stated", "", contract)]
    if colored:
        found.append((SWAPPING, f"color={swapped}", turned))
    for words, whole, mean, std in NORMALISATIONS:
        for color in (contract.color, swapped) if colored else (contract.color,):
            other = _normalised(contract, color, full if whole else 1.0, mean, std)
            if color == contract.color and np.allclose(other.affine(), contract.affine(), rtol=1e-3):
                break
            text = f"scale={other.multiplier:.7g} mean={_listed(other.mean)} std={_listed(other.std)}"
            told = words.format(full=full)
            if color != contract.color:
                found.append((f"{told}, colours swapped", f"color={color} {text}", other))
            else:
                found.append((told, text, other))
    return found


def _normalised(
    contract: Preprocess, color: Literal["rgb", "bgr"], highest: float, mean: float | None, std: float | None
) -> Preprocess:
    """Pixels from 0 to `highest`; `mean` is of 0 to 1."""
    usual = msgspec.structs.replace(contract, color=color, scale=None, mean=(), std=())
    return msgspec.structs.replace(
        usual,
        scale=highest / contract.frame.full,
        mean=tuple(highest * (m if mean is None else mean) for m in usual.mean),
        std=tuple(s if std is None else std for s in usual.std),
    )


def scorable(spec: ModelSpec, images: Split) -> bool:
    """Whether the labels of the images, if there are any, say what this network should have found."""
    return spec.task == "semantic" and 0 < len(images.classes) <= len(spec.classes)


def contract_test(network: Network, images: Split, progress: Progress) -> ContractTest:
    """Run the network under each contract on the images; labels decide where there are some."""
    spec = network.spec
    scored = scorable(spec, images)
    tried = variants(spec.preprocess)
    tallies = [_Tally(network, images if scored else None) for _ in tried]
    runner = _Runner(network)
    for index in range(len(images)):
        progress("trying the pixel contract", index, len(images))
        image = images.image(index)
        label = images.label(index) if scored else None
        first: Array | None = None
        for (_, _, contract), tally in zip(tried, tallies):
            scores, found = runner(image, contract)
            first = found if first is None else first
            tally.add(scores, found, first, label)
    trials = [tally.trial(change, text) for (change, text, _), tally in zip(tried, tallies)]
    stated, others = trials[0], sorted(trials[1:], key=_merit, reverse=True)
    fits, verdict = _judge(stated, others)
    return ContractTest(
        images=len(images),
        trials=(stated, *others),
        labelled=stated.miou is not None,
        fits=fits,
        verdict=verdict,
    )


def _judge(stated: Trial, others: list[Trial]) -> tuple[bool, str]:
    best = others[0]
    swap = next((t for t in others if t.change == SWAPPING), None)
    if stated.miou is not None and best.miou is not None:
        if best.miou > stated.miou + MARGIN:
            return False, (
                f"the contract does not fit: mIoU {stated.miou:.1f} on these images; {best.change} would "
                f"give {best.miou:.1f} (--set {' --set '.join(best.settings.split())})"
            )
        rest = next(t for t in others if t is not swap)
        return True, (
            f"the contract fits: mIoU {stated.miou:.1f} on these images; "
            + (f"{SWAPPING} would give {swap.miou:.1f}, " if swap else "")
            + f"{rest.change} {rest.miou:.1f}"
        )
    if best.certainty > stated.certainty + MARGIN:
        return False, (
            f"without labels the contract is in doubt: certainty {stated.certainty:.1f}; {best.change} would "
            f"give {best.certainty:.1f}; test it on labelled images"
        )
    other = swap or best
    return True, (
        f"without labels nothing speaks against the contract: certainty {stated.certainty:.1f}; "
        f"{other.change} would give {other.certainty:.1f} and change {100 - other.agreement:.1f}% of the "
        "pixels"
    )


def _merit(trial: Trial) -> float:
    return trial.certainty if trial.miou is None else trial.miou


class _Runner:
    def __init__(self, network: Network) -> None:
        from edgeseg.graph.reference import session

        self._network = network
        self._session = session(network.graph, keep=True)

    def __call__(self, image: Array, contract: Preprocess) -> tuple[Array, Array]:
        """Scores [1,C,h,w] and the class map uint8 [H,W] at the size of the image."""
        from edgeseg.graph.reference import run

        network = self._network
        found = run(self._session, network.feed(image, contract))
        name = network.spec.postprocess.output or next(iter(found))
        scores = np.asarray(found[name][:1], np.float32)
        place = contract.place(network.camera_size, network.spec.input_size)
        decided = class_map(scores, network.spec, place)[0]
        return scores, resize_class_map(decided, (image.shape[0], image.shape[1]))


class _Tally:
    def __init__(self, network: Network, labels: Split | None) -> None:
        self._spec = network.spec
        self._ignore = None if labels is None else labels.ignore_index
        classes = len(network.spec.classes)
        self._matrix = None if labels is None else np.zeros((classes, classes), np.int64)
        self._marginal: list[Array] = []
        self._entropy: list[float] = []
        self._same: list[float] = []

    def add(self, scores: Array, found: Array, first: Array, label: Array | None) -> None:
        binary = self._spec.task == "multilabel" or scores.shape[1] == 1
        part = scores[0, :, ::STRIDE, ::STRIDE].astype(np.float64)
        chances = _chances(part, self._spec.postprocess.activation, binary)
        self._marginal.append(chances.mean(axis=(2, 3)))
        self._entropy.append(float(_entropy(chances).mean()))
        self._same.append(float((found == first).mean()))
        if self._matrix is not None and label is not None:
            self._matrix += confusion(label, found, len(self._matrix), self._ignore)

    def trial(self, change: str, settings: str) -> Trial:
        marginal = np.mean(self._marginal, axis=0)
        known = float(_entropy(marginal).mean()) - float(np.mean(self._entropy))
        miou = None if self._matrix is None else float(mean_iou(self._matrix)) * 100
        return Trial(
            change=change,
            settings=settings,
            miou=None if miou is None or math.isnan(miou) else miou,
            certainty=100 * known / math.log(len(marginal)),
            agreement=100 * float(np.mean(self._same)),
        )


def _chances(scores: Array, activation: str, binary: bool) -> Array:
    """[C,H,W] scores to probabilities [C,1,H,W], or yes and no of each channel [2,C,H,W]."""
    if activation != "logits":
        chances = np.clip(scores, 0.0, 1.0)
    elif binary:
        chances = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
    else:
        powers = np.exp(scores - scores.max(axis=0))
        chances = powers / powers.sum(axis=0)
    return np.stack([chances, 1 - chances]) if binary else chances[:, None]


def _entropy(chances: Array) -> Array:
    """In nats, over the first axis."""
    return np.asarray(-(chances * np.log(np.maximum(chances, 1e-12))).sum(axis=0))


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.4g}" for value in values)
