"""What `predict` leaves in its output folder, and what it refuses."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.exclusive import alone
from edgeseg.errors import BundleError, DataError, InputError, MissingDependency
from edgeseg.prediction.predict import predict
from edgeseg.prediction.video import VideoReader

PURE = np.eye(3, dtype=np.uint8) * 200
STRIPES = np.repeat(np.arange(3, dtype=np.uint8), 8)[None, :].repeat(16, axis=0)


def save(path, class_map=STRIPES):
    Image.fromarray(PURE[class_map]).save(path)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_one_image_gives_an_overlay_and_a_mask_of_class_ids(make_bundle, tmp_path):
    save(tmp_path / "scene.png")
    result = predict(make_bundle(), tmp_path / "scene.png", tmp_path / "out")
    (scene,) = result.results
    assert np.array_equal(read(tmp_path / "out" / scene.mask), STRIPES)
    with Image.open(tmp_path / "out" / scene.mask) as mask:
        assert tuple(np.asarray(mask.convert("RGB"))[0, 0]) == (255, 0, 0)
    assert tuple(read(tmp_path / "out" / scene.overlay)[0, 0]) == (228, 0, 0)
    assert scene.fractions == pytest.approx({"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3})
    assert result.target == "ort-fp32" and not result.notes


def test_a_folder_is_done_in_natural_order_with_a_batched_engine(make_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for number in (1, 2, 10):
        save(tmp_path / "in" / f"{number}.png", STRIPES[:, :: -1 if number == 10 else 1])
    result = predict(make_bundle(batch=2), tmp_path / "in", tmp_path / "out", masks=False)
    assert [r.source for r in result.results] == ["1.png", "2.png", "10.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "1.overlay.png", "10.overlay.png", "2.overlay.png"
    ]  # fmt: skip
    assert tuple(read(tmp_path / "out" / "10.overlay.png")[0, 0]) == (0, 0, 228)


def test_files_of_one_stem_keep_apart(make_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "a.bmp")
    result = predict(make_bundle(), tmp_path / "in", tmp_path / "out")
    assert {r.mask for r in result.results} == {"a.png.mask.png", "a.bmp.mask.png"}


def test_a_full_name_that_is_the_stem_of_another_file_keeps_apart(make_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.bmp", "a.png.bmp"):
        save(tmp_path / "in" / name)
    result = predict(make_bundle(), tmp_path / "in", tmp_path / "out")
    assert len({r.mask for r in result.results}) == 3


def test_an_image_of_another_size_is_resized_and_its_mask_has_its_own_size(make_bundle, tmp_path):
    save(tmp_path / "large.png", STRIPES.repeat(2, axis=0).repeat(2, axis=1))
    result = predict(make_bundle(), tmp_path / "large.png", tmp_path / "out")
    mask = read(tmp_path / "out" / "large.mask.png")
    assert mask.shape == (32, 48) and (mask[:, :14] == 0).all() and (mask[:, 34:] == 2).all()
    assert "1 of 1 frame(s) were resized to the camera size 16x24" in result.notes[-1]


def test_a_camera_that_delivers_bgr_gets_bgr(make_bundle, tmp_path):
    save(tmp_path / "scene.png")
    predict(make_bundle(order="bgr"), tmp_path / "scene.png", tmp_path / "out")
    # This network takes the first channel it is given for class 0: of a BGR frame that is blue.
    assert np.array_equal(read(tmp_path / "out" / "scene.mask.png"), 2 - STRIPES)


def test_nothing_appears_when_one_image_is_broken(make_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "1.png")
    (tmp_path / "in" / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2\.png"):
        predict(make_bundle(), tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_results_are_added_to_a_folder_that_is_there(make_bundle, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    save(tmp_path / "scene.png")
    bundle = make_bundle()
    for _ in range(2):
        predict(bundle, tmp_path / "scene.png", tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_bad_arguments_are_refused_before_any_work(make_bundle, tmp_path):
    save(tmp_path / "scene.png")
    with pytest.raises(InputError, match="alpha is 2"):
        predict(tmp_path / "no-bundle", tmp_path / "scene.png", tmp_path / "out", alpha=2)
    with pytest.raises(DataError, match="does not exist"):
        predict(tmp_path / "no-bundle", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(BundleError, match="is not a bundle"):
        predict(tmp_path / "no-bundle", tmp_path / "scene.png", tmp_path / "out")
    with pytest.raises(InputError, match="is a file"):
        predict(make_bundle(), tmp_path / "scene.png", tmp_path / "scene.png")
    with pytest.raises(InputError, match="no files can be made"):
        predict(make_bundle("b"), tmp_path / "scene.png", tmp_path / "scene.png" / "out")
    assert not (tmp_path / "out").exists()


def test_the_second_into_one_folder_is_refused_at_the_start(make_bundle, tmp_path):
    save(tmp_path / "scene.png")
    with (
        alone(tmp_path / "out", "predicts into"),
        pytest.raises(InputError, match="another process predicts"),
    ):
        predict(tmp_path / "no-bundle", tmp_path / "scene.png", tmp_path / "out")
    predict(make_bundle(), tmp_path / "scene.png", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_what_a_killed_predict_left_is_removed(make_bundle, tmp_path):
    save(tmp_path / "scene.png")
    left = tmp_path / "out" / ".results.partial-abcd_123"
    (left / "new").mkdir(parents=True)
    (left / "lock").write_text("")
    (tmp_path / "out" / ".lock").write_text("")
    predict(make_bundle(), tmp_path / "scene.png", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["scene.mask.png", "scene.overlay.png"]


def write_video(path, frames):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def test_a_video_becomes_an_overlay_video_of_the_same_length_and_rate(make_bundle, tmp_path):
    cv2 = pytest.importorskip("cv2")
    large = STRIPES.repeat(4, axis=0).repeat(4, axis=1)
    write_video(tmp_path / "drive.avi", [PURE[large]] * 5)
    result = predict(make_bundle(batch=2), tmp_path / "drive.avi", tmp_path / "out")
    (video,) = result.results
    assert video.frames == 5 and not video.mask
    assert video.fractions["blue"] == pytest.approx(1 / 3, abs=0.05)
    capture = cv2.VideoCapture(str(tmp_path / "out" / "drive.overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    shapes = []
    while (read := capture.read())[0]:
        shapes.append(read[1].shape)
    assert shapes == [(64, 96, 3)] * 5


@pytest.mark.parametrize(("order", "seen"), [("rgb", "red"), ("bgr", "blue")])
def test_a_video_reaches_the_engine_in_the_cameras_order(make_bundle, tmp_path, order, seen):
    """This network takes the first channel it is given for class `red`."""
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 255
    write_video(tmp_path / "drive.avi", [red] * 2)
    result = predict(make_bundle(order=order), tmp_path / "drive.avi", tmp_path / "out")
    assert result.results[0].fractions[seen] == 1.0


def test_a_video_is_turned_as_its_file_says(make_bundle, tmp_path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "x.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (96, 64))
    left_red = PURE[np.zeros((64, 96), np.uint8)]
    left_red[:, 48:] = PURE[2]
    writer.write(np.ascontiguousarray(left_red[..., ::-1]))
    writer.release()
    data = bytearray((tmp_path / "x.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    (tmp_path / "x.mp4").write_bytes(data)
    (frame,) = VideoReader(tmp_path / "x.mp4")
    assert frame.shape == (96, 64, 3)
    assert frame[:40, :, 0].mean() > 150 and frame[56:, :, 2].mean() > 150, "a quarter turn: left goes up"


def test_a_broken_video_is_named_and_leaves_nothing(make_bundle, tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match=r"broken\.mp4 cannot be read as a video"):
        predict(make_bundle(), tmp_path / "broken.mp4", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_video_without_opencv_names_the_extra(make_bundle, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "drive.mp4").write_bytes(b"anything")
    with pytest.raises(MissingDependency, match=r"edgeseg\[video\]"):
        predict(make_bundle(), tmp_path / "drive.mp4", tmp_path / "out")
