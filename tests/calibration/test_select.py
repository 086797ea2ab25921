"""What `select` puts into a list, what it leaves out, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.calibration import source as calibrate_source
from edgeseg.calibration.check import check
from edgeseg.calibration.select import select
from edgeseg.calibration.source import open_source
from edgeseg.core.calibration import CalibrationList
from edgeseg.datasets.synthetic import SyntheticStreets
from edgeseg.errors import DataError, InputError


@pytest.fixture(scope="module")
def streets():
    return SyntheticStreets(size=(48, 64), counts={"train": 10, "val": 3})


@pytest.fixture
def small(streets, monkeypatch):
    """`--data synthetic-streets` means ten small frames."""
    monkeypatch.setattr(calibrate_source, "open_dataset", lambda name, root=None: streets)
    return streets


@pytest.fixture
def folder(streets, tmp_path):
    """Five different images, a near-duplicate and a constant one, as PNG."""
    place = tmp_path / "frames"
    place.mkdir()
    split = streets.split("train")
    images = {f"{i}.png": split.image(i) for i in range(5)}
    images["5.png"] = np.clip(split.image(0).astype(int) + 1, 0, 255).astype(np.uint8)
    images["6.png"] = np.full((48, 64, 3), 90, np.uint8)
    for name, image in images.items():
        Image.fromarray(image).save(place / name)
    return place


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_the_list_that_is_written_is_the_choice_that_is_returned(small, tmp_path, strategy):
    path = tmp_path / "list.txt"
    result = select(
        data="synthetic-streets", count=4, strategy=strategy, output=str(path), command="edgeseg calibrate"
    )
    listed = CalibrationList.read(path)
    assert listed.ids == result.ids and len(set(result.ids)) == 4
    assert (listed.dataset, listed.split, listed.made_by) == (
        "synthetic-streets",
        "train",
        "edgeseg calibrate",
    )
    hashes = {s.id: s.sha256 for s in small.split("train").sample_list().samples}
    assert {e.id: e.sha256 for e in listed.entries} == {i: hashes[i] for i in result.ids}
    assert result.disjoint_from == ("synthetic-streets/val",)
    assert result.classes["road"] == 4


def test_labels_make_stratified_the_default_and_the_list_goes_to_calibration(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = select(data="synthetic-streets", count=3)
    assert str(result.path) == "calibration/synthetic-streets/stratified-3.txt"
    assert len(CalibrationList.read(result.path)) == 3


def test_near_duplicates_and_constant_images_of_a_folder_are_left_out(folder, tmp_path):
    result = select(images=str(folder), count=5, output=str(tmp_path / "list.txt"))
    assert result.strategy == "random"
    assert not {"0.png", "5.png"} <= set(result.ids) and "6.png" not in result.ids
    with pytest.raises(DataError, match=r"only 5 of 6 .* 1 nearly equal .* 1 are one constant") as refusal:
        select(images=str(folder), count=6, output=str(tmp_path / "more.txt"))
    assert "--count 5" in str(refusal.value)
    assert not (tmp_path / "more.txt").exists()


def test_k_centre_uses_the_network(folder, make_bundle, tmp_path):
    output = str(tmp_path / "list.txt")
    result = select(
        images=str(folder), count=3, strategy="k-centre", bundle=str(make_bundle()), output=output
    )
    assert len(result.ids) == 3
    with pytest.raises(InputError, match="needs a network"):
        select(images=str(folder), count=3, strategy="k-centre", output=output, overwrite=True)


def test_every_second_image(folder):
    assert open_source("", str(folder), "", every=2).ids == ("0.png", "2.png", "4.png", "6.png")


def test_frames_of_a_video(streets, make_bundle, tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for index in (0, 0, 1, 2, 3):
        writer.write(np.ascontiguousarray(streets.split("train").image(index)[..., ::-1]))
    writer.release()
    output = str(tmp_path / "list.txt")
    result = select(images=str(path), count=4, seed=2, output=output)
    assert result.available == 5 and len(set(result.ids) & {"000000", "000001"}) == 1
    checked = check(tmp_path / "list.txt", images=str(path))
    assert (checked.images, checked.held_out_images, checked.exit_code) == (4, 1, 0)
    again = open_source("", str(path), "")
    assert np.array_equal(again.image(3), open_source("", str(path), "").image(3))
    assert not np.array_equal(again.image(3), again.image(2))
    spread = select(
        images=str(path),
        count=3,
        strategy="k-centre",
        bundle=str(make_bundle()),
        output=output,
        overwrite=True,
    )
    assert len(spread.ids) == 3


def refused(**given):
    with pytest.raises(InputError) as refusal:
        select(**{"data": "synthetic-streets", "count": 2, **given})
    return str(refusal.value)


@pytest.mark.usefixtures("small")
def test_bad_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "from 1 to 10 images" in refused(count=11)
    assert "from 1 to 10 images" in refused(count=0)
    assert "k-centre" in refused(strategy="kcenter")
    assert "which validates" in refused(split="val")
    assert "neither" in refused(data="")
    assert "both" in refused(images="frames")
    assert "missing" in refused(data="", images="missing")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refused(data="", images="empty")
    assert not list(tmp_path.rglob("*.txt"))


def test_images_that_validate_are_refused_under_other_names_too(small, folder, tmp_path):
    given = {"data": "", "images": str(folder), "count": 5, "output": str(tmp_path / "list.txt")}
    message = refused(**given, not_in=["synthetic-streets:train"])
    assert "are also in synthetic-streets/train" in message and "train-000" in message
    assert not (tmp_path / "list.txt").exists()
    assert select(**given, not_in=["synthetic-streets"]).disjoint_from == ("synthetic-streets/val",)


@pytest.mark.usefixtures("small")
def test_a_second_list_shares_no_image_with_the_first(tmp_path):
    first, second = (str(tmp_path / name) for name in ("first.txt", "second.txt"))
    given = {"data": "synthetic-streets", "strategy": "random"}
    select(**given, count=9, output=first)
    (left,) = select(**given, count=1, output=second, not_in=[first]).ids
    assert left not in CalibrationList.read(tmp_path / "first.txt").ids
    with pytest.raises(DataError, match="only 1 of 2"):
        select(**given, count=2, output=str(tmp_path / "third.txt"), not_in=[first])


def test_a_folder_of_constant_images_is_refused(tmp_path):
    (tmp_path / "frames").mkdir()
    for value in (0, 90):
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(tmp_path / "frames" / f"{value}.png")
    message = refused(data="", images=str(tmp_path / "frames"), output=str(tmp_path / "list.txt"))
    assert "2 are one constant colour" in message


def test_stratified_without_labels_is_refused(folder):
    assert "needs labels" in refused(data="", images=str(folder), strategy="stratified")
