from __future__ import annotations

import msgspec
import pytest

from edgeseg.core.bundle import Bundle, FileEntry, file_sha256, sealed
from edgeseg.core.documents import encode
from edgeseg.errors import BundleError
from edgeseg.runtime import load


def test_an_engine_that_gives_other_masks_is_refused(make_bundle):
    path = make_bundle(shift=1)
    with pytest.raises(BundleError, match=r"self-check: 0.00% of 288 pixels.*\n.*at least 99.50%"):
        load(path)
    load(path, check=False).close()


def test_pixels_the_network_is_not_sure_of_are_not_compared(make_bundle):
    with load(make_bundle(shift=1, sure=False)) as session:
        assert "the self-check compared no pixel" in session.notes[-1]


def test_a_bundle_without_golden_frames_opens(make_bundle):
    load(make_bundle(shift=1, golden=False)).close()


def test_golden_frames_are_split_and_filled_to_the_batch(make_bundle):
    load(make_bundle(batch=2)).close()


def test_a_golden_file_that_is_not_npz_is_refused(make_bundle):
    path = make_bundle()
    golden = path / "golden.npz"
    golden.write_bytes(b"not a zip")
    bundle = Bundle.open(path, check_files=False)
    entry = FileEntry(golden.stat().st_size, file_sha256(golden))
    files = {**bundle.manifest.files, "golden.npz": entry}
    manifest = sealed(msgspec.structs.replace(bundle.manifest, files=files))
    (path / "manifest.json").write_bytes(encode(manifest))
    with pytest.raises(BundleError, match=r"golden.npz cannot be read"):
        load(path)
