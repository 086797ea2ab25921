from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
import torch

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, TensorInfo, sealed
from edgeseg.core.documents import encode
from edgeseg.errors import BundleError, InputError
from edgeseg.runtime import load


def test_one_frame_gives_one_class_map(make_bundle, frames):
    frame = frames(1, seed=5)[0]
    with load(make_bundle()) as session:
        mask = session(frame)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, frame[..., 0] % 4)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_any_number_of_frames_is_split_and_filled_to_the_batch(make_bundle, frames, batch, count):
    shown = frames(count, seed=5)
    with load(make_bundle(batch=batch, confidence=True)) as session:
        np.testing.assert_array_equal(session(shown), shown[..., 0] % 4)
        output = session.predict(shown)
    np.testing.assert_allclose(output.confidence, shown[..., 1] / 255, rtol=1e-6)
    assert output.class_map.shape == shown.shape[:3]


def test_one_frame_in_a_larger_batch(make_bundle, frames):
    frame = frames(1)[0]
    with load(make_bundle(batch=4)) as session:
        np.testing.assert_array_equal(session(frame), frame[..., 0] % 4)


def test_confidence_is_none_when_the_bundle_has_none(make_bundle, frames):
    with load(make_bundle()) as session:
        assert session.predict(frames(1)[0]).confidence is None


def test_results_go_to_arrays_of_the_caller(make_bundle, frames):
    shown = frames(3, seed=5)
    mine = {"class_map": np.zeros(shown.shape[:3], np.uint8)}
    with load(make_bundle(batch=2, confidence=True)) as session:
        found = session.predict(shown, to=mine)
        assert session(shown[0], to={"class_map": mine["class_map"][1]}).base is not None
    assert found.class_map is mine["class_map"] and found.confidence.shape == shown.shape[:3]
    np.testing.assert_array_equal(mine["class_map"][[0, 2]], shown[[0, 2], ..., 0] % 4)
    np.testing.assert_array_equal(mine["class_map"][1], shown[0, ..., 0] % 4)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ({"classes": np.zeros(1)}, "`to` names the output 'classes'\nexpected: one of class_map"),
        ({"class_map": np.zeros((8, 12), np.int32)}, r"`to` has int32 \[8, 12\] .*\n.* uint8 \[8, 12\]"),
        ({"class_map": np.zeros((1, 8, 12), np.uint8)}, r"`to` has uint8 \[1, 8, 12\]"),
        ({"class_map": np.broadcast_to(np.uint8(0), (8, 12))}, "uint8 .*, read-only"),
        ({"class_map": [[0]]}, "`to` has list for 'class_map'"),
    ],
)
def test_arrays_that_results_do_not_fit_into_are_refused(make_bundle, frames, to, message):
    with load(make_bundle()) as session, pytest.raises(InputError, match=message):
        session(frames(1)[0], to=to)


def test_without_copy_there_is_one_stream(make_bundle, frames):
    (first, second), bundle = frames(2), make_bundle()
    with load(bundle, copy=False) as session:
        np.testing.assert_array_equal(session(first), first[..., 0] % 4)
        found = list(session.stream([first, second]))
    np.testing.assert_array_equal(found, np.stack([first, second])[..., 0] % 4)
    with pytest.raises(InputError, match="copy is False with 2 streams"):
        load(bundle, copy=False, streams=2)


def test_frames_and_results_pass_as_dlpack(make_bundle, frames):
    class Dlpack:
        """Memory that is open to nothing but DLPack."""

        def __init__(self, array):
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__

    frame = frames(1, seed=5)[0]
    with load(make_bundle()) as session:
        found = session(Dlpack(frame))
        tensor = torch.from_dlpack(found)
        np.testing.assert_array_equal(session(torch.from_numpy(frame)), found)
        with pytest.raises(InputError, match="the frames are a Tensor that is no array"):
            session(torch.empty(8, 12, 3, dtype=torch.uint8, device="meta"))
    tensor[0, 0] = 77
    assert found[0, 0] == 77
    np.testing.assert_array_equal(found.ravel()[1:], (frame[..., 0] % 4).ravel()[1:])


