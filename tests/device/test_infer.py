"""Frames through an engine, by the agent of the device."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spots import Spots, spots_bundle

from edgeseg.core.bundle import Bundle
from edgeseg.device import infer as subject
from edgeseg.device.commands import main
from edgeseg.errors import InputError
from edgeseg.runtime import load


@pytest.fixture
def files(tmp_path, frames, make_bundle):
    """A bundle, 40 frames, and labels: what the toy engine gives, but for one pixel of another class."""
    path = make_bundle(batch=3)
    given = frames(40)
    with load(path) as session:
        labels = session(given)
    wanted = labels.copy()
    labels[0, 0, 0] = (labels[0, 0, 0] + 1) % 4
    np.save(tmp_path / "frames.npy", given)
    np.save(tmp_path / "labels.npy", labels)
    return path, wanted


def test_class_maps_are_those_of_a_session(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(subject, "PART", 7)
    path, wanted = files
    output = tmp_path / "maps.npy"
    assert main(["infer", str(path), str(tmp_path / "frames.npy"), "-o", str(output)]) == 0
    assert "uint8 [40, 8, 12]" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(output), wanted)
    assert main(["infer", str(path), str(tmp_path / "frames.npy"), "-o", str(output)]) == 2
    assert sorted(p.name for p in tmp_path.glob("*.npy")) == ["frames.npy", "labels.npy", "maps.npy"]


def test_a_score_is_exact_and_told_in_lines(files, tmp_path, capsys):
    path, _ = files
    assert (
        main(["score", str(path), str(tmp_path / "frames.npy"), str(tmp_path / "labels.npy"), "--lines"]) == 0
    )
    *told, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(line) == {"progress", "done", "total"} for line in told) and told[-1]["done"] == 40
    found = last["result"]
    assert found["metric"] == "mIoU"
    assert (found["frames"], found["bundle_id"]) == (40, Bundle.open(path).id)
    ious = [np.nan if v is None else v for v in found["classes"].values()]
    assert found["value"] == pytest.approx(np.nanmean(ious)) and found["value"] < 1


def test_an_error_ends_the_lines(files, tmp_path, capsys):
    path, _ = files
    assert main(["score", str(path), str(tmp_path / "no.npy"), str(tmp_path / "labels.npy"), "--lines"]) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert "no.npy cannot be read" in error["message"] and error["exit_code"] == 2


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 8, 12, 3), np.float32), r"holds float32 \[2, 8, 12, 3\]"),
        (np.zeros((2, 9, 12, 3), np.uint8), r"holds uint8 \[2, 9, 12, 3\]"),
        (np.zeros((0, 8, 12, 3), np.uint8), r"holds uint8 \[0, 8, 12, 3\]"),
        (np.array([{}], object), "cannot be read"),
    ],
)
def test_frames_that_do_not_fit_are_refused(tmp_path, array, said):
    file = tmp_path / "frames.npy"
    np.save(file, array)
    with pytest.raises(InputError, match=said) as refusal:
        subject.read_array(file, (None, 8, 12, 3))
    assert refusal.value.expected == "a .npy file of uint8 [N, 8, 12, 3]"


def test_a_network_of_instances_gives_several_arrays_and_has_no_such_labels(tmp_path, capsys):
    path, frames = spots_bundle(tmp_path), tmp_path / "frames.npy"
    np.save(frames, np.stack([Spots().image(index) for index in range(5)]))
    assert main(["infer", str(path), str(frames), "-o", str(tmp_path / "found.npz")]) == 0
    assert "boxes float32 [5, 3, 4], scores float32 [5, 3], labels int32 [5, 3]" in capsys.readouterr().out
    with np.load(tmp_path / "found.npz") as found:
        assert found["count"].tolist() == [3, 3, 3, 3, 0] and set(found) >= {"masks", "unsettled"}
    assert main(["score", str(path), str(frames), str(frames)]) == 2
    assert "a network of the task instance, whose labels are no .npy" in capsys.readouterr().err
