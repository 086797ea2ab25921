"""The self-check: does the engine still give the masks its network gave when it was exported?"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.errors import BundleError

ARRAYS = ("frames", "class_map", "stored", "sure", "stable")


class GoldenFrames(NamedTuple):
    """
    Attributes:
        frames: uint8 [N,H,W,3].
        class_map: uint8 [N,H,W], what the network gives for them.
        stored: the same with its weights as the engine's file stores them, as float16 maybe.
        sure: bool [N,H,W]: pixels that keep their class at full precision, in whatever order it sums.
        stable: those of them that keep it in the precision of the engine.
    """

    frames: NDArray[np.uint8]
    class_map: NDArray[np.uint8]
    stored: NDArray[np.uint8]
    sure: NDArray[np.bool_]
    stable: NDArray[np.bool_]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        agreement: share of compared pixels whose class is the golden one; 1.0 if none was compared.
        limit: the smallest share that passes.
        pixels: how many were compared: those whose class rounding cannot move.
    """

    agreement: float
    limit: float
    pixels: int

    @property
    def passed(self) -> bool:
        return self.agreement >= self.limit


def golden_frames(bundle: Bundle) -> GoldenFrames | None:
    """None when the bundle carries no golden frames. Raises BundleError when their file is broken."""
    golden = bundle.manifest.golden
    if golden is None:
        return None
    file = bundle.file(golden.file)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = GoldenFrames(*(arrays[name] for name in ARRAYS))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise BundleError(f"{file} cannot be read: {fault}", hint="make the bundle again") from fault
    shape = found.class_map.shape
    masks = (found.sure, found.stable)
    if (
        found.frames.ndim != 4
        or any(a.shape[:3] != shape for a in found)
        or any(m.dtype != np.bool_ for m in masks)
    ):
        raise BundleError(
            f"{file} holds arrays of the shapes {', '.join(str(a.shape) for a in found)}",
            expected="frames [N,H,W,3]; class_map, stored, sure (bool) and stable (bool) [N,H,W]",
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
    run: Callable[[Array], Array], bundle: Bundle, *, full_precision: bool = False
) -> Agreement | None:
    """Run the golden frames and compare the class maps.

    Args:
        run: uint8 [N,H,W,3] -> uint8 [N,H,W], such as a Session.
        full_precision: `run` computes in float32, so all pixels count but ties.

    Returns:
        None when the bundle carries no golden frames.
    """
    golden = bundle.manifest.golden
    found = golden_frames(bundle)
    if golden is None or found is None:
        return None
    wanted, compared = (found.stored, found.sure) if full_precision else (found.class_map, found.stable)
    same = (run(found.frames) == wanted)[compared]
    return Agreement(
        agreement=float(same.mean()) if same.size else 1.0,
        limit=golden.min_agreement_full if full_precision else golden.min_agreement,
        pixels=same.size,
    )


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