def test_results_are_not_overwritten_by_the_next_call(make_bundle, frames):
    first, second = frames(2)
    with load(make_bundle()) as session:
        kept = session(first)
        session(second)
    np.testing.assert_array_equal(kept, first[..., 0] % 4)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((12, 8, 3), np.uint8),
        np.zeros((8, 12, 3), np.float32),
        np.zeros((8, 12, 4), np.uint8),
        np.zeros((8, 12), np.uint8),
        np.zeros((1, 1, 8, 12, 3), np.uint8),
    ],
)
def test_a_frame_the_bundle_was_not_exported_for_is_refused(make_bundle, frame):
    with load(make_bundle()) as session, pytest.raises(InputError) as caught:
        session(frame)
    assert str(list(frame.shape)) in str(caught.value)
    assert "uint8 [8,12,3]" in str(caught.value)
    assert "--camera-size" in str(caught.value)


def test_a_changed_byte_is_refused(make_bundle):
    path = make_bundle()
    engine = path / "engine" / "toy.json"
    engine.write_text(engine.read_text().replace('"shift": 0', '"shift": 1'))
    with pytest.raises(BundleError, match=r"toy.json was changed"):
        load(path)


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("inputs", TensorInfo("frames", "uint8", (1, 12, 8, 3)), r"expected: one uint8 \[1, 8, 12, 3\]"),
        ("inputs", TensorInfo("frames", "float32", (1, 8, 12, 3)), r"expected: one uint8 \[1, 8, 12, 3\]"),
        ("outputs", TensorInfo("class_map", "int64", (1, 8, 12)), r"class_map uint8 \[1, 8, 12\]"),
        (
            "outputs",
            TensorInfo("class_map", "uint8", (1, 16, 24)),
            r"expected: class_map uint8 \[1, 16, 24\]",
        ),
    ],
)
def test_an_engine_with_other_tensors_than_the_manifest_says_is_refused(make_bundle, field, wrong, told):
    path = make_bundle()
    manifest = Bundle.open(path).manifest
    engine = msgspec.structs.replace(manifest.engine, **{field: (wrong,)})
    changed = sealed(msgspec.structs.replace(manifest, engine=engine))
    (path / "manifest.json").write_bytes(encode(changed))
    with pytest.raises(BundleError, match=told):
        load(path)


def test_a_manifest_with_fewer_classes_than_its_class_maps_is_refused(make_bundle):
    path = make_bundle()
    manifest = Bundle.open(path).manifest
    model = msgspec.structs.replace(manifest.model, classes=manifest.model.classes[:2])
    (path / "manifest.json").write_bytes(encode(sealed(msgspec.structs.replace(manifest, model=model))))
    with pytest.raises(BundleError, match=r"holds the class 3, of 2 classes"):
        load(path)


def test_a_deferred_bundle_tells_how_to_build_it(make_bundle):
    with pytest.raises(BundleError, match=r"edgeseg build .*toy.*python -m edgeseg.device build"):
        load(make_bundle(kind="deferred"))


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_bundle_without_an_engine_is_refused(make_bundle, kind):
    with pytest.raises(BundleError, match=f"kind '{kind}'.*\n.*\n.*edgeseg export"):
        load(make_bundle(kind=kind))


@pytest.mark.parametrize("wrong", [{"streams": 0}, {"threads": -1}, {"streams": 10**6}, {"threads": 10**6}])
def test_senseless_settings_are_refused(make_bundle, wrong):
    with pytest.raises(InputError, match=r"streams from 1 to \d+, threads from 0 to \d+"):
        load(make_bundle(), **wrong)


