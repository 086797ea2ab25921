"""The self-check: does the engine still find what its network found when it was exported?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.core.syntax import ONE_TREE
from edgeseg.errors import BundleError
from edgeseg.runtime.tasks import Outputs, task_of

STORED = "stored/"
"""How the names of the second outputs in a golden file begin."""
MOST_MOVED, LEAST_DIFFERENT = 1.5, 0.005
"""At full precision, a right engine moves as many pixels of the images as rounding does: of int8, 0.7 to 1.0
times as many; one with a channel of another sign that moves 1%, 1.6 times as many or more. A right int8 FPN
moved 0.4% where rounding moves next to none."""

Computed = Literal["rounded", "levels", "stored", "network"]
"""How what is compared with the golden frames computes: in the engine's own precision; in float32 between
levels of int8; without such levels in float32, with weights as the engine's file stores them, or with those
of the network."""


class GoldenFrames(NamedTuple):
    """
    Attributes:
        frames: [N,...] as the camera delivers them.
        expected: what the network gives for them, between its levels of int8 if it has such.
        stored: the same without them, and with weights as the engine's file stores them, as float16 maybe.
        confident: marks of decisions, as `RuntimeTask.marks` describes them: those that stay in float32
            without levels, in any order of sums.
        stable: those that stay in the precision of the engine.
    """

    frames: Array
    expected: Outputs
    stored: Outputs
    confident: NDArray[Any]
    stable: NDArray[Any]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        agreement: share of compared decisions that are the golden ones; 1.0 if none was compared.
        limit: the smallest share that passes.
        pixels: how many were compared: those that rounding cannot move. Of classes that overlap, bits.
        decisions: which of the two.
        different: at full precision, share of all pixels of the images that have another class.
        most_different: the largest share that passes: what rounding moves, and half as many again.
    """

    agreement: float
    limit: float
    pixels: int
    decisions: str = "pixels"
    different: float = 0.0
    most_different: float = 1.0

    @property
    def passed(self) -> bool:
        return self.agreement >= self.limit and self.different <= self.most_different


def golden_frames(bundle: Bundle) -> GoldenFrames | None:
    """None when the bundle carries no golden frames. Raises BundleError when their file is broken."""
    golden = bundle.manifest.golden
    if golden is None:
        return None
    file = bundle.file(golden.file)
    try:
        with file.open("rb") as stream, ONE_TREE, np.load(stream, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except Exception as fault:  # a broken archive fails anywhere inside zipfile, zlib and NumPy
        raise BundleError(
            f"{file} cannot be read: {str(fault) or type(fault).__name__}", hint="make the bundle again"
        ) from fault
    spec, window = bundle.manifest.model, bundle.engine.window
    task, count = task_of(spec), len(held["frames"]) if held.get("frames", np.array(0)).ndim else 0
    outputs, frame = task.outputs(spec, count, window), spec.preprocess.frame
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {"frames": (frame.dtype, frame.shape(count, *window))}
    wanted |= {f"{part}{o.name}": (o.dtype, o.shape) for part in ("", STORED) for o in outputs}
    _require_arrays(file, held, wanted)
    expected, stored = ({o.name: held[part + o.name] for o in outputs} for part in ("", STORED))
    masks = dict.fromkeys(("confident", "stable"), task.marks(expected))
    _require_arrays(file, held, {**wanted, **masks})
    if wrong := task.fault(expected, spec) or task.fault(stored, spec):
        raise BundleError(
            f"{file} holds {wrong}",
            expected=f"what a {task.name} network of {len(spec.classes)} classes gives",
            hint="make the bundle again",
        )
    return GoldenFrames(held["frames"], expected, stored, held["confident"], held["stable"])


def _require_arrays(file: Path, held: Outputs, wanted: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise BundleError when an array is missing, or has another dtype or shape."""
    if all(n in held and (held[n].dtype.name, held[n].shape) == about for n, about in wanted.items()):
        return
    raise BundleError(
        f"{file} holds {', '.join(f'{name} {a.dtype} {list(a.shape)}' for name, a in held.items())}",
        expected=", ".join(f"{name} {dtype} {list(shape)}" for name, (dtype, shape) in wanted.items()),
        hint="make the bundle again",
    )


def agreement(
    run: Callable[[Array], Outputs], bundle: Bundle, computed: Computed = "rounded"
) -> Agreement | None:
    """Run the golden frames and compare what is found in them.

    Args:
        run: frames [N,...] to outputs by name, such as `Session.outputs`.

    Returns:
        None when the bundle carries no golden frames.
    """
    golden = bundle.manifest.golden
    found = golden_frames(bundle)
    if golden is None or found is None:
        return None
    marks = found.stable if computed in ("rounded", "levels") else found.confident
    wanted = found.stored if computed == "stored" else found.expected
    task, outputs = task_of(bundle.manifest.model), run(found.frames)
    equal, marked = task.agreeing(outputs, wanted, marks)
    result = Agreement(
        agreement=equal / marked if marked else 1.0,
        limit=golden.min_agreement,
        pixels=marked,
        decisions=task.decisions,
    )
    if computed == "rounded":
        return result
    images = task.same(outputs, wanted)[:-1]  # the last is a test card
    return msgspec.structs.replace(
        result,
        limit=golden.min_agreement_full,
        different=1.0 - float(images.mean()) if images.size else 0.0,
        most_different=max(LEAST_DIFFERENT, MOST_MOVED * golden.moved),
    )


def self_check(run: Callable[[Array], Outputs], bundle: Bundle) -> Agreement | None:
    """`agreement` in the precision of the engine.

    Raises:
        BundleError: the masks agree less than the bundle promises, or its golden file is broken.
    """
    result = agreement(run, bundle)
    if result is not None and not result.passed:
        raise BundleError(
            f"{bundle.path} failed its self-check: {result.agreement:.2%} of {result.pixels} "
            f"{result.decisions} agree with those recorded at export",
            expected=f"at least {result.limit:.2%}",
            hint="build the bundle again on this device; open it with check=False only to diagnose",
        )
    return result
