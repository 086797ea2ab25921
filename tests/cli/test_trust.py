"""No command runs code out of a file that the user did not name as code, or trust."""

from __future__ import annotations

import pickle
import shutil
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from edgeseg.core.bundle import Bundle, file_sha256
from edgeseg.core.drafts import draft
from edgeseg.core.model_spec import Source

MARK = "executed"
NET = """
from torch import nn

def net(classes=2):
    return nn.Conv2d(3, classes, 3, padding=1)
"""
RECIPE = """
schema_version = 1
name = "canary"
targets = ["ort-fp32"]
bench = false
[model]
name = "{model}"
weights = "{weights}"
input_size = [64, 64]
[data]
name = "folders"
root = "data"
"""
SIZE = ("--input-size", "64x64")
LIST = ("-n", "1", "-o", "list.txt", "--strategy", "k-centre")
NETWORK_COMMANDS = {
    "export": ("export", "--target", "ort-fp32", *SIZE),
    "quantize": ("quantize", "--target", "ort-int8", "--no-plan", "--data", "folders=data", *SIZE),
    "train": ("train", "--train", "steps=1", "--data", "folders=data", *SIZE),
    "calibrate select": ("calibrate", "select", "--data", "folders=data", *LIST, *SIZE),
    "calibrate check": ("calibrate", "check", "given.txt", "--data", "folders=data", *SIZE),
    "run": ("run", "r.toml"),
    "plan": ("plan", "r.toml"),
}


class Canary:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return (Path.touch, (Path(MARK),))


def write_data(folder: Path) -> None:
    """Noise in two classes, two images per split."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for name in "ab":
            noise = random.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(folder / "images" / split / f"{name}.png")
            Image.fromarray(noise[..., 0] // 128).save(folder / "masks" / split / f"{name}.png")
    classes = ", ".join(
        f'{{ name = "{name}", color = [{red}, 0, 0] }}' for name, red in (("a", 0), ("b", 200))
    )
    (folder / "dataset.toml").write_text(f'schema_version = 1\nencoding = "ids"\nclasses = [{classes}]\n')


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Says whether the canary sang: something was unpickled, or an exported program was opened."""
    monkeypatch.setattr(torch.export, "load", lambda *_, **__: Path(MARK).touch())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_data(tmp_path / "data")
    return lambda: (tmp_path / MARK).exists()


def command_with(folder: Path, name: str, model: str, weights: str = "") -> tuple[str, ...]:
    (folder / "r.toml").write_text(RECIPE.format(model=model, weights=weights))
    if name in ("run", "plan"):
        return NETWORK_COMMANDS[name]
    return (*NETWORK_COMMANDS[name], "--model", model, *(("--weights", weights) if weights else ()))


@pytest.mark.parametrize("model", ["n.pt2", ".pyenv/n.pt2", "dir.py/n.pt2", "net.py:x/n.pt2"])
@pytest.mark.parametrize("name", NETWORK_COMMANDS)
def test_an_exported_program_is_not_opened_wherever_it_lies(edgeseg, tmp_path, canary, name, model):
    (tmp_path / model).parent.mkdir(exist_ok=True)
    (tmp_path / model).write_bytes(pickle.dumps(Canary()))
    (tmp_path / "given.txt").write_text(f"# dataset: folders\n# split: train\na  {'0' * 64}\n")
    result = edgeseg(*command_with(tmp_path, name, model))
    assert not canary()
    if name not in ("plan", "calibrate check"):
        assert result.code == 2 and "--trust-file" in result.err, result.err


def test_the_canary_sings_where_it_is_trusted(edgeseg, tmp_path, canary):
    (tmp_path / "n.pt2").write_bytes(pickle.dumps(Canary()))
    edgeseg(*command_with(tmp_path, "export", "n.pt2"), "--trust-file")
    assert canary()


def checkpoint(file: Path) -> None:
    """Pickles as torch writes and wrote them, and as anybody may."""
    if file.suffix == ".tar":
        (file.parent / "pickle").write_bytes(pickle.dumps(Canary()))
        with tarfile.open(file, "w") as archive:
            for name in ("sys_info", "pickle", "tensors", "storages"):
                archive.add(file.parent / "pickle", name)
    elif file.suffix in (".pt", ".pth"):
        torch.save({"state_dict": Canary()}, file, _use_new_zipfile_serialization=file.suffix == ".pt")
    else:
        file.write_bytes(pickle.dumps(Canary()))


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.tar", "w.pkl", "w.safetensors", "w.onnx", "w"])
@pytest.mark.parametrize("name", ["export", "train", "run"])
def test_weights_are_never_unpickled(edgeseg, tmp_path, canary, name, file):
    checkpoint(tmp_path / file)
    result = edgeseg(*command_with(tmp_path, name, "demo", file))
    assert result.code == 2 and "Traceback" not in result.err
    assert not canary()


