"""Each mistake of a user gives one clear error, exit code 2, no traceback, and leaves nothing behind."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SMALL = ("--model", "demo", "--input-size", "64x64", "--target", "ort-fp32")


@pytest.fixture
def refused(edgeseg, tmp_path):
    """Run, expect a refusal, return the message."""

    def run(*arguments: object, code: int = 2) -> str:
        result = edgeseg(*arguments)
        assert result.code == code, result.err
        assert "Traceback" not in result.err
        assert not list(tmp_path.rglob("*.partial-*"))
        return result.err

    return run


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Two images with masks of two classes, in the folders layout."""
    root = tmp_path / "pairs"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem in ("a", "b"):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
            root / "images" / f"{stem}.png"
        )
        Image.fromarray(rng.integers(0, 2, (64, 64), dtype=np.uint8)).save(root / "masks" / f"{stem}.png")
    (root / "dataset.toml").write_text(
        'schema_version = 1\nencoding = "ids"\n[[classes]]\nname = "ground"\ncolor = [0, 0, 0]\n'
        '[[classes]]\nname = "thing"\ncolor = [255, 0, 0]\n'
    )
    return root


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_missing_checkpoint(refused):
    assert "missing.pt" in refused("export", *SMALL, "--weights", "missing.pt")


def test_corrupt_checkpoint(refused, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"not a checkpoint at all")
    assert "w.pt" in refused("export", *SMALL, "--weights", "w.pt")


