from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import fit

from edgeseg.errors import InputError, MissingDependency
from edgeseg.training.settings import TrainSettings

SCRIPT = Path(__file__).with_name("tiny.py")


def test_weights_and_biases_offline(tmp_path: Path):
    """In a process of its own: wandb starts a service that outlives a call."""
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), str(tmp_path / "run"), "track=wandb", "steps=3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "wandb" not in done.stdout + done.stderr
    (log,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    content = log.read_bytes()
    assert b"val/mIoU" in content and b"train/loss" in content
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependency, match="needs the package 'wandb'") as caught:
        fit(tmp_path, track="wandb")
    assert 'pip install "edgeseg[track]"' in caught.value.hint


def test_a_tracker_that_does_not_exist():
    with pytest.raises(InputError, match="track is mlflow"):
        TrainSettings(track="mlflow")
