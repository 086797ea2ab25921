"""Are the pixels what the network was trained on? Its contract, tried against the usual mistakes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from edgeseg.calibration.network import Network
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets.tasks import labels_of
from edgeseg.metrics.tasks import MetricTask, metric_of
from edgeseg.runtime.tasks import decided, task_of
from edgeseg.runtime.tasks.maps import MapTask

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
        score: the metric of the task against the labels, in points; None without labels.
        certainty: mutual information between pixel and predicted class, 0 to 100 (all of log C): high when
            predictions are sure and differ from pixel to pixel. None: of a task without scores of pixels.
        agreement: what is found as by the contract, such as pixels with the same class, in percent.
    """

    change: str
    settings: str
    score: float | None
    certainty: float | None
    agreement: float


class ContractTest(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        trials: the contract as stated, then the others, best first.
        metric: its name, as in `mIoU`; `unit`: what `Trial.agreement` counts, as in `pixel`.
        labelled: labels decided; else `fits` only means that nothing speaks against the contract.
    """

    images: int
    metric: str
    unit: str
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
        if whole and full == 1:
            continue  # their pixels are 0-1 as they come
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
    return spec.task == images.task and 0 < len(images.classes) <= len(spec.classes)


def contract_test(network: Network, images: Split, progress: Progress) -> ContractTest:
    """Run the network under each contract on the images; labels decide where there are some."""
    spec, images = network.spec, network.seen(images)
    scored = scorable(spec, images)
    tried = variants(spec.preprocess)
    tallies = [_Tally(network, images if scored else None) for _ in tried]
    runner = _Runner(network)
    for index in range(len(images)):
        progress("trying the pixel contract", index, len(images))
        image = images.image(index)
        label = runner.label(images.label(index)) if scored else None
        first: Any = None
        for (_, _, contract), tally in zip(tried, tallies):
            scores, found = runner(image, contract)
            first = found if first is None else first
            tally.add(scores, found, first, label)
    trials = [tally.trial(change, text) for (change, text, _), tally in zip(tried, tallies)]
    stated, others = trials[0], sorted(trials[1:], key=_merit, reverse=True)
    metric = metric_of(spec)
    fits, verdict = _judge(stated, others, metric)
    return ContractTest(
        images=len(images),
        metric=metric.metric,
        unit=metric.unit,
        trials=(stated, *others),
        labelled=stated.score is not None,
        fits=fits,
        verdict=verdict,
    )


def _judge(stated: Trial, others: list[Trial], task: MetricTask) -> tuple[bool, str]:
    best, metric = others[0], task.metric
    swap = next((t for t in others if t.change == SWAPPING), None)
    if stated.score is not None and best.score is not None:
        if best.score > stated.score + MARGIN:
            return False, (
                f"the contract does not fit: {metric} {stated.score:.1f} on these images; {best.change} "
                f"would give {best.score:.1f} (--set {' --set '.join(best.settings.split())})"
            )
        rest = next(t for t in others if t is not swap)
        return True, (
            f"the contract fits: {metric} {stated.score:.1f} on these images; "
            + (f"{SWAPPING} would give {swap.score:.1f}, " if swap else "")
            + f"{rest.change} {rest.score:.1f}"
        )
    other = swap or best
    change = f"change {100 - other.agreement:.1f}% of the {task.unit}s"
    if best.certainty is None or stated.certainty is None:
        return True, (
            f"without labels nothing says whether the contract fits; {other.change} would {change}; "
            "test it on labelled images"
        )
    if best.certainty > stated.certainty + MARGIN:
        return False, (
            f"without labels the contract is in doubt: certainty {stated.certainty:.1f}; {best.change} would "
            f"give {best.certainty:.1f}; test it on labelled images"
        )
    return True, (
        f"without labels nothing speaks against the contract: certainty {stated.certainty:.1f}; "
        f"{other.change} would give {other.certainty:.1f} and {change}"
    )


def _merit(trial: Trial) -> float:
    """Without both, those that change most."""
    if trial.score is not None:
        return trial.score
    return -trial.agreement if trial.certainty is None else trial.certainty


class _Runner:
    def __init__(self, network: Network) -> None:
        from edgeseg.graph.reference import session

        self._network = network
        self._session = session(network.graph, keep=True)

    def __call__(self, image: Array, contract: Preprocess) -> tuple[Any, Any]:
        """What the task decides from, of one image, and what is found in it."""
        from edgeseg.graph.reference import run

        network = self._network
        found = run(self._session, network.feed(image, contract))
        task = task_of(network.spec)
        alone = {name: found[name][:1] for name in task.read(network.spec, tuple(found))}
        scores = task.scores(alone, network.spec)
        place = contract.place(network.camera_size, network.spec.input_size)
        first = decided(scores, network.spec, place)[0]
        marks, size = labels_of(network.spec.task), (image.shape[0], image.shape[1])
        part = network.part(size)
        return scores, marks.resized(first, image[part].shape[:2] if part else size)

    def label(self, label: Any) -> Any:
        """Of the part of the image that the network sees."""
        marks = labels_of(self._network.spec.task)
        part = self._network.part(marks.size(label))
        return marks.part(label, *part) if part else label


class _Tally:
    def __init__(self, network: Network, labels: Split | None) -> None:
        self._spec = network.spec
        self._metric = metric_of(network.spec, None if labels is None else labels.ignore_index)
        self._of_pixels = isinstance(task_of(network.spec), MapTask)
        self._kept: list[Any] = []
        self._marginal: list[Array] = []
        self._entropy: list[float] = []
        self._same: list[float] = []

    def add(self, scores: Any, found: Any, first: Any, label: Any) -> None:
        if self._of_pixels:
            self._look(scores)
        equal, compared = self._metric.equal(found, first)
        self._same.append(equal / compared if compared else 1.0)
        if label is not None:
            self._kept.append(self._metric.keep(label, found))

    def _look(self, scores: Array) -> None:
        binary = not task_of(self._spec).exclusive(scores.shape[1])
        part = scores[0, :, ::STRIDE, ::STRIDE].astype(np.float64)
        chances = _chances(part, self._spec.postprocess.activation, binary)
        self._marginal.append(chances.mean(axis=(2, 3)))
        self._entropy.append(float(_entropy(chances).mean()))

    def _certainty(self) -> float:
        marginal = np.mean(self._marginal, axis=0)
        known = float(_entropy(marginal).mean()) - float(np.mean(self._entropy))
        return 100 * known / math.log(len(marginal))

    def trial(self, change: str, settings: str) -> Trial:
        score = 100 * self._metric.figures(self._kept).value if self._kept else None
        return Trial(
            change=change,
            settings=settings,
            score=None if score is None or math.isnan(score) else score,
            certainty=self._certainty() if self._of_pixels else None,
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
