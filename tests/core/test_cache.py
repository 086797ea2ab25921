from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgeseg.core.cache import KEPT_DAYS, cache_folder, forget_unused, use
from edgeseg.errors import InputError


def aged(path, days):
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_what_nobody_used_for_long_is_deleted(tmp_path):
    for name in ("old-step", "used-step", "new-step"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.onnx").write_text("x")
        aged(tmp_path / name / "graph.onnx", KEPT_DAYS + 1)
    (tmp_path / "old.blob").write_text("x")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "new-step")
    for name in ("old-step", "used-step", "old.blob"):
        aged(tmp_path / name, KEPT_DAYS + 1)
    use(tmp_path / "used-step")
    forget_unused(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "new-step", "used-step"]
    assert (tmp_path / "used-step" / "graph.onnx").exists()


def test_a_training_that_goes_on_deep_inside_is_in_use(tmp_path):
    state = tmp_path / "work" / "qat-1" / "state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_text("x")
    for folder in (state.parent, state.parent.parent):
        aged(folder, KEPT_DAYS + 1)
    forget_unused(tmp_path)
    assert state.exists()


def test_a_killed_deletion_is_finished_by_the_next(tmp_path):
    (tmp_path / ".forgotten-step").mkdir()
    aged(tmp_path / ".forgotten-step", KEPT_DAYS + 1)
    forget_unused(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_cache_is_nothing_to_forget(tmp_path):
    forget_unused(tmp_path / "cache")
    use(tmp_path / "cache" / "step")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~nobody-here").expanduser())
    with pytest.raises(InputError, match="has no home folder") as refusal:
        cache_folder()
    assert "XDG_CACHE_HOME" in refusal.value.hint