@pytest.mark.parametrize("name", ["export", "inspect"])
def test_a_pickle_named_onnx(edgeseg, tmp_path, canary, name):
    (tmp_path / "n.onnx").write_bytes(pickle.dumps(Canary()))
    arguments = ("inspect", "n.onnx") if name == "inspect" else command_with(tmp_path, name, "n.onnx")
    assert edgeseg(*arguments).code == 2
    assert not canary()


def test_pictures_masks_and_states_that_are_pickles(edgeseg, tmp_path, canary):
    (tmp_path / "net.py").write_text(NET)
    for mask in (tmp_path / "data" / "masks").glob("*/*.png"):
        mask.unlink()
        np.save(mask.with_suffix(".npy"), np.array([Canary()], object), allow_pickle=True)
    result = edgeseg(*command_with(tmp_path, "train", "net.py:net"))
    assert result.code == 2 and "a.npy" in result.err
    shutil.rmtree(tmp_path / "data")
    write_data(tmp_path / "data")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "state.safetensors").write_bytes(pickle.dumps(Canary()))
    result = edgeseg(*command_with(tmp_path, "train", "net.py:net"), "-o", "out")
    assert result.code == 2 and "state.safetensors" in result.err
    assert not canary()


@pytest.fixture
def bundle(edgeseg, tmp_path, canary) -> Path:
    (tmp_path / "net.py").write_text(NET)
    result = edgeseg(*command_with(tmp_path, "export", "net.py:net"), "--data", "folders=data")
    assert result.code == 0, result.err
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "bundles" / "net-ort-fp32"


def rewritten(bundle: Path, change) -> None:
    """The bundle again, whole, with the change that someone made to its files and manifest."""
    opened = Bundle.open(bundle)
    with draft(bundle, overwrite=True) as work:
        shutil.copytree(bundle, work.path, dirs_exist_ok=True)
        (work.path / "manifest.json").unlink()
        work.finish(change(work.path, opened.manifest))


BUNDLE_COMMANDS = (
    ("bench", "B", "--min-runs", "2", "--min-seconds", "0"),
    ("verify", "B", "--data", "folders=data", "--limit", "1"),
    ("predict", "B", "a.png"),
    ("inspect", "B"),
    ("build", "B", "-o", "built"),
    ("calibrate", "select", "--data", "folders=data", "--bundle", "B", *LIST),
)


def test_a_bundle_runs_nothing(edgeseg, tmp_path, canary, bundle):
    """Whose network is code, and whose golden frames are a pickle."""
    (tmp_path / "evil.py").write_text(f"from pathlib import Path\nPath({MARK!r}).touch()\n")

    def change(folder: Path, manifest):
        source = Source(
            kind="python", ref=f"{tmp_path}/evil.py:net", sha256=file_sha256(tmp_path / "evil.py")
        )
        return msgspec.structs.replace(manifest, model=msgspec.structs.replace(manifest.model, source=source))

    rewritten(bundle, change)
    for command in BUNDLE_COMMANDS:
        result = edgeseg(*("bundles/net-ort-fp32" if a == "B" else a for a in command))
        assert result.code in (0, 3), result.err

    def pickled(folder: Path, manifest):
        arrays = dict(np.load(folder / "golden.npz"))
        np.savez(folder / "golden.npz", **(arrays | {"confident": np.array([Canary()], object)}))
        return manifest

    rewritten(bundle, pickled)
    for command in BUNDLE_COMMANDS[:3]:
        assert edgeseg(*("bundles/net-ort-fp32" if a == "B" else a for a in command)).code == 2
    assert not canary()


@pytest.mark.parametrize("kind", ["python", "pt2"])
def test_code_that_a_bundle_found_among_the_steps_names_is_not_run(edgeseg, tmp_path, canary, kind):
    """Naming `net.py:net` trusts that file, not what lies in the folder of a run."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "evil.py").write_text(NET + f"from pathlib import Path\nPath({MARK!r}).touch()\n")
    recipe = RECIPE.format(model="net.py:net", weights="") + (
        '[[steps]]\nuse = "train"\n[steps.settings]\nsteps = 1\n[[steps]]\nuse = "export"\n'
    )
    (tmp_path / "r.toml").write_text(recipe)
    assert edgeseg("run", "r.toml").code == 0
    (trained,) = (tmp_path / "runs" / "canary" / "steps").glob("train-*")
    for made in (tmp_path / "runs" / "canary" / "steps").glob("export-*"):
        shutil.rmtree(made)

    def change(folder: Path, manifest):
        code = f"{tmp_path}/evil.py"
        source = Source(
            kind=kind, ref=f"{code}:net" if kind == "python" else code, sha256=file_sha256(Path(code))
        )
        return msgspec.structs.replace(manifest, model=msgspec.structs.replace(manifest.model, source=source))

    rewritten(trained, change)
    result = edgeseg("run", "r.toml")
    assert not canary()
    assert result.code == 2 and "is not that file" in result.err and "evil.py" in result.err
