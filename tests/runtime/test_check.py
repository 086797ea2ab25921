from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.errors import BundleError
from edgeseg.runtime import load
from edgeseg.runtime.check import agreement, golden_frames


def rewritten(path: Path, change: Callable[[Path], object]) -> Path:
    """A bundle with another golden file, which matches its hash."""
    copy = path.with_name("changed")
    bundle = Bundle.open(path)
    with draft(copy) as work:
        for name in bundle.manifest.files:
            (work.path / name).parent.mkdir(exist_ok=True)
            shutil.copy(path / name, work.path / name)
        change(work.path / "golden.npz")
        work.finish(bundle.manifest)
    return copy


def test_an_engine_that_gives_other_masks_is_refused(make_bundle):
    path = make_bundle(shift=1)
    with pytest.raises(BundleError, match=r"self-check: 0.00% of 288 pixels.*\n.*at least 99.50%"):
        load(path)
    load(path, check=False).close()


def test_pixels_the_network_is_not_sure_of_are_not_compared(make_bundle):
    with load(make_bundle(shift=1, confident=False)) as session:
        assert "the self-check compared no pixel" in session.notes[-1]


def test_a_bundle_without_golden_frames_opens(make_bundle):
    load(make_bundle(shift=1, golden=False)).close()


def test_golden_frames_are_split_and_filled_to_the_batch(make_bundle):
    load(make_bundle(batch=2)).close()


def test_a_golden_file_that_is_not_npz_is_refused(make_bundle):
    path = rewritten(make_bundle(), lambda golden: golden.write_bytes(b"not a zip"))
    with pytest.raises(BundleError, match=r"golden.npz cannot be read"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"])
def test_a_golden_file_that_was_cut_off_is_refused(make_bundle, content):
    path = rewritten(make_bundle(), lambda golden: golden.write_bytes(content))
    with pytest.raises(BundleError, match=r"golden.npz cannot be read"):
        load(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("frames", lambda a: a.astype(np.float64)),
        ("frames", lambda a: a[:, :2]),
        ("class_map", lambda a: np.array("x")),
        ("confident", lambda a: a.astype(np.uint8)),
        ("stable", lambda a: a[:1]),
    ],
)
def test_golden_arrays_that_do_not_fit_the_engine_are_refused(make_bundle, name, change):
    def write(golden: Path) -> None:
        with np.load(golden) as stored:
            arrays = dict(stored)
        np.savez(golden, **{**arrays, name: change(arrays[name])})

    with pytest.raises(BundleError, match=r"golden\.npz holds frames ") as refusal:
        load(rewritten(make_bundle(), write))
    assert "8, 12, 3]" in refusal.value.expected


@pytest.mark.parametrize(("moved", "passes"), [(0.0, False), (0.1, False), (0.2, True)])
def test_at_full_precision_an_engine_moves_as_many_pixels_as_rounding(make_bundle, moved, passes):
    """A quarter of the pixels differ, all among those that are not sure."""
    bundle = Bundle.open(make_bundle(confident=False))
    golden = msgspec.structs.replace(bundle.manifest.golden, moved=moved)
    bundle = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, golden=golden))
    wanted = golden_frames(bundle).stored["class_map"]

    def other(frames):
        found = wanted.copy()
        found[:, :, ::4] += 1
        return {"class_map": found}

    found = agreement(other, bundle, "stored")
    assert (found.agreement, found.pixels, found.different) == (1.0, 0, 0.25)
    assert found.passed == passes
    assert agreement(other, bundle).passed
