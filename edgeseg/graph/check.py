"""A graph against where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Check
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Shape, Size
from edgeseg.errors import GraphError
from edgeseg.graph.editor import shape_of
from edgeseg.graph.reference import Again, session
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.strips import parts
from edgeseg.runtime.tasks.instance import OUTPUTS
from edgeseg.runtime.things import things_apart

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

LARGEST_ERROR = 1e-2
"""Of max |reference|: beyond this a graph is wrong, not merely rounded differently."""
ROUNDING = 1e-5
"""An absolute difference that is never wrong: probabilities may all be close to 0."""
NUDGE = 2.0**-20
"""A change of the input, relative and absolute, that no sound output follows: some bits of a float32."""

Reference = Callable[[NDArray[np.float32]], Sequence[Array]]
"""Takes the input, returns the outputs in the order of the graph; the next call may overwrite them."""


class Inputs(Mapping[str, NDArray[np.float32]]):
    """Inputs by kind, each made when it is asked for and kept by nobody."""

    def __init__(self, makers: Mapping[str, Callable[[], NDArray[np.float32]]]) -> None:
        self._makers = makers

    def __getitem__(self, kind: str) -> NDArray[np.float32]:
        return self._makers[kind]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def check_images(frames: Array, kind: str, contract: Preprocess, input_size: Size) -> Inputs:
    """Inputs [N,C,*input_size] by kind: the frames [N,...], black and white ones, `constant` (zero, the
    mean colour of most contracts), and `out of range`: pixels from minus the full value to twice it."""
    shape = (len(frames), contract.channels, *input_size)
    frame, full, of_images = contract.frame, contract.frame.full, contract.of_images

    def flat(value: float) -> NDArray[np.float32]:
        size = of_images.frame.shape(len(frames), *frame_size(frames, frame))
        return preprocess(np.full(size, value, frame.dtype), of_images, input_size)

    def out_of_range() -> NDArray[np.float32]:
        multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in contract.affine())
        pixels = np.random.default_rng(1).uniform(-full, 2 * full, shape).astype(np.float32)
        pixels *= multiplier
        pixels += offset
        return pixels

    def zeros() -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    return Inputs({
        kind: partial(preprocess, frames, contract, input_size),
        "black": partial(flat, 0),
        "white": partial(flat, full),
        "constant": zeros,
        "out of range": out_of_range,
    })  # fmt: skip


def check_against_torch(
    graph: ModelProto,
    module: nn.Module,
    shape: Shape,
    batch: int,
    inputs: Mapping[str, NDArray[np.float32]],
) -> tuple[Check, ...]:
    """Compare with the torch module, in eval mode, on random values and on `inputs` (kind -> NCHW).

    Raises:
        GraphError: an output differs by more than LARGEST_ERROR, or from run to run.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    was_training = module.training
    module.eval()

    def reference(image: NDArray[np.float32]) -> list[Array]:
        with torch.no_grad():
            return [t.cpu().numpy() for t in tree_leaves(module(torch.from_numpy(image).to(device)))]

    try:
        return compare(graph, reference, _with_noise((batch, *shape), inputs), against="PyTorch")
    finally:
        module.train(was_training)


def check_against_onnx(
    graph: ModelProto, original: ModelProto, inputs: Mapping[str, NDArray[np.float32]]
) -> tuple[Check, ...]:
    """Compare with the graph as it was before it was rewritten. Raises as `check_against_torch`."""
    again, source = Again(session(original)), original.graph.input[0]

    def reference(image: NDArray[np.float32]) -> list[Array]:
        return list(again({source.name: image}).values())

    shape = tuple(int(d) for d in shape_of(source))
    return compare(graph, reference, _with_noise(shape, inputs), against="the ONNX file")


def compare(
    graph: ModelProto, reference: Reference, inputs: Mapping[str, NDArray[np.float32]], *, against: str
) -> tuple[Check, ...]:
    """One Check per kind of input: the largest error over all outputs, each relative to its largest value.

    What the last bits of the input decide in the reference itself, as noise over its own deviation in a flat
    picture, is not compared; a kind of input where nothing else is left has no Check. Of a network of
    instances things are compared with their partners, for the order of equal scores means nothing.
    """
    again, image = Again(session(graph)), graph.graph.input[0].name
    of_things = set(OUTPUTS) <= {output.name for output in graph.graph.output}
    compared = _compared_things if of_things else _compared
    found = (compared(again, reference, image, inputs[kind], kind, against) for kind in inputs)
    return tuple(check for check in found if check)


def _compared(
    again: Again, reference: Reference, name: str, image: NDArray[np.float32], kind: str, against: str
) -> Check | None:
    """`compare` of one kind of input: what the outputs hold goes before the next is run."""
    found = again({name: image})
    expected = reference(image)
    errors = [relative_error(a, b) for a, b in zip(found.values(), expected)]
    worst = int(np.argmax(errors))
    if not _accepted(errors[worst], expected[worst]):
        expected = [np.array(value) for value in expected]
        _require_repeatable(reference, image, expected, kind)
    if np.isfinite(errors[worst]) and not _accepted(errors[worst], expected[worst]):
        settled = _settled(reference, image, expected)
        if not any(mask.any() for mask in settled):
            return None
        errors = [relative_error(a, b, mask) for mask, a, b in zip(settled, found.values(), expected)]
        worst = int(np.argmax(errors))
    if not _accepted(errors[worst], expected[worst]):
        raise _different(f"the output '{list(found)[worst]}'", against, kind, errors[worst])
    return Check(what="ONNX Runtime", against=against, inputs=kind, max_error=errors[worst])