def test_the_bundle_and_the_engines_warnings_are_at_hand(make_bundle):
    with load(make_bundle(), threads=3) as session:
        assert session.notes == ("made on another CPU",)
        assert session.spec.name == "toy"
        assert str(session.target) == "toy-fp32+threads=3"
        assert session.engine.record.target == "toy-fp32+threads=3"
        assert (session.batch, session.camera_size, session.streams) == (1, (8, 12), 1)
        assert session.bundle.manifest.name == "toy"


def test_calls_from_many_threads_get_their_own_answers(make_bundle, frames):
    shown = frames(64)
    with load(make_bundle(), streams=3) as session, ThreadPoolExecutor(8) as pool:
        masks = list(pool.map(session, shown))
    np.testing.assert_array_equal(masks, shown[..., 0] % 4)


def test_a_closed_session_says_so(make_bundle, frames):
    session = load(make_bundle(), streams=2)
    session.close()
    session.close()
    for _ in range(3):
        with pytest.raises(InputError, match="closed"):
            session(frames(1))
    assert session.engine.closed


def test_closing_waits_for_the_runs_in_progress(make_bundle, frames):
    slow = frames(1)[0]
    slow[0, 0, 2] = 100
    session = load(make_bundle())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(session, slow)
        assert session.engine.slow_run.wait(5)
        session.close()
        np.testing.assert_array_equal(future.result(), slow[..., 0] % 4)


@pytest.mark.parametrize(("batch", "streams"), [(1, 1), (1, 3), (4, 2)])
def test_a_stream_keeps_order_with_slow_and_fast_frames(make_bundle, frames, batch, streams):
    shown = frames(22)
    shown[::3, 0, 0, 2] = 15
    with load(make_bundle(batch=batch), streams=streams) as session:
        masks = list(session.stream(iter(shown)))
    np.testing.assert_array_equal(masks, shown[..., 0] % 4)


def test_a_frame_of_another_size_in_a_stream_is_refused_after_those_before_it(make_bundle, frames):
    good = frames(2)
    with load(make_bundle()) as session:
        stream = session.stream([*good, np.zeros((3, 3, 3), np.uint8)])
        assert len([next(stream), next(stream)]) == 2
        with pytest.raises(InputError, match="--camera-size"):
            next(stream)


def test_a_stream_needs_room(make_bundle):
    with load(make_bundle()) as session, pytest.raises(InputError, match="queue is 0"):
        session.stream([], queue=0)


def one_buffer(frames):
    """A camera that fills the same memory again and again."""
    buffer = np.empty_like(frames[0])
    for frame in frames:
        buffer[:] = frame
        yield buffer


@pytest.mark.parametrize("copy", [{}, {"copy": True}])
@pytest.mark.parametrize(("batch", "streams"), [(1, 1), (1, 3), (4, 2)])
def test_a_camera_may_fill_one_buffer_again_and_again(make_bundle, frames, batch, streams, copy):
    shown = frames(22, seed=5)
    shown[:, 0, 0, 2] = 3
    with load(make_bundle(batch=batch), streams=streams) as session:
        masks = list(session.stream(one_buffer(shown), **copy))
    np.testing.assert_array_equal(masks, shown[..., 0] % 4)


@pytest.mark.parametrize("batch", [1, 4])
def test_without_a_copy_frames_that_keep_their_memory_are_right(make_bundle, frames, batch):
    shown = frames(10)
    with load(make_bundle(batch=batch)) as session:
        masks = list(session.stream(iter(shown), copy=False))
    np.testing.assert_array_equal(masks, shown[..., 0] % 4)


