"""The self-check on open: does the engine still give the masks its network gave when it was exported?"""

from __future__ import annotations

import zipfile
from collections.abc import Callable

import msgspec
import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.errors import BundleError


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        agreement: share of compared pixels whose class is the golden one; 1.0 if none was compared.
        limit: the smallest share that passes.
        pixels: how many were compared: those whose two best scores lie clearly apart.
    """

    agreement: float
    limit: float
    pixels: int


def golden_frames(bundle: Bundle) -> Array | None:
    """uint8 [N,H,W,3], or None when the bundle carries no golden frames."""
    return None if bundle.manifest.golden is None else _read(bundle)[0]


def self_check(run: Callable[[Array], Array], bundle: Bundle) -> Agreement | None:
    """Run the golden frames and compare the class maps.

    Args:
        run: uint8 [N,H,W,3] -> uint8 [N,H,W], such as a Session.

    Returns:
        None when the bundle carries no golden frames.

    Raises:
        BundleError: the masks agree less than the bundle promises, or its golden file is broken.
    """
    golden = bundle.manifest.golden
    if golden is None:
        return None
    frames, expected, sure = _read(bundle)
    same = (run(frames) == expected)[sure]
    result = Agreement(
        agreement=float(same.mean()) if same.size else 1.0, limit=golden.min_agreement, pixels=same.size
    )
    if result.agreement < result.limit:
        raise BundleError(
            f"{bundle.path} failed its self-check: {result.agreement:.2%} of {result.pixels} pixels agree "
            "with the class maps recorded at export",
            expected=f"at least {result.limit:.2%}",
            hint="build the bundle again on this device; open it with check=False only to diagnose",
        )
    return result


def _read(bundle: Bundle) -> tuple[Array, Array, Array]:
    assert bundle.manifest.golden is not None
    file = bundle.file(bundle.manifest.golden.file)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            frames, expected, sure = (arrays[name] for name in ("frames", "class_map", "sure"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise BundleError(f"{file} cannot be read: {fault}", hint="make the bundle again") from fault
    if not (frames.ndim == 4 and frames.shape[:3] == expected.shape == sure.shape and sure.dtype == np.bool_):
        raise BundleError(
            f"{file} holds arrays of the shapes {frames.shape}, {expected.shape}, {sure.shape}",
            expected="frames [N,H,W,3], class_map [N,H,W] and sure (bool) [N,H,W]",
        )
    return frames, expected, sure
