from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.errors import CheckpointError
from edgeseg.models.checkpoint import head_channels, load_into, read_state_dict, write_safetensors


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, classes, 1)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + k: v for k, v in state.items()}


def same(net: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(v, other.state_dict()[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: OrderedDict(s),
        lambda s: {"state_dict": s, "epoch": 3, "best_miou": np.float64(0.71)},
        lambda s: {"model": s, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1)},
        lambda s: {"model_state_dict": prefixed(s, "module.")},
        lambda s: prefixed(s, "module."),
        lambda s: {
            "state_dict": prefixed(s, "model."),
            "pytorch-lightning_version": "2.0",
            "hyper_parameters": {},
        },
        lambda s: {"state_dict": {**prefixed(s, "model."), "loss.weight": torch.ones(3)}},
        lambda s: prefixed(s, "module._orig_mod."),
    ],
    ids=[
        "plain",
        "ordered",
        "state_dict",
        "model",
        "ddp-in-dict",
        "ddp",
        "lightning",
        "lightning-loss",
        "compiled",
    ],
)
def test_usual_wrappings(tmp_path: Path, net: Net, wrap):
    file = tmp_path / "net.pt"
    torch.save(wrap(net.state_dict()), file)
    other = Net()
    load_into(other, read_state_dict(file), file)
    assert same(net, other)


def test_a_network_that_wraps_the_one_in_the_file(tmp_path: Path, net: Net):
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = Net()

    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    wrapped = Wrapped()
    load_into(wrapped, read_state_dict(file), file)
    assert same(net, wrapped.model)


def test_safetensors_round_trip(tmp_path: Path, net: Net):
    file = tmp_path / "net.safetensors"
    write_safetensors(file, net)
    other = Net()
    load_into(other, read_state_dict(file), file)
    assert same(net, other)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_half_precision_keeps_what_would_overflow(tmp_path: Path, net: Net):
    file = tmp_path / "net.safetensors"
    net.norm.running_var.fill_(1e6)
    write_safetensors(file, net, half=True)
    state = read_state_dict(file)
    assert state["head.weight"].dtype == torch.float16
    assert float(state["norm.running_var"][0]) == 1e6
    load_into(net, state, file)
    assert net.head.weight.dtype == torch.float32


def test_wrong_class_count_says_both_numbers(tmp_path: Path, net: Net):
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    with pytest.raises(CheckpointError) as caught:
        load_into(Net(5), read_state_dict(file), file)
    text = str(caught.value)
    assert "head.weight is [3, 4, 1, 1], the network has [5, 4, 1, 1]" in text
    assert "the checkpoint has 3 classes" in text and "says 5" in text
    assert "use --classes 3" in text


def test_wrong_architecture_names_the_first_keys(tmp_path: Path, net: Net):
    file = tmp_path / "net.pt"
    torch.save({"encoder.features.0.0.weight": torch.zeros(1), "body.weight": torch.zeros(4, 3, 3, 3)}, file)
    with pytest.raises(CheckpointError) as caught:
        load_into(net, read_state_dict(file), file)
    text = str(caught.value)
    assert "missing in the file" in text and "body.bias" in text
    assert "not in the network (1): encoder.features.0.0.weight" in text
    assert "looks like mobile-unet" in text


@pytest.mark.parametrize("state", [{"body.weight": torch.zeros(4, 3, 3, 3)}, None])
def test_a_factory_is_not_told_to_choose_an_encoder(tmp_path: Path, net: Net, state):
    file = tmp_path / "net.pt"
    torch.save(state or {**net.state_dict(), "body.weight": torch.zeros(4, 3, 5, 5)}, file)
    with pytest.raises(CheckpointError) as caught:
        load_into(net, read_state_dict(file), file, factory="network in net.py")
    assert "network in net.py builds another network" in caught.value.hint
    assert "encoder" not in caught.value.hint
    with pytest.raises(CheckpointError, match="encoder"):
        load_into(net, read_state_dict(file), file)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, net: Net, save: str):
    file, target = tmp_path / "net.pt", tmp_path / "created"
    content = {"state_dict": net.state_dict(), "extra": Malicious(target)}
    if save == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="refused and nothing in it was run"):
        read_state_dict(file)
    assert not target.exists()