def test_truncated_safetensors(refused, tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "w.safetensors" in refused("export", *SMALL, "--weights", "w.safetensors")


def test_a_pickle_is_never_executed(refused, tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    refused("export", *SMALL, "--weights", "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_wrong_architecture(refused, tmp_path):
    import torch

    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "w.pt")
    assert "conv.weight" in refused("export", *SMALL, "--weights", "w.pt")


def test_wrong_class_count(refused):
    from edgeseg.models.demo import WEIGHTS

    message = refused("export", *SMALL, "--weights", WEIGHTS, "--classes", "7")
    assert "7" in message and "10" in message


def test_unknown_model_suggests_the_nearest(refused):
    assert "mobile-unet" in refused("export", "--model", "mobil-unet", "--target", "ort-fp32")


@pytest.mark.parametrize(
    ("target", "named", "instead"),
    [
        ("trt", "'trt'", "engine-precision"),
        ("tensort-fp16", "'tensort'", "did you mean 'trt'"),
        ("trt-fp17", "'fp17'", "fp16"),
        ("openvino-int3", "'int3'", "bf16"),
        ("rtx-fp16@sm87", "sm87", "sm86"),
    ],
)
def test_unknown_target(refused, target, named, instead):
    message = refused("export", "--model", "demo", "--target", target)
    assert named in message and instead in message


def test_input_size_that_does_not_divide_says_what_to_use(refused):
    assert "64x96" in refused("export", "--model", "demo", "--input-size", "50x70", "--target", "ort-fp32")


def test_a_frame_that_does_not_fit(refused):
    message = refused("export", *SMALL, "--camera-size", "100x100")
    assert "100x100" in message and "letterbox" in message


def test_unknown_contract_field(refused):
    message = refused("export", *SMALL, "--set", "men=0.5")
    assert "men" in message and "mean" in message


def test_unreadable_image(refused, pairs):
    (pairs / "images" / "a.png").write_bytes(b"nothing")
    assert "a.png" in refused("export", *SMALL, "--classes", "2", "--data", f"folders={pairs}")


def test_a_missing_mask(refused, pairs):
    (pairs / "masks" / "b.png").unlink()
    assert "b" in refused("export", *SMALL, "--data", f"folders={pairs}")


def test_an_empty_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("export", *SMALL, "--data", "folders=empty")


@pytest.fixture
def bundle(edgeseg, tmp_path) -> Path:
    assert edgeseg("export", *SMALL).code == 0
    return tmp_path / "bundles" / "demo-ort-fp32"


def test_ids_outside_the_classes(refused, edgeseg, pairs, tmp_path):
    label = np.full((64, 64), 7, np.uint8)
    Image.fromarray(label).save(pairs / "masks" / "a.png")
    code = "import torch\ndef net(classes):\n    return torch.nn.Conv2d(3, classes, 1)\n"
    (tmp_path / "net.py").write_text(code)
    made = edgeseg(
        "export", "--model", "net.py:net", "--input-size", "64x64", "--classes", "2", "--target", "ort-fp32"
    )
    assert made.code == 0, made.err
    folder = next((tmp_path / "bundles").glob("*-ort-fp32"))
    message = refused("verify", folder, "--data", f"folders={pairs}", "--split", "all")
    assert "7" in message and "a.png" in message


def test_a_changed_byte(refused, bundle, tmp_path):
    graph = next(p for p in sorted(bundle.rglob("*.onnx")))
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    for command in (
        ("bench", bundle),
        ("verify", bundle, "--data", "synthetic-streets"),
        ("inspect", bundle),
    ):
        assert graph.name in refused(*command)


def test_not_a_bundle(refused, tmp_path):
    assert "manifest.json" in refused("bench", tmp_path)


def test_an_existing_bundle_is_not_replaced_by_another(refused, bundle):
    before = (bundle / "manifest.json").read_bytes()
    assert "--overwrite" in refused("export", *SMALL, "--confidence")
    assert (bundle / "manifest.json").read_bytes() == before


def test_the_same_export_again_is_done_at_once(edgeseg, bundle):
    before = (bundle / "manifest.json").stat().st_mtime_ns
    assert edgeseg("export", *SMALL).code == 0
    assert (bundle / "manifest.json").stat().st_mtime_ns == before


def test_a_full_disk_leaves_nothing(refused, bundle, monkeypatch, tmp_path):
    """The file system's own error, raised where the last file is flushed."""
    import errno

    from edgeseg.core import drafts as module

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.rmtree(bundle)
    monkeypatch.setattr(module, "_flush", full)
    assert "No space left" in refused("export", *SMALL)
    assert not bundle.exists()


def test_data_of_other_classes(refused, bundle, pairs):
    message = refused("verify", bundle, "--data", f"folders={pairs}", "--split", "all")
    assert "10" in message and "2" in message


def test_recipe_with_a_wrong_value_shows_it(refused, tmp_path):
    (tmp_path / "r.toml").write_text(
        'schema_version = 1\nname = "r"\ntargets = "ort-fp32"\n[model]\nname = "demo"\n'
    )
    message = refused("run", "r.toml")
    assert "targets" in message and "'ort-fp32'" in message


def test_recipe_of_another_version(refused, tmp_path):
    (tmp_path / "r.toml").write_text('schema_version = 9\nname = "r"\ntargets = []\n[model]\nname = "demo"\n')
    assert "schema_version 9" in refused("plan", "r.toml")


def test_steps_that_do_not_chain(refused, tmp_path):
    (tmp_path / "r.toml").write_text(
        'schema_version = 1\nname = "r"\ntargets = ["ort-fp32"]\n[model]\nname = "demo"\n'
        '[[steps]]\nuse = "export"\n[[steps]]\nuse = "train"\n'
    )
    message = refused("plan", "r.toml")
    assert "train" in message and "onnx" in message


def test_training_and_validation_that_overlap(refused, tmp_path):
    (tmp_path / "r.toml").write_text(
        'schema_version = 1\nname = "r"\ntargets = ["ort-fp32"]\n[model]\nname = "demo"\n'
        '[data]\ntrain = "val"\n[[steps]]\nuse = "train"\n[[steps]]\nuse = "export"\n'
    )
    assert "near-duplicate" in refused("plan", "r.toml")


def test_a_pt2_needs_trust(refused, tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"PK")
    assert "--trust-file" in refused("export", "--model", "net.pt2", "--target", "ort-fp32")


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("task=foo", "multilabel, semantic"),
        ("mean=nan,0,0", "mean is (nan"),
        ("scale=inf", "scale is inf"),
        ("color=rbg", "rgb, bgr"),
    ],
)
def test_a_contract_that_makes_no_sense(refused, tmp_path, monkeypatch, field, named):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert named in refused("export", *SMALL, "--set", field)
    assert not list((tmp_path / "cache").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("trt-fp16@banana", "'banana'"),
        ("trt-fp16@sm8", "'sm8'"),
        ("ort-fp32+cpus=5-0", "5-0"),
        ("ort-fp32+cpus=0-99999999999", "0-99999999999"),
        ("ort-fp32+threads=1+threads=2", "threads"),
    ],
)
def test_hardware_that_does_not_exist(refused, target, named):
    assert named in refused("export", "--model", "demo", "--target", target)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("batch = 0", "batch is 0"),
        ("camera_size = [0, 64]", "camera_size is [0, 64]"),
        ("[data]\nlimit = -1", "limit is -1"),
        ('[data]\nvalidation = "vall"', "vall"),
    ],
)
def test_a_recipe_out_of_range(refused, tmp_path, lines, named):
    (tmp_path / "r.toml").write_text(
        f'schema_version = 1\nname = "r"\ntargets = ["ort-fp32"]\n{lines}\n[model]\nname = "demo"\n'
    )
    assert named in refused("plan", "r.toml")