def _compared_things(
    again: Again, reference: Reference, name: str, image: NDArray[np.float32], kind: str, against: str
) -> Check | None:
    """`compare` of one kind of input, of a network of instances."""
    found = again({name: image})
    expected = dict(zip(found, [np.array(value) for value in reference(image)]))
    error = things_apart(found, expected)
    if not error <= LARGEST_ERROR:
        if things_apart(dict(zip(found, reference(image))), expected) > LARGEST_ERROR:
            raise _not_repeatable(kind)
        if things_apart(dict(zip(found, reference(_nudged(image)))), expected) > LARGEST_ERROR:
            return None
        raise _different("a thing", against, kind, error)
    return Check(what="ONNX Runtime", against=against, inputs=kind, max_error=error)


def _different(what: str, against: str, kind: str, error: float) -> GraphError:
    return GraphError(
        f"{what} of the ONNX graph differs from {against} by {error:.1e} of its largest value on {kind} "
        "input",
        expected=f"at most {LARGEST_ERROR:.0e}",
        hint="report this network: an operator was translated wrongly",
    )


def _require_repeatable(
    reference: Reference, image: NDArray[np.float32], expected: Sequence[Array], kind: str
) -> None:
    """
    Raises:
        GraphError: the reference gives something else when it is run on the same input again.
    """
    if all(_accepted(relative_error(a, b), b) for a, b in zip(reference(image), expected)):
        return
    raise _not_repeatable(kind)


def _not_repeatable(kind: str) -> GraphError:
    return GraphError(
        f"the network gives another output each time it is run on the same {kind} input",
        expected="a network that chance does not change in evaluation mode",
        hint="dropout takes training=self.training (F.dropout is always on without it), and forward draws no "
        "random numbers",
    )


def relative_error(found: Array, reference: Array, where: NDArray[np.bool_] | None = None) -> float:
    """Largest |difference| over largest |reference|, of finite values; infinite for other shapes, or NaN or
    infinity on one side only.

    Args:
        where: elsewhere nothing is compared.
    """
    if found.shape != reference.shape:
        return float("inf")
    found, reference = np.ravel(found), np.ravel(reference)
    compared = None if where is None else np.ravel(where)
    largest = 0.0
    for part in parts(found.size):
        a, b = found[part], reference[part]
        if compared is not None:
            a = np.where(compared[part], a, b)
        difference = _difference(a, b, largest)
        if difference is None:
            finite = np.isfinite(a) & np.isfinite(b)
            if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
                return float("inf")
            difference = float(np.abs(a[finite].astype(np.float64) - b[finite]).max(initial=0.0))
        largest = max(largest, difference)
    return largest / _largest(reference)


def _difference(a: Array, b: Array, known: float) -> float | None:
    """Largest |a - b| in float64, if beyond `known`. None: a value, or this one in float32, is not finite.

    Rounded to float32, the largest difference is still one of the largest.
    """
    if a.dtype != np.float32 or b.dtype != np.float32:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.subtract(a, b)
        largest = np.abs(rounded, out=rounded).max()
    if not np.isfinite(largest):
        return None
    if largest == 0 or largest < np.float32(known):
        return 0.0
    there = rounded == largest
    return float(np.abs(a[there].astype(np.float64) - b[there]).max())


def _accepted(error: float, reference: Array) -> bool:
    return error <= LARGEST_ERROR or error * _largest(reference) <= ROUNDING


def _settled(
    reference: Reference, image: NDArray[np.float32], expected: Sequence[Array]
) -> list[NDArray[np.bool_]]:
    """Where each output of the reference stays when the input moves by NUDGE."""
    return [_close(a, b) for a, b in zip(reference(_nudged(image)), expected)]


def _nudged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    factors, shifts = rng.uniform(-NUDGE, NUDGE, (2, *image.shape)).astype(np.float32)
    return np.asarray(image * (1 + factors) + shifts, np.float32)


def _close(moved: Array, expected: Array) -> NDArray[np.bool_]:
    limit, close = LARGEST_ERROR * _largest(expected), np.empty(expected.size, np.bool_)
    moved, expected, shape = np.ravel(moved), np.ravel(expected), expected.shape
    for part in parts(close.size):
        close[part] = np.abs(moved[part] - expected[part]) <= limit
    return close.reshape(shape)


def _largest(values: Array) -> float:
    """Of finite |values|; 1 where all are 0."""
    largest, values = 0.0, np.ravel(values)
    for part in parts(values.size):
        size = values[part]
        if size.dtype == np.float32:
            ends = float(size.max()), -float(size.min())
            if np.isfinite(ends).all():
                largest = max(largest, *ends)
                continue
        size = np.abs(size)
        largest = max(largest, float(size[np.isfinite(size)].max(initial=0.0)))
    return largest or 1.0


def _with_noise(
    shape: tuple[int, ...], inputs: Mapping[str, NDArray[np.float32]]
) -> Mapping[str, NDArray[np.float32]]:
    """`inputs`, and random values before them."""
    given = {kind: partial(inputs.__getitem__, kind) for kind in inputs}
    return Inputs({"random": partial(_noise, shape), **given})


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, np.float32)
