from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from tiny import SPEC, fit, network, split

from edgeseg.errors import CheckpointError, InputError
from edgeseg.models.card import card_of
from edgeseg.models.checkpoint import load_into, read_state_dict
from edgeseg.training.evaluate import figures_of
from edgeseg.training.loop import train
from edgeseg.training.settings import TrainSettings

SCRIPT = Path(__file__).with_name("tiny.py")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "state.safetensors")


def same(first: Path, second: Path) -> bool:
    a, b = tensors(first), tensors(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_learns_and_leaves_weights_card_and_curves(tmp_path: Path):
    result = fit(tmp_path / "run", steps=30, loss="ce+dice", validate_every=10)
    assert result.steps == 30 and [v.step for v in result.history] == [10, 20, 30]
    assert result.card.score == max(v.score for v in result.history) > 0.8
    card = card_of(result.weights)
    assert card == result.card
    assert card.classes == SPEC.classes and card.settings["loss"] == "ce+dice"
    module = network()
    load_into(module, read_state_dict(result.weights), result.weights)
    again = figures_of(module.eval(), split("val", 4), SPEC)
    assert again.value == pytest.approx(card.score, abs=1e-9)
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    leftovers = {p.suffix for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert not leftovers & {".pt", ".pth", ".pkl", ".bin", ".partial"}


def test_the_last_weights_remain_where_they_are_asked_for(tmp_path: Path):
    shaky = {"steps": 30, "lr": 0.1, "schedule": "constant", "validate_every": 5}
    best = fit(tmp_path / "best", **shaky)
    last = fit(tmp_path / "last", **shaky, select="last")
    assert [v.score for v in best.history] == [v.score for v in last.history]
    assert last.card.score == last.history[-1].score < best.card.score
    assert last.card.step == 30 > best.card.step


def test_scalars_can_be_read(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = fit(tmp_path, steps=6)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("train/loss")) == 6
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("val/mIoU")] == [
        (v.step, v.score) for v in result.history
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"average": "none", "optimizer": "sgd"},
        {"average": "swa", "swa_start": 0.5, "schedule": "cosine"},
        {"precision": "bf16", "loss": "0.5*ce+focal"},
        {"accumulate": 2, "half": True},
        {"workers": 1, "epochs": 2, "steps": 0, "validate_every": 0},
    ],
    ids=["sgd", "swa", "bf16", "half", "epochs-workers"],
)
def test_every_way_to_train(tmp_path: Path, settings: dict[str, object]):
    result = fit(tmp_path, **settings)
    assert result.card.score > 0.1
    stored = load_file(result.weights)["0.weight"].dtype
    assert stored == (torch.float16 if settings.get("half") else torch.float32)


def test_accumulated_parts_make_the_same_step(tmp_path: Path):
    fit(tmp_path / "whole", norm=False)
    fit(tmp_path / "parts", norm=False, accumulate=4)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    for name in whole:
        assert torch.allclose(whole[name].float(), parts[name].float(), atol=1e-4), name


def test_two_processes_make_the_same_steps_as_one(tmp_path: Path):
    fit(tmp_path / "one", norm=False)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    stated = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    port = ["--main_process_port", str(free_port())]
    command = [*launch, *stated, *port, str(SCRIPT), str(tmp_path / "two"), "norm=false"]
    on_cpu = {**environment(), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=on_cpu, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "process 0 of 2" in done.stdout and "process 1 of 2" in done.stdout
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name].float(), two[name].float(), atol=1e-4), name
    cards = [json.loads((tmp_path / run / "best.json").read_text()) for run in ("one", "two")]
    assert cards[0]["score"] == pytest.approx(cards[1]["score"], abs=0.02)


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit(whole)
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(killed), "slow=0.3"], env=environment())
    deadline = time.monotonic() + 120
    while not (killed / "state.safetensors").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(InputError, match="holds a training") as caught:
        fit(killed)
    assert "resume it" in caught.value.hint
    assert not same(whole, killed)
    result = fit(killed, resume=True)
    assert same(whole, killed)
    assert result.steps == 12 and len(result.history) == 4
    assert read_text(whole, "sha256") == read_text(killed, "sha256")