@pytest.mark.parametrize("copy", [True, False])
def test_the_copy_is_spared_where_the_program_says_so(make_bundle, frames, copy):
    shown = frames(3)
    with load(make_bundle()) as session:
        list(session.stream(iter(shown), copy=copy))
        assert np.shares_memory(session.engine.given, shown) != copy


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("own", ["rgb", "bgr"])
@pytest.mark.parametrize("color", ["rgb", "bgr", None])
def test_frames_are_taken_in_the_order_that_the_program_names(make_bundle, frames, own, color, batch):
    """The toy engine reads channel 0 of what reaches it: here the bundle's own order."""
    shown = frames(3, seed=5)
    shown[:, 0, 0] = 0
    kept = shown.copy()
    first = 0 if color in (own, None) else 2
    expected = shown[..., first] % 4
    with load(make_bundle(batch=batch, order=own), color=color) as session:
        assert session.frame.order == (color or own)
        np.testing.assert_array_equal(session(shown), expected)
        np.testing.assert_array_equal(session(shown[0]), expected[0])
        np.testing.assert_array_equal(session.predict(shown[:2]).class_map, expected[:2])
        np.testing.assert_array_equal(list(session.stream(shown)), expected)
        np.testing.assert_array_equal(list(session.stream(shown, copy=False)), expected)
    np.testing.assert_array_equal(shown, kept)


def test_the_self_check_runs_in_the_bundles_own_order(make_bundle):
    """Golden frames are stored as the bundle takes them, whatever the program's frames are."""
    load(make_bundle(), color="bgr").close()


@pytest.mark.parametrize("color", ["RGB", "rgba", ""])
def test_an_order_that_is_not_known_is_refused(make_bundle, color):
    with pytest.raises(InputError, match=r"'rgb' \(Pillow, imageio\) or 'bgr' \(OpenCV\)"):
        load(make_bundle(), color=color)


def test_a_refused_frame_is_told_the_order_it_must_have(make_bundle):
    with load(make_bundle(), color="bgr") as session, pytest.raises(InputError) as caught:
        session(np.zeros((8, 12, 4), np.uint8))
    assert "channels in the order BGR (load(color=...) sets another)" in str(caught.value)


@pytest.mark.parametrize("given", [[[1, 2], [3]], "frame", None, {"a": 1}])
def test_what_is_no_array_is_refused(make_bundle, given):
    with load(make_bundle()) as session:
        with pytest.raises(InputError, match=r"is no array|the frame is"):
            session(given)
        with pytest.raises(InputError, match=r"is no array|the frame is"):
            list(session.stream([given]))


def test_more_frames_than_the_memory_holds(make_bundle):
    with load(make_bundle()) as session:
        many = np.broadcast_to(
            np.zeros((*session.camera_size, 3), np.uint8), (10**13, *session.camera_size, 3)
        )
        with pytest.raises(InputError, match=r"memory is not enough for \[10000000000000, ") as refusal:
            session(many)
        assert "fewer" in refusal.value.hint


def test_a_session_from_before_a_fork_says_to_load_after_it(make_bundle, frames, monkeypatch):
    session = load(make_bundle())
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    with pytest.raises(InputError, match="before this process was forked") as refusal:
        session(frames(1)[0])
    assert "load after the fork" in refusal.value.hint
    session.close()
    monkeypatch.undo()
    assert session(frames(1)[0]).shape == (8, 12)
    session.close()


@pytest.mark.parametrize("where", ["open", "request", "execute"])
def test_what_an_engine_raises_is_an_error_of_its_bundle(make_bundle, frames, monkeypatch, where):
    """Engines raise exceptions of any kind for a file that they cannot use."""
    session = load(make_bundle())
    backend, engine = backend_for(session.target), session.engine
    place = type({"open": backend, "request": engine, "execute": engine.request()}[where])

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("engine state 7")

    monkeypatch.setattr(place, where, fail)
    with pytest.raises(BundleError, match=r"the engine of .*toy does not \w+: RuntimeError: engine state 7"):
        load(session.bundle.path)
    if where == "execute":
        with pytest.raises(BundleError, match="does not run: RuntimeError: engine state 7"):
            session(frames(1)[0])
