"""Where a network comes from and what its pixels mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from edgeseg.core.names import require_name
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess, Shape, Size
from edgeseg.errors import ModelError

DEFAULT_TASK = "semantic"
Option = str | int | float | bool | tuple[int, ...] | None


class ClassInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class: its name and its RGB colour in overlays and palette masks."""

    name: str
    color: tuple[int, int, int]


class Pruned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Output channels taken from a layer, and with them everything that depends on them.

    Attributes:
        layer: name of the module in the network.
        channels: their indices when they were taken, as ranges: `0-3,7`.
    """

    layer: str
    channels: str

    @classmethod
    def of(cls, layer: str, indices: Iterable[int]) -> Pruned:
        """From indices in any order."""
        runs: list[list[int]] = []
        for index in sorted(indices):
            if runs and index == runs[-1][1] + 1:
                runs[-1][1] = index
            else:
                runs.append([index, index])
        return cls(layer, ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs))

    def indices(self) -> tuple[int, ...]:
        """The channels, ascending. Raises ModelError when the text is not a list of ranges."""
        found: list[int] = []
        for part in self.channels.split(","):
            match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
            if last < first:
                raise ModelError(
                    f"the pruning history of '{self.layer}' holds the channels '{self.channels}'",
                    expected="ranges such as 0-3,7",
                )
            found.extend(range(first, last + 1))
        return tuple(found)


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the network comes from.

    Attributes:
        kind: `zoo` (a registered name), `python`, `onnx`, `pt2`.
        ref: the name in the zoo, or of the file, as in `net.py:factory`; where it lies, who uses it says.
        options: what the zoo constructor or the factory is called with.
        sha256: of the Python, `.onnx` or `.pt2` file; empty for the zoo.
        output: for `python` and `pt2`: which of the values the network returns counts, as keys and
            indices joined by dots (`out`, `0`); empty: it returns one tensor.
        pruning: what was taken from the network after it was built, in this order.
    """

    kind: Literal["zoo", "python", "onnx", "pt2"]
    ref: str
    options: dict[str, Option] = {}
    sha256: str = ""
    output: str = ""
    pruning: tuple[Pruned, ...] = ()


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file the weights were read from. Its name informs; its hash and `key` identify.

    Attributes:
        key: of the weights within a file that holds several, as `--weights-key` named them.
    """

    file: str
    sha256: str
    key: str = ""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network and the contract of its pixels.

    Attributes:
        name: short name, used for bundle folders.
        weights: None means random weights: latency is true, accuracy is meaningless.
        task: what it decides, the name of a file in `runtime/tasks/`.
        input_size: (height, width) of the network input in pixels.
        stride: both sides of `input_size` must be divisible by it.
        classes: in the order of the output channels; a semantic network of one channel has two, background
            and foreground.
        ignore_index: label value that is not scored, or None.
    """

    name: str
    source: Source
    weights: Weights | None = None
    task: str = DEFAULT_TASK
    input_size: Size
    stride: int = 1
    classes: tuple[ClassInfo, ...]
    ignore_index: int | None = None
    preprocess: Preprocess = Preprocess()
    postprocess: Postprocess = Postprocess()

    def __post_init__(self) -> None:
        require_name(self.name, "the network name")

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def input_shape(self) -> Shape:
        return (self.preprocess.channels, *self.input_size)

    def check_input_size(self) -> None:
        """Raise ModelError, with the size to use, when the input does not fit the stride."""
        height, width = self.input_size
        fit = tuple(max(self.stride, -(-side // self.stride) * self.stride) for side in (height, width))
        if (height, width) != fit:
            raise ModelError(
                f"input size {height}x{width} (height x width) does not fit '{self.name}'",
                expected=f"both sides divisible by {self.stride}",
                hint=f"use --input-size {fit[0]}x{fit[1]}; frames are padded to it",
            )


def default_classes(count: int) -> tuple[ClassInfo, ...]:
    """`count` classes named class0, class1, ... with distinct colours (the PASCAL VOC colour map)."""
    return tuple(ClassInfo(f"class{i}", _voc_color(i)) for i in range(count))


def with_unlabelled(classes: tuple[ClassInfo, ...], count: int) -> tuple[ClassInfo, ...]:
    """The classes of labels, and behind them those that only a network of `count` classes has."""
    taken = {info.color for info in classes}
    spare = (info.color for info in default_classes(len(taken) + count) if info.color not in taken)
    more = (ClassInfo(info.name, next(spare)) for info in default_classes(count)[len(classes) :])
    return (*classes, *more)


def with_ignored(
    classes: tuple[ClassInfo, ...] | None, ignore_index: int | None, channels: int
) -> tuple[ClassInfo, ...] | None:
    """The classes of labels, and the value that they ignore where the last of `channels` is its own."""
    if classes is not None and len(classes) == ignore_index == channels - 1:
        return with_unlabelled(classes, channels)
    return classes


def _voc_color(index: int) -> tuple[int, int, int]:
    red = green = blue = 0
    for bit in range(8):
        red |= (index >> 0 & 1) << (7 - bit)
        green |= (index >> 1 & 1) << (7 - bit)
        blue |= (index >> 2 & 1) << (7 - bit)
        index >>= 3
    return red, green, blue
