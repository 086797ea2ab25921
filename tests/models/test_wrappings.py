from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgeseg.errors import CheckpointError
from edgeseg.models.checkpoint import load_into, read_checkpoint


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, 3, 1)


torch.manual_seed(0)
RAW, EMA = Net().state_dict(), Net().state_dict()


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + k: v for k, v in state.items()}


def loaded(content: dict, folder: Path, key: str = "") -> tuple[str, tuple[str, ...]]:
    """Which of the two sets of weights a network got, and what the user is told."""
    file = folder / "net.pt"
    torch.save(content, file)
    checkpoint = read_checkpoint(file, key)
    net = Net()
    load_into(net, checkpoint.state, file)
    found = [
        name
        for name, state in (("raw", RAW), ("ema", EMA))
        if all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    ]
    return found[0], checkpoint.notes


BESIDE = {
    "ema": {"state_dict": RAW, "ema": EMA},
    "ema.module": {"model": prefixed(RAW, "module."), "ema": {"module": EMA, "decay": 0.999}},
    "state_dict_ema": {"state_dict": RAW, "state_dict_ema": EMA, "optimizer": {"state": {0: {"m": RAW}}}},
    "ema_model": {**prefixed(RAW, "model."), **prefixed(EMA, "ema_model.module.")},
    "state_dict.ema_model": {"state_dict": {**prefixed(RAW, "model."), **prefixed(EMA, "ema_model.")}},
    "callbacks.ModelEMA.weights": {"state_dict": RAW, "callbacks": {"ModelEMA": {"weights": EMA}}},
}


@pytest.mark.parametrize("key", BESIDE)
def test_averaged_weights_beside_raw_ones_are_told_and_taken_by_their_key(tmp_path: Path, key: str):
    name, (note,) = loaded(BESIDE[key], tmp_path)
    assert name == "raw" and "EMA" in note and f"--weights-key {key} takes the others" in note
    assert loaded(BESIDE[key], tmp_path, key) == ("ema", ())


@pytest.mark.parametrize("key", ["ema", "callbacks", "callbacks.ModelEMA"])
def test_a_key_may_be_cut_short_where_it_is_clear(tmp_path: Path, key: str):
    assert loaded({**BESIDE["callbacks.ModelEMA.weights"], **BESIDE["ema.module"]}, tmp_path, key)[0] == "ema"
    assert loaded(BESIDE["state_dict.ema_model"], tmp_path, "ema_model")[0] == "ema"
    assert loaded(BESIDE["state_dict.ema_model"], tmp_path, "state_dict") == ("raw", ())


@pytest.mark.parametrize(
    "content", [{"ema": EMA}, {"ema": {"module": EMA}, "epoch": 3}], ids=["ema", "module"]
)
def test_averaged_weights_alone_load(tmp_path: Path, content: dict):
    assert loaded(content, tmp_path) == ("ema", ())


def test_a_block_called_ema_is_part_of_the_network(tmp_path: Path):
    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.ema = nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))

    net, file = Attentive(), tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    checkpoint = read_checkpoint(file)
    other = Attentive()
    load_into(other, checkpoint.state, file)
    assert checkpoint.notes == () and torch.equal(net.ema[1].weight, other.ema[1].weight)


@pytest.mark.parametrize("prefix", ["model._orig_mod.", "segmentor.", "module.model.network."])
def test_a_prefix_before_most_keys_beside_others(tmp_path: Path, prefix: str):
    state = {**prefixed(RAW, prefix), "criterion.weight": torch.ones(3), "epoch": torch.tensor(3)}
    assert loaded({"state_dict": state}, tmp_path) == ("raw", ())


def test_two_sets_that_fit_are_asked_for(tmp_path: Path):
    content = {**prefixed(RAW, "student."), **prefixed(EMA, "teacher.")}
    with pytest.raises(CheckpointError, match=r"several sets of weights .*student.*teacher") as caught:
        loaded(content, tmp_path)
    assert "--weights-key student" in caught.value.hint
    assert loaded(content, tmp_path, "teacher")[0] == "ema"


def test_unknown_keys_are_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no weights at 'swa'") as caught:
        loaded(BESIDE["ema"], tmp_path, "swa")
    assert "'state_dict', 'ema'" in caught.value.expected
    with pytest.raises(CheckpointError, match="found: generator") as caught:
        loaded({"generator": RAW}, tmp_path)
    assert "--weights-key: 'generator'" in caught.value.hint
    assert loaded({"generator": RAW}, tmp_path, "generator")[0] == "raw"
