"""The self-check: does the engine still give the masks its network gave when it was exported?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.errors import BundleError

ARRAYS = ("frames", "class_map", "stored", "confident", "stable")
DTYPES = (np.uint8, np.uint8, np.bool_, np.bool_)
"""Of those behind the frames."""
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
        class_map: uint8 [N,H,W], what the network gives for them, between its levels of int8 if it has such.
        stored: the same without them, and with weights as the engine's file stores them, as float16 maybe.
        confident: bool [N,H,W]: pixels that keep their class in float32 without levels, in any order of sums.
        stable: pixels that keep it in the precision of the engine.
    """

    frames: Array
    class_map: NDArray[np.uint8]
    stored: NDArray[np.uint8]
    confident: NDArray[np.bool_]
    stable: NDArray[np.bool_]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        agreement: share of compared pixels whose class is the golden one; 1.0 if none was compared.
        limit: the smallest share that passes.
        pixels: how many were compared: those whose class rounding cannot move.
        different: at full precision, share of all pixels of the images that have another class.
        most_different: the largest share that passes: what rounding moves, and half as many again.
    """

    agreement: float
    limit: float
    pixels: int
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
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = GoldenFrames(*(arrays[name] for name in ARRAYS))
    except Exception as fault:  # a broken archive fails anywhere inside zipfile, zlib and NumPy
        raise BundleError(
            f"{file} cannot be read: {str(fault) or type(fault).__name__}", hint="make the bundle again"
        ) from fault
    height, width = bundle.engine.camera_size
    shape = (len(found.frames) if found.frames.ndim else 0, height, width)
    frame = bundle.manifest.model.preprocess.frame
    wanted = (frame.shape(*shape), frame.dtype), *((shape, dtype) for dtype in DTYPES)
    if any(a.shape != s or a.dtype != d for a, (s, d) in zip(found, wanted)):
        given = ", ".join(f"{name} {a.dtype} {list(a.shape)}" for name, a in zip(ARRAYS, found))
        raise BundleError(
            f"{file} holds {given}",
            expected=f"{frame.dtype} frames [N,{','.join(map(str, wanted[0][0][1:]))}], uint8 class_map and "
            f"stored, bool confident and stable [N,{height},{width}]",
            hint="make the bundle again",
        )
    highest, values = int(found.class_map.max(initial=0)), bundle.manifest.model.map_values
    if highest >= values:
        raise BundleError(
            f"{file} holds the value {highest}, and the manifest names {len(bundle.manifest.model.classes)} "
            "classes",
            expected=f"values below {values}",
            hint="make the bundle again",
        )
    return found


def agreement(
    run: Callable[[Array], Array], bundle: Bundle, computed: Computed = "rounded"
) -> Agreement | None:
    """Run the golden frames and compare the class maps.

    Args:
        run: frames [N,...] -> uint8 [N,H,W], such as a Session.

    Returns:
        None when the bundle carries no golden frames.
    """
    golden = bundle.manifest.golden
    found = golden_frames(bundle)
    if golden is None or found is None:
        return None
    compared = found.stable if computed in ("rounded", "levels") else found.confident
    same = run(found.frames) == (found.stored if computed == "stored" else found.class_map)
    if computed == "rounded":
        return Agreement(
            agreement=_share(same[compared]), limit=golden.min_agreement, pixels=int(compared.sum())
        )
    images = same[:-1]  # the last is a test card
    return Agreement(
        agreement=_share(same[compared]),
        limit=golden.min_agreement_full,
        pixels=int(compared.sum()),
        different=1.0 - _share(images),
        most_different=max(LEAST_DIFFERENT, MOST_MOVED * golden.moved),
    )


def _share(same: NDArray[np.bool_]) -> float:
    return float(same.mean()) if same.size else 1.0


def self_check(run: Callable[[Array], Array], bundle: Bundle) -> Agreement | None:
    """`agreement` in the precision of the engine.

    Raises:
        BundleError: the masks agree less than the bundle promises, or its golden file is broken.
    """
    result = agreement(run, bundle)
    if result is not None and not result.passed:
        raise BundleError(
            f"{bundle.path} failed its self-check: {result.agreement:.2%} of {result.pixels} pixels agree "
            "with the class maps recorded at export",
            expected=f"at least {result.limit:.2%}",
            hint="build the bundle again on this device; open it with check=False only to diagnose",
        )
    return result
