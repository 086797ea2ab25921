"""A split: ordered ids, and the pixels behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import DEFAULT_TASK, ClassInfo, ModelSpec
from edgeseg.core.plugins import unknown
from edgeseg.core.ports import Progress, silent
from edgeseg.core.samples import Sample, SampleList
from edgeseg.datasets.hashing import Fingerprint, difference_hash, pixel_sha256
from edgeseg.datasets.tasks import LabelTask, labels_of
from edgeseg.errors import DataError, InputError

Pixels = NDArray[Any]
Read = Callable[[str], Any]

HELD_OUT_SHARE = 4
"""At most one of so many images is held out from training."""


@dataclass(frozen=True)
class Split:
    """Images and labels of one split, read when asked for.

    Attributes:
        dataset: name of the layout; `name`: of the split.
        ids: one per image, in a fixed order.
        classes, ignore_index: what the values of a label mean; no classes: images without labels.
        read_image: id -> [H,W,C], uint8, uint16 or float32; three channels are RGB. `read_label`: id -> what
            `task` says, as in uint8 [H,W].
        where: id -> the file a label comes from, for errors.
        sequence: id -> the video it comes from; None: nothing tells, so each image stands for itself.
        threads: so many may read images at once.
        task: of which labels are; a network of another cannot be scored with them.
        generated: RGB of no camera, which may be taken for the pixels of any.
        frame: what the images are, where the layout states it.
        stored: id -> the pixels by which an image is identified; None: those of `read_image`.
    """

    dataset: str
    name: str
    ids: tuple[str, ...]
    classes: tuple[ClassInfo, ...]
    ignore_index: int | None
    read_image: Read = field(repr=False)
    read_label: Read = field(repr=False)
    where: Callable[[str], str] = field(default=str, repr=False)
    sequence: Callable[[str], str] | None = field(default=None, repr=False)
    threads: int = 1
    task: str = DEFAULT_TASK
    generated: bool = False
    frame: Frame | None = None
    stored: Read | None = field(default=None, repr=False)
    _samples: dict[tuple[Read, str], Sample] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Pixels:
        """Pixels [H,W,C]. Raises DataError for a file that cannot be decoded."""
        return self.read_image(self.ids[index])

    @property
    def marks(self) -> LabelTask:
        """What is known of its labels."""
        return labels_of(self.task)

    def label(self, index: int) -> Any:
        """Of `semantic` data class ids [H,W], below `len(classes)` or `ignore_index`: uint8, int32 where
        there are higher ones. Of `multilabel` data bit masks, uint8 [H,W,B].

        Raises:
            DataError: the mask is missing or broken, has another size than its image, or holds
                other values.
        """
        identity = self.ids[index]
        label = self.read_label(identity)
        self.marks.check(label, len(self.classes), self.ignore_index, where=self.where(identity))
        return label

    def spread(self, count: int) -> list[int]:
        """Places of so many images from the first to the last: neighbours of a video hardly differ."""
        return [round(i * (len(self) - 1) / max(1, count - 1)) for i in range(count)]

    def limit(self, count: int) -> Split:
        """The first `count` images; 0: all."""
        if count < 0:
            raise DataError(f"a limit of {count} images was given", expected="a number from 0 (all) up")
        return replace(self, ids=self.ids[:count]) if count else self

    def hold_out(self, count: int) -> tuple[Split, Split]:
        """The images to learn from, and those that judge what was learnt: `count` at the end, at least one
        and at most a quarter.

        Raises:
            DataError: fewer than two images.
        """
        if len(self) < 2:
            raise DataError(
                f"{self.dataset}/{self.name} has {len(self)} image(s)",
                expected="two or more: some are trained on, the others choose the weights",
            )
        cut = len(self) - max(1, min(count, len(self) // HELD_OUT_SHARE))
        held_out = replace(self, name=f"{self.name} (held out)", ids=self.ids[cut:])
        return replace(self, ids=self.ids[:cut]), held_out

    @property
    def sequences(self) -> tuple[str, ...]:
        """The video each image comes from, one name per image; empty where nothing tells."""
        return () if self.sequence is None else tuple(map(self.sequence, self.ids))

    @property
    def meaning(self) -> str:
        """What the values of the labels stand for, and which images are of one video, as text."""
        return repr((self.task, self.classes, self.ignore_index, *self.sequences))

    def fingerprint(self, progress: Progress = silent) -> str:
        """sha256 over all pixels, as `image` gives them, and labels: another one where anything that is
        learnt or scored differs."""
        found = Fingerprint(self.meaning)
        for index, identity in enumerate(self.ids):
            progress(f"reading {self.dataset}/{self.name}", index, len(self.ids))
            label = self.marks.content(self.label(index)) if self.classes else b""
            seen = pixel_sha256(self.image(index)) if self.stored else self._sample(identity).sha256
            found.add(identity, seen, label)
        return found.hexdigest()

    def sample_list(self, progress: Progress = silent) -> SampleList:
        """The images identified by their decoded pixels. Hashes are kept for the life of the process."""
        new = [identity for identity in self.ids if (self._identifies, identity) not in self._samples]
        with ThreadPoolExecutor(self.threads) as pool:
            for done, _ in enumerate(pool.map(self._sample, new)):
                progress(f"hashing {self.dataset}/{self.name}", done, len(new))
        samples = tuple(self._sample(identity) for identity in self.ids)
        return SampleList(dataset=self.dataset, split=self.name, samples=samples)

    @property
    def _identifies(self) -> Read:
        return self.stored or self.read_image

    def _sample(self, identity: str) -> Sample:
        key = self._identifies, identity
        if key not in self._samples:
            pixels = self._identifies(identity)
            self._samples[key] = Sample(identity, pixel_sha256(pixels), difference_hash(pixels))
        return self._samples[key]


def require_task(split: Split, spec: ModelSpec) -> None:
    """Raise InputError for labels that a network cannot be trained on, nor scored with."""
    if split.task != spec.task:
        raise InputError(
            f"'{spec.name}' is a {spec.task} network, the labels of '{split.dataset}' are {split.task}",
            expected=f"{spec.task} labels",
            hint=f"if the network decides as the labels say, state it: --set task={split.task}; without "
            "labels, compare it with FP32: --images FOLDER",
        )
    if not split.marks.partial and len(split.classes) != len(spec.classes):
        raise InputError(
            f"'{spec.name}' has {len(spec.classes)} classes, '{split.dataset}' has {len(split.classes)}",
            expected="the same classes",
        )


def require_split(name: str, splits: Sequence[str], *, where: str) -> None:
    """Raise DataError, listing the splits, when `name` is not one of them."""
    if name not in splits:
        raise unknown(
            name, splits, noun=f"split in {where}", listing="edgeseg schema datasets", error=DataError
        )
