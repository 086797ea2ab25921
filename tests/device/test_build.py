from __future__ import annotations

import msgspec
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.core.ports import BuildSettings
from edgeseg.core.status import BuildStatus
from edgeseg.device.build import build, ready
from edgeseg.errors import BundleError, EngineMismatch
from edgeseg.runtime import load


def test_a_deferred_bundle_becomes_an_engine_bundle(make_bundle, frames, tmp_path):
    parent = Bundle.open(make_bundle(kind="deferred"))
    told = []
    child = build(
        parent, tmp_path / "child", BuildSettings(options={"speed": 3}), progress=lambda m, *_: told.append(m)
    )
    assert child.manifest.kind == "engine"
    assert child.manifest.parent == parent.as_parent()
    assert child.manifest.step.settings["speed"] == 3
    assert child.engine.hardware.name == "toybox"
    assert child.manifest.tools["toy"] == "1"
    assert child.manifest.build == BuildStatus(state="built", opened=True)
    assert "self-check" in told[-1]
    with load(child.path) as session:
        assert session(frames(2)).shape == (2, 8, 12)


def test_an_engine_bundle_is_built_again_without_its_old_engine(make_bundle, tmp_path):
    parent = Bundle.open(make_bundle())
    child = build(parent, tmp_path / "child")
    assert sorted(child.manifest.files) == sorted(parent.manifest.files)
    assert child.manifest.parent.id == parent.id


def test_an_engine_that_fails_its_self_check_leaves_nothing(make_bundle, tmp_path):
    with pytest.raises(BundleError, match="something else than the network"):
        build(Bundle.open(make_bundle(kind="deferred", shift=1)), tmp_path / "child")
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_another_device_is_refused_with_both_names(make_bundle, tmp_path):
    parent = Bundle.open(make_bundle(kind="deferred", target="toy-fp32@orin"))
    with pytest.raises(EngineMismatch, match=r"orin.*toybox"):
        build(parent, tmp_path / "child")
    assert not (tmp_path / "child").exists()


def test_what_can_be_built_but_not_run_says_so(make_bundle, tmp_path):
    parent = Bundle.open(make_bundle(kind="deferred", shift=1, target="toy-fp32@norun"))
    child = build(parent, tmp_path / "child")
    assert child.manifest.build == BuildStatus(state="built", opened=False)
    assert "not run" in child.manifest.sentences()[-1]


def test_an_existing_output_is_kept_unless_asked(make_bundle, tmp_path):
    parent = Bundle.open(make_bundle(kind="deferred"))
    build(parent, tmp_path / "child")
    with pytest.raises(BundleError, match="--overwrite"):
        build(parent, tmp_path / "child")
    build(parent, tmp_path / "child", overwrite=True)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_bundle_without_a_typed_graph_is_refused(make_bundle, tmp_path, kind):
    with pytest.raises(BundleError, match=f"kind '{kind}'"):
        build(Bundle.open(make_bundle(kind=kind)), tmp_path / "child")


def test_a_deferred_bundle_is_made_ready_once(make_bundle, tmp_path):
    path = make_bundle(kind="deferred")
    first = ready(path, tmp_path / "cache")
    made = (first / "manifest.json").stat().st_mtime_ns
    assert ready(path, tmp_path / "cache") == first
    assert (first / "manifest.json").stat().st_mtime_ns == made
    assert ready(first, tmp_path / "cache") == first


@pytest.mark.parametrize("change", [{"version": "2"}, {"device": "another toybox"}])
def test_another_engine_version_or_device_is_built_anew(make_bundle, tmp_path, monkeypatch, change):
    from edgeseg.device import build as subject

    path, real = make_bundle(kind="deferred"), subject.backend_for
    first = ready(path, tmp_path / "cache")

    def upgraded(target):
        backend = real(target)
        here = msgspec.structs.replace(backend.availability(target), **change)
        monkeypatch.setattr(backend, "availability", lambda _: here)
        return backend

    monkeypatch.setattr(subject, "backend_for", upgraded)
    assert ready(path, tmp_path / "cache") != first


def test_options_that_a_bundle_records_hold_until_others_are_given(make_bundle, tmp_path):
    parent = Bundle.open(make_bundle(kind="deferred"))
    assert build(parent, tmp_path / "usual").engine.settings["speed"] == 1
    record = msgspec.structs.replace(parent.engine, settings={"speed": 3, "other": "of the engine"})
    with draft(tmp_path / "fast") as result:
        for name in parent.manifest.files:
            (result.path / name).write_bytes(parent.file(name).read_bytes())
        result.finish(msgspec.structs.replace(parent.manifest, engine=record))
    fast = Bundle.open(tmp_path / "fast")
    assert build(fast, tmp_path / "child").engine.settings == {"speed": 3, "other": "of the engine"}
    asked = BuildSettings(options={"speed": 2})
    assert build(fast, tmp_path / "other", asked).engine.settings["speed"] == 2