def test_a_recipe_without_version(refused, tmp_path):
    (tmp_path / "r.toml").write_text('name = "r"\ntargets = []\n[model]\nname = "demo"\n')
    assert "add schema_version = 1" in refused("plan", "r.toml")


def test_classes_that_are_no_number(refused):
    assert "²" in refused("export", *SMALL, "--classes", "²")


def test_a_network_of_other_channels(refused, tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef net():\n    return torch.nn.Conv2d(4, 2, 1)\n")
    message = refused("export", "--model", "net.py:net", "--input-size", "64x64", "--target", "ort-fp32")
    assert "it takes 4 channel(s), and was given 3 and 1" in message and "--set frame=4:uint8" in message


def test_options_of_an_onnx_file(refused, bundle, tmp_path):
    graph = next(p for p in bundle.rglob("*.onnx"))
    message = refused("export", "--model", graph, "--option", "a=1", "--target", "ort-fp32")
    assert "--option a" in message


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_measurement_without_end(refused, bundle, seconds):
    assert "min_seconds" in refused("bench", bundle, "--min-seconds", seconds)


def test_a_limit_that_is_no_number(refused, bundle):
    assert "nan" in refused("bench", bundle, "--max-p99-ms", "nan")
    assert "nan" in refused("verify", bundle, "--data", "synthetic-streets", "--max-drop", "nan")


def test_an_output_that_is_a_file(refused, bundle, tmp_path):
    (tmp_path / "taken").write_text("mine")
    data = ("--data", "synthetic-streets")
    assert "taken" in refused("verify", bundle, *data, "--limit", "1", "-o", "taken")
    assert "taken" in refused("train", "--model", "demo", *data, "--limit", "1", "-o", "taken")
    assert "taken" in refused("bench", bundle, "-o", "taken/x.json")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device(refused, bundle):
    quick = ("--min-runs", "1", "--min-seconds", "0", "--warmup", "0")
    assert "/dev/full" in refused("bench", bundle, *quick, "-o", "/dev/full")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("limit", [("--max-drop", "1"), ("--max-class-drop", "road=1")])
def test_a_limit_on_drops_without_labels_is_refused_at_once(refused, bundle, tmp_path, limit):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (bundle / "deploy.onnx").write_bytes(b"not even read")
    for images in (("--images", tmp_path), ("--data", f"images={tmp_path}")):
        message = refused("verify", bundle, *images, *limit)
        assert limit[0] in message and f"{tmp_path} has no labels" in message


def test_a_limit_on_what_cannot_be_timed_here_exits_with_4(edgeseg, refused, tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef net():\n    return torch.nn.Conv2d(3, 10, 1)\n")
    small = ("--input-size", "64x64", "--classes", "synthetic-streets")
    made = edgeseg("export", "--model", "net.py:net", *small, "--target", "trt-fp16")
    assert made.code == 0, made.err
    later = tmp_path / "bundles" / "net-trt-fp16"
    assert edgeseg("bench", later).code == 0
    judged = edgeseg("bench", later, "--max-p99-ms", "5")
    assert judged.code == 4 and "p99: the budget limits it to 5 ms" in judged.out
    drop = edgeseg("verify", later, "--data", "synthetic-streets", "--limit", "1", "--max-drop", "1")
    assert drop.code == 4 and "mIoU: the budget limits its drop" in drop.out


def test_the_device_shows_control_characters_too(capsys):
    from edgeseg.device.commands import main

    assert main(["check", "no\x1b[2Jwhere"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and r"no\x1b[2Jwhere" in said


def test_control_characters_are_shown_and_not_obeyed(edgeseg):
    done = edgeseg("bench", "\x1b[31mnet")
    assert done.code == 2 and "\\x1b[31mnet is not a bundle" in done.err and "\x1b" not in done.err
