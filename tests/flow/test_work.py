"""Of several processes that want one bundle, one makes it; of two that fill one folder, one is refused."""

from __future__ import annotations

import threading

import pytest

from edgeseg.core.bundle import Manifest, StepRecord
from edgeseg.core.exclusive import alone
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.errors import BundleError, InputError
from edgeseg.flow.work import made

SPEC = ModelSpec(name="n", source=Source(kind="onnx", ref="n"), input_size=(8, 8), classes=default_classes(2))


def writes(content: bytes, calls: list[bytes], meanwhile=lambda: None):
    def make(draft) -> Manifest:
        calls.append(content)
        (draft.path / "graph.onnx").write_bytes(content)
        meanwhile()
        return Manifest(kind="onnx", name="n", model=SPEC, graph="graph.onnx", step=StepRecord(name="s"))

    return make


def test_the_second_waits_and_takes_what_the_first_made(tmp_path):
    calls: list[bytes] = []
    told: list[str] = []
    waits = threading.Event()
    found = []

    def progress(message, done=0, total=0):
        told.append(message)
        waits.set()

    def second():
        found.append(made(tmp_path / "n", writes(b"2", calls), key="k", settings={}, progress=progress))

    thread = threading.Thread(target=second)

    def meanwhile():
        thread.start()
        assert waits.wait(30)

    first = made(tmp_path / "n", writes(b"1", calls, meanwhile), key="k", settings={})
    thread.join(30)
    assert calls == [b"1"]
    assert found[0].id == first.id
    assert told == [f"waiting for another process that makes {tmp_path / 'n'}"]
    assert [p.name for p in tmp_path.iterdir()] == ["n"]


def test_what_a_process_left_that_was_killed_behind_its_rename_goes_with_the_next_use(tmp_path):
    calls: list[bytes] = []
    first = made(tmp_path / "n", writes(b"1", calls), key="k", settings={})
    leftover = tmp_path / ".n.partial-abcd1234"
    leftover.mkdir()
    (leftover / "lock").touch()
    again = made(tmp_path / "n", writes(b"2", calls), key="k", settings={})
    assert again.id == first.id and calls == [b"1"]
    assert [p.name for p in tmp_path.iterdir()] == ["n"]


def test_what_is_made_again_and_comes_out_the_same_is_not_replaced(tmp_path):
    first = made(tmp_path / "n", writes(b"1", []), key="k", settings={}, again=True)
    there = (tmp_path / "n").stat().st_ino
    again = made(tmp_path / "n", writes(b"1", []), key="k", settings={}, again=True)
    assert again.id == first.id
    assert (tmp_path / "n").stat().st_ino == there
    assert made(tmp_path / "n", writes(b"2", []), key="k", settings={}, again=True).id != first.id


def test_another_bundle_is_refused_without_overwrite(tmp_path):
    made(tmp_path / "n", writes(b"1", []), key="k", settings={})
    with pytest.raises(BundleError, match="n exists"):
        made(tmp_path / "n", writes(b"2", []), key="other", settings={}, overwrite=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="could not be written"):
        made(tmp_path / "file" / "n", writes(b"1", []), key="k", settings={})


def test_two_in_one_folder(tmp_path):
    with alone(tmp_path / "out", "predicts into"):
        second = alone(tmp_path / "out", "predicts into")
        with pytest.raises(InputError, match="another process predicts into") as refusal:
            second.__enter__()
        assert "wait until it is done" in refusal.value.hint
    with alone(tmp_path / "out", "predicts into"):
        pass
    assert not any((tmp_path / "out").iterdir())