def test_resuming_a_finished_training_changes_nothing(tmp_path: Path):
    first = fit(tmp_path)
    assert fit(tmp_path, resume=True) == first


def test_resume_in_an_empty_folder_starts(tmp_path: Path):
    assert fit(tmp_path / "new", resume=True).steps == 12


def test_resume_with_other_settings_names_the_difference(tmp_path: Path):
    fit(tmp_path)
    with pytest.raises(InputError, match=r"has lr 0\.02, now it is 0\.5"):
        fit(tmp_path, resume=True, lr=0.5)


def test_resume_with_other_data_or_labels_names_the_difference(tmp_path: Path):
    from dataclasses import replace

    settings = TrainSettings(steps=2, batch=4, crop=(16, 16))
    ours, val = split("train", 10), split("val", 4)

    def again(data=ours, checked=val, spec=SPEC):
        train(network(), data, checked, spec, settings, tmp_path, resume=True)

    again()
    again()
    with pytest.raises(InputError, match=r"has training tiny/train, 10 images, now it is other/train, 10"):
        again(replace(ours, dataset="other"))
    with pytest.raises(InputError, match="has training_sha256"):
        again(replace(ours, read_label=lambda identity: ours.read_label(identity) * 0))
    with pytest.raises(InputError, match="has validation_sha256"):
        again(checked=replace(val, read_image=lambda identity: val.read_image(identity) // 2))
    with pytest.raises(InputError, match="has network input_size"):
        again(spec=msgspec.structs.replace(SPEC, input_size=(64, 64)))


def test_resume_with_another_network_or_a_broken_state(tmp_path: Path):
    fit(tmp_path / "a", norm=True)
    with pytest.raises(InputError, match="has weights_sha256"):
        fit(tmp_path / "a", norm=False, resume=True)
    state = tmp_path / "a" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is broken"):
        fit(tmp_path / "a", resume=True)


def test_bad_input(tmp_path: Path):
    settings = TrainSettings(steps=1, batch=2)
    with pytest.raises(InputError, match="has no images"):
        train(network(), split("train", 0), split("val", 2), SPEC, settings, tmp_path)
    from dataclasses import replace

    more = (*SPEC.classes, msgspec.structs.replace(SPEC.classes[0], name="more"))
    other = replace(split("train", 4), classes=more)
    with pytest.raises(InputError, match="has 3 classes, tiny has 4"):
        train(network(), other, split("val", 2), SPEC, settings, tmp_path)
    with pytest.raises(InputError, match="has the term 'mse'"):
        fit(tmp_path, loss="mse")
    with pytest.raises(InputError, match="no network to distil from"):
        fit(tmp_path, loss="ce+distil")
    with pytest.raises(InputError, match="cannot be split"):
        fit(tmp_path, accumulate=3)
    assert list(tmp_path.iterdir()) == []


def test_a_network_learns_from_its_teacher(tmp_path: Path):
    """Distillation alone, from a network that was trained before."""
    student = network()
    trained = fit(tmp_path / "teacher", steps=30, loss="ce+dice", validate_every=10)
    teacher = network()
    load_into(teacher, read_state_dict(trained.weights), trained.weights)
    before = teacher.state_dict()["0.weight"].clone()
    settings = TrainSettings(
        steps=60, batch=4, lr=0.02, loss="distil", validate_every=20, crop=(16, 16), average="ema"
    )
    splits = (split("train", 10), split("val", 4))
    result = train(student, *splits, SPEC, settings, tmp_path / "student", teacher=teacher)
    assert result.card.score > 0.8
    assert torch.equal(teacher.state_dict()["0.weight"], before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can train in fp16")
def test_fp16_needs_a_gpu(tmp_path: Path):
    with pytest.raises(InputError, match="cannot train in fp16"):
        fit(tmp_path, precision="fp16")


def test_a_loss_that_explodes_stops_the_training(tmp_path: Path):
    with pytest.raises(InputError, match="the loss is") as caught:
        fit(tmp_path, norm=False, optimizer="sgd", lr=1000.0, steps=12)
    assert "--train lr" in caught.value.hint


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import safetensors.torch

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        fit(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment() -> dict[str, str]:
    root = str(SCRIPT.parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def read_text(folder: Path, field: str) -> str:
    return str(json.loads((folder / "best.json").read_text())[field])