def test_a_pickled_module_is_refused(tmp_path: Path, net: Net):
    file = tmp_path / "net.pt"
    torch.save(net, file)
    with pytest.raises(CheckpointError, match=r"more than tensors.*Net"):
        read_state_dict(file)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"gone\.pt does not exist"):
        read_state_dict(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "header", "text"])
def test_a_broken_file(tmp_path: Path, net: Net, name: str, damage: str):
    file = tmp_path / name
    if file.suffix == ".pt":
        torch.save(net.state_dict(), file)
    else:
        write_safetensors(file, net)
    data = file.read_bytes()
    broken = {
        "truncated": data[: len(data) // 2],
        "garbage": bytes(range(256)) * 4,
        "empty": b"",
        "header": b"\xff" * 16 + data[16:],
        "text": b"# Notes\nnothing but words\n",
    }[damage]
    file.write_bytes(broken)
    with pytest.raises(CheckpointError, match=r"truncated|corrupt|is empty"):
        read_state_dict(file)


def test_a_file_without_weights(tmp_path: Path):
    file = tmp_path / "net.pt"
    torch.save({"epoch": 3, "lr": 0.1}, file)
    with pytest.raises(CheckpointError, match="holds no weights under a usual key; found: epoch, lr"):
        read_state_dict(file)


@pytest.mark.parametrize(("value", "fault"), [("nan", "NaN"), ("inf", "infinite values")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nan_and_infinite_weights_are_refused(tmp_path: Path, net: Net, value, fault, dtype):
    file = tmp_path / "net.pt"
    net.head.bias.data[0] = float(value)
    torch.save({k: v.to(dtype) for k, v in net.state_dict().items()}, file)
    with pytest.raises(CheckpointError, match=rf"'head\.bias' in .* holds {fault}"):
        read_state_dict(file)


def test_a_mask_of_attention_is_no_broken_weight(tmp_path: Path):
    file = tmp_path / "net.pt"
    torch.save({"mask": torch.full((4, 4), float("-inf")).triu(1)}, file)
    assert read_state_dict(file)["mask"].isinf().any()


def test_the_head_is_found_behind_a_prefix():
    state = {
        "model._orig_mod.segmentation_head.0.weight": torch.ones(5, 4, 1, 1),
        "model._orig_mod.auxiliary.weight": torch.ones(7, 4, 1, 1),
        "criterion.weight": torch.ones(3),
    }
    assert head_channels(state) == 5


def test_a_disk_that_cannot_be_written(tmp_path: Path, net: Net):
    with pytest.raises(CheckpointError, match="could not be written"):
        write_safetensors(tmp_path / "no" / "net.safetensors", net)


def test_a_tensor_that_claims_more_than_it_stores(tmp_path: Path, net: Net):
    state = net.state_dict()
    name = next(iter(state))
    torch.save({**state, name: torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "w.pt")
    with pytest.raises(
        CheckpointError, match=rf"'{name}' in .*w\.pt is \[1000000, 1000000\] and stores 1 numbers"
    ):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("sparse", torch.zeros(4, 4).to_sparse()),
        ("complex", torch.zeros(4, dtype=torch.complex64)),
        ("on no device", torch.zeros(4, device="meta")),
    ],
)
def test_a_weight_that_is_no_array_of_numbers(tmp_path: Path, kind: str, tensor: torch.Tensor):
    torch.save({"w": tensor}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=f"'w' in .* is {kind}"):
        read_state_dict(tmp_path / "w.pt")


def test_a_checkpoint_that_contains_itself(tmp_path: Path, net: Net):
    content: dict[str, object] = {"state_dict": net.state_dict()}
    content["me"] = content["again"] = content
    torch.save(content, tmp_path / "w.pt")
    assert set(read_state_dict(tmp_path / "w.pt")) == set(net.state_dict())


def test_mappings_in_each_other_over_and_over(tmp_path: Path, net: Net):
    content: dict[str, object] = dict(net.state_dict())
    for _ in range(20):
        content = {f"{i}x": content for i in range(4)}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w\.pt holds mappings in each other over and over"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_legacy_file_that_was_cut_off(tmp_path: Path, net: Net, part: float):
    torch.save(net.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CheckpointError, match=r"w\.pth is truncated"):
        read_state_dict(tmp_path / "w.pth")


def test_another_format_is_told(tmp_path: Path):
    (tmp_path / "w.pt").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match="it is a Keras model"):
        read_state_dict(tmp_path / "w.pt")
