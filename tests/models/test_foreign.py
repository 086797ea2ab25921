from __future__ import annotations

import textwrap
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import CheckpointError, ModelError
from edgeseg.models.checkpoint import write_safetensors
from edgeseg.models.load import rebuild, resolve

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, kind, activation):
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, padding=1)
        self.kind, self.activation = kind, activation

    def forward(self, x):
        y = self.conv(x)
        y = y.softmax(1) if self.activation == "softmax" else getattr(torch, self.activation)(y)
        small = nn.functional.avg_pool2d(y, 4)
        pair, nested = {"aux": small, "out": y}, [small, {"masks": y}]
        return {"plain": y, "dict": pair, "list": nested, "small": small}[self.kind]

def factory(classes=4, kind="plain", activation="clone"):
    return Net(classes, kind, activation)
"""
SIZE = (32, 48)
HEAD = "from torch import nn\n"


@pytest.fixture
def net(tmp_path: Path) -> str:
    file = tmp_path / "net.py"
    file.write_text(NET)
    return f"{file}:factory"


@pytest.mark.parametrize(
    ("kind", "path"), [("plain", ""), ("dict", "out"), ("list", "1.masks"), ("small", "")]
)
def test_the_output_that_counts_is_found_and_stated(net: str, kind: str, path: str, tmp_path: Path):
    loaded = resolve(ModelChoice(name=net, options={"kind": kind}, input_size=SIZE))
    scores = loaded.module(torch.zeros(1, 3, *SIZE))
    assert isinstance(scores, torch.Tensor)
    assert scores.shape == ((1, 4, 8, 12) if kind == "small" else (1, 4, *SIZE))
    assert loaded.spec.source.output == path
    assert loaded.spec.postprocess.output == ""
    assert (path or "the only output") in loaded.notes[-1] and "logits" in loaded.notes[-1]
    write_safetensors(tmp_path / "w.safetensors", loaded.module)
    again = rebuild(
        loaded.spec, tmp_path / "w.safetensors", trusted=ModelChoice(name=net, options={"kind": kind})
    )
    image = torch.rand(1, 3, *SIZE)
    assert torch.equal(again(image), loaded.module(image))


def test_a_stated_output_is_taken(net: str):
    choice = ModelChoice(name=net, options={"kind": "dict"}, postprocess={"output": "aux"}, input_size=SIZE)
    assert resolve(choice).module(torch.zeros(1, 3, *SIZE)).shape == (1, 4, 8, 12)
    wrong = msgspec.structs.replace(choice, postprocess={"output": "auxiliary"})
    with pytest.raises(ModelError, match="no output 'auxiliary'") as caught:
        resolve(wrong)
    assert "'aux' float32 [1, 4, 8, 12]" in caught.value.expected


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_activation_is_detected_unless_stated(net: str, activation: str):
    choice = ModelChoice(name=net, options={"activation": activation}, input_size=SIZE, task="semantic")
    loaded = resolve(choice)
    assert loaded.spec.postprocess.activation == activation
    assert activation in loaded.notes[-1]
    stated = resolve(msgspec.structs.replace(choice, postprocess={"activation": "logits"}))
    assert stated.spec.postprocess.activation == "logits"
    assert "as stated" in stated.notes[-1]


@pytest.mark.parametrize(
    "fields", [{"options": {"activation": "sigmoid"}}, {"postprocess": {"activation": "sigmoid"}}]
)
def test_a_sigmoid_over_several_channels_needs_a_task(net: str, fields: dict):
    choice = ModelChoice(name=net, input_size=SIZE, **fields)
    with pytest.raises(ModelError, match="sigmoid over 4 channels"):
        resolve(choice)
    for task in ("semantic", "multilabel"):
        assert resolve(msgspec.structs.replace(choice, task=task)).spec.task == task
    one = msgspec.structs.replace(choice, options={"classes": 1, **choice.options})
    assert resolve(one).spec.task == "semantic"


def test_nan_of_a_factory_and_of_its_scores_is_refused(tmp_path: Path):
    file = tmp_path / "net.py"
    file.write_text(
        HEAD + "def broken():\n    conv = nn.Conv2d(3, 4, 1)\n    conv.bias.data[1] *= float('nan')\n"
        "    return conv\n"
        "class divided(nn.Module):\n    def forward(self, x):\n        return x / 0 - x / 0\n"
    )
    with pytest.raises(CheckpointError, match=r"the weight 'bias' in .*net\.py:broken holds NaN"):
        resolve(ModelChoice(name=f"{file}:broken", input_size=SIZE))
    with pytest.raises(ModelError, match="holds NaN or infinite values on a random image"):
        resolve(ModelChoice(name=f"{file}:divided", input_size=SIZE))


def test_a_map_of_the_centre_is_stretched_only_where_it_is_stated(tmp_path: Path):
    file = tmp_path / "net.py"
    file.write_text(HEAD + "def make():\n    return nn.Conv2d(3, 4, 9)\n")
    choice = ModelChoice(name=f"{file}:make", input_size=SIZE)
    with pytest.raises(ModelError, match="24x40 for an input of 32x48"):
        resolve(choice)
    spec = resolve(msgspec.structs.replace(choice, postprocess={"stretch": True})).spec
    assert spec.postprocess.stretch


def test_unstated_normalisation_of_trained_weights_is_said_aloud(net: str, tmp_path: Path):
    state = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "w.pt")
    choice = ModelChoice(name=net, weights=str(tmp_path / "w.pt"), input_size=SIZE)
    assert "WARNING: color, scale, mean, std" in resolve(choice).notes[0]
    stated = msgspec.structs.replace(choice, preprocess={"mean": (0.5,) * 3, "std": (0.5,) * 3})
    untrained = ModelChoice(name=net, input_size=SIZE)
    assert not any("WARNING" in note for c in (stated, untrained) for note in resolve(c).notes)


def test_the_key_of_averaged_weights(net: str, tmp_path: Path):
    raw, ema = ({"conv.weight": torch.full((4, 3, 3, 3), v), "conv.bias": torch.zeros(4)} for v in (1.0, 2.0))
    torch.save({"state_dict": raw, "ema": ema}, tmp_path / "w.pt")
    choice = ModelChoice(name=net, weights=str(tmp_path / "w.pt"), input_size=SIZE)
    loaded = resolve(choice)
    assert loaded.module.conv.weight[0, 0, 0, 0] == 1
    assert any("--weights-key ema" in note for note in loaded.notes)
    averaged = resolve(msgspec.structs.replace(choice, weights_key="ema"))
    assert averaged.module.conv.weight[0, 0, 0, 0] == 2 and averaged.spec.weights.key == "ema"
    with pytest.raises(ModelError, match="--weights-key ema without --weights"):
        resolve(ModelChoice(name=net, weights_key="ema", input_size=SIZE))


def test_the_class_count_is_passed_on(net: str):
    classes = (ClassInfo("a", (0, 0, 0)), ClassInfo("b", (1, 1, 1)), ClassInfo("c", (2, 2, 2)))
    loaded = resolve(ModelChoice(name=net, input_size=SIZE), classes=classes)
    assert loaded.spec.classes == classes
    assert loaded.spec.source.options["classes"] == 3


def test_a_network_with_another_class_count(tmp_path: Path):
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\ndef make():\n    return nn.Conv2d(3, 5, 1)\n")
    assert len(resolve(ModelChoice(name=f"{file}:make", input_size=SIZE)).spec.classes) == 5
    with pytest.raises(ModelError, match=r"5 output channel\(s\), --classes \(or the data\) says 7"):
        resolve(ModelChoice(name=f"{file}:make", input_size=SIZE, classes=7))


def test_an_output_for_the_value_that_labels_ignore_needs_no_count(tmp_path: Path):
    """The 12th output of many networks for CamVid, whose labels say 11 where nothing is scored."""
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 1)\n")
    choice = ModelChoice(name=f"{file}:make", input_size=SIZE)
    classes = tuple(ClassInfo(name, (i, 0, 0)) for i, name in enumerate("abc"))
    names = [c.name for c in resolve(choice, classes=classes, ignore_index=3).spec.classes]
    assert names == ["a", "b", "c", "class3"]
    with pytest.raises(ModelError, match="use --classes 4"):
        resolve(choice, classes=classes, ignore_index=255)


def test_weights_of_the_users_network(net: str, tmp_path: Path):
    state = {"conv.weight": torch.ones(6, 3, 3, 3), "conv.bias": torch.zeros(6)}
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    loaded = resolve(ModelChoice(name=net, weights=str(tmp_path / "w.pt"), input_size=SIZE))
    assert len(loaded.spec.classes) == 6
    assert torch.equal(loaded.module.state_dict()["conv.weight"], state["conv.weight"])
    assert not any("no weights" in note for note in loaded.notes)
    with pytest.raises(CheckpointError, match=r"conv\.weight is \[6, 3, 3, 3\]"):
        resolve(ModelChoice(name=net, weights=str(tmp_path / "w.pt"), classes=4, input_size=SIZE))


@pytest.mark.parametrize(
    ("source", "ref", "message"),
    [
        ("def make(:\n", "make", r"net\.py:1: SyntaxError"),
        ("import nothing_of_the_kind\n", "make", r"net\.py:1: ModuleNotFoundError: .*nothing_of_the_kind"),
        ("def make():\n    return 1 / 0\n", "make", r"net\.py:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "make", r"net\.py:1: SystemExit: 3"),
        ("def make():\n    return 3\n", "make", "make in .* returned int"),
        ("def other():\n    pass\n", "make", "has no factory 'make'"),
        (
            HEAD + "class make(nn.Module):\n    def forward(self, x):\n        return x.missing\n",
            "make",
            r"net\.py:4: AttributeError",
        ),
        (
            HEAD + "class make(nn.Module):\n    def forward(self, x):\n        return x.mean()\n",
            "make",
            "returns no score map",
        ),
        ("def make():\n    return None\n", "not a name", "is not a network"),
    ],
)
def test_errors_of_the_users_code_are_one_clear_error(tmp_path: Path, source: str, ref: str, message: str):
    file = tmp_path / "net.py"
    file.write_text(source)
    with pytest.raises(ModelError, match=message):
        resolve(ModelChoice(name=f"{file}:{ref}", input_size=SIZE))


def test_a_file_that_imports_its_neighbour(tmp_path: Path):
    (tmp_path / "my_blocks_for_test.py").write_text("from torch import nn\nblock = nn.Conv2d(3, 4, 1)\n")
    (tmp_path / "net.py").write_text(
        "def make():\n    from my_blocks_for_test import block\n    return block\n"
    )
    (tmp_path / "top.py").write_text("from my_blocks_for_test import block\ndef make():\n    return block\n")
    assert len(resolve(ModelChoice(name=f"{tmp_path / 'top.py'}:make", input_size=SIZE)).spec.classes) == 4
    assert len(resolve(ModelChoice(name=f"{tmp_path / 'net.py'}:make", input_size=SIZE)).spec.classes) == 4


def test_helpers_of_the_same_name_beside_two_files_do_not_mix(tmp_path: Path):
    for folder, channels in (("one", 3), ("two", 5)):
        (tmp_path / folder / "layers").mkdir(parents=True)
        (tmp_path / folder / "layers" / "__init__.py").write_text("")
        (tmp_path / folder / "layers" / "head.py").write_text(f"channels = {channels}\n")
        (tmp_path / folder / "width.py").write_text(f"width = {channels}\n")
        (tmp_path / folder / "net.py").write_text(
            "from torch import nn\nfrom layers.head import channels\nfrom width import width\n"
            "def make():\n    return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, channels, 1))\n"
        )
    for folder, channels in (("one", 3), ("two", 5), ("one", 3)):
        loaded = resolve(ModelChoice(name=f"{tmp_path / folder / 'net.py'}:make", input_size=SIZE))
        assert [c.out_channels for c in loaded.module] == [channels, channels]


def test_a_factory_that_loads_its_own_weights(tmp_path: Path):
    torch.save(nn.Conv2d(3, 4, 1).state_dict(), tmp_path / "own.pt")
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\nfrom torch import nn\ndef make(head=False):\n    conv = nn.Conv2d(3, 4, 1)\n"
        f"    conv.load_state_dict(torch.load({str(tmp_path / 'own.pt')!r}, weights_only=True))\n"
        "    return nn.Sequential(conv, nn.Conv2d(4, 4, 1)) if head else conv\n"
    )
    loaded = resolve(ModelChoice(name=f"{file}:make", input_size=SIZE))
    assert loaded.spec.weights is not None and loaded.spec.weights.file == "net.py"
    assert not any("no weights" in note for note in loaded.notes)
    partly = resolve(ModelChoice(name=f"{file}:make", options={"head": True}, input_size=SIZE))
    assert partly.spec.weights is None and "no weights were given" in partly.notes[0]


def test_missing_file_and_unknown_option(net: str, tmp_path: Path):
    with pytest.raises(ModelError, match=r"gone\.py does not exist"):
        resolve(ModelChoice(name=f"{tmp_path / 'gone.py'}:make"))
    with pytest.raises(ModelError, match="does not take the option 'depth'") as caught:
        resolve(ModelChoice(name=net, options={"depth": 3}, input_size=SIZE))
    assert "kind" in caught.value.expected
    with pytest.raises(ModelError, match="not a network"):
        resolve(ModelChoice(name=str(tmp_path / "net.py")))


def test_a_bundle_runs_no_code_unless_trusted_and_unchanged(net: str, tmp_path: Path):
    loaded = resolve(ModelChoice(name=net, input_size=SIZE))
    weights = tmp_path / "w.safetensors"
    write_safetensors(weights, loaded.module)
    with pytest.raises(ModelError, match="is code in") as caught:
        rebuild(loaded.spec, weights)
    assert "--trust-file" in caught.value.hint
    code = Path(net.rpartition(":")[0])
    assert loaded.spec.source.ref.startswith("net.py:"), "where it lies, who uses it says"
    (tmp_path / "other.py").write_text(NET + "\n# another\n")
    with pytest.raises(ModelError, match=r"other\.py is not that file"):
        rebuild(loaded.spec, weights, trusted=ModelChoice(name=f"{tmp_path}/other.py:net"))
    assert rebuild(loaded.spec, weights, trusted=ModelChoice(name=net))
    for other in (ModelChoice(name=f"{code}:Net"), ModelChoice(name=net, options={"kind": "dict"})):
        with pytest.raises(ModelError, match="called with"):
            rebuild(loaded.spec, weights, trusted=other)
    code.write_text(NET + textwrap.dedent("\n# changed\n"))
    with pytest.raises(ModelError, match="was changed"):
        rebuild(loaded.spec, weights, trusted=ModelChoice(name=net))


def test_what_a_network_imports_when_it_runs_lies_beside_its_file(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "late.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "code" / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Conv2d):\n"
        "    def forward(self, x):\n"
        "        import late\n"
        "        return late.twice(super().forward(x))\n"
        "def factory(classes=4):\n"
        "    return Net(3, classes, 3, padding=1)\n"
    )
    loaded = resolve(ModelChoice(name="code/net.py:factory", input_size=SIZE))
    assert loaded.spec.source.ref == "net.py:factory"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Softmax(1)).eval()
    file = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, *SIZE),)), file)
    return file


def test_an_exported_program_needs_trust(program: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="can run code") as caught:
        resolve(ModelChoice(name=str(program)))
    assert "--trust-file" in caught.value.hint
    loaded = resolve(ModelChoice(name=str(program)), trust_file=True)
    assert loaded.spec.input_size == SIZE
    assert loaded.spec.postprocess.activation == "softmax"
    image = torch.rand(1, 3, *SIZE)
    write_safetensors(tmp_path / "w.safetensors", loaded.module)
    again = rebuild(loaded.spec, tmp_path / "w.safetensors", trusted=ModelChoice(name=str(program)))
    assert torch.equal(loaded.module.eval()(image), again(image))


def test_an_exported_program_tells_its_channels(tmp_path: Path):
    network = torch.nn.Conv2d(5, 4, 3, padding=1).eval()
    file = tmp_path / "five.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 5, *SIZE),)), file)
    held = Frame(order="r,g,b,nir,depth", dtype="float32")
    wide = Frame(order="gray", dtype="uint16", maximum=4095.0)
    deep = Frame(order="5", dtype="uint16", maximum=4095.0)
    for frame, found in ((None, Frame(order="5")), (wide, deep), (held, held)):
        loaded = resolve(ModelChoice(name=str(file)), trust_file=True, frame=frame)
        assert loaded.spec.preprocess.frame == found
    with pytest.raises(ModelError) as caught:
        resolve(ModelChoice(name=str(file), preprocess={"frame": "gray"}), trust_file=True)
    assert "it takes 5 channel(s), and was given 1" in caught.value.hint


def test_a_checkpoint_is_adapted_to_the_stated_frame_of_a_factory(tmp_path: Path):
    file = tmp_path / "net.py"
    file.write_text(HEAD + "def make(channels=1):\n    return nn.Conv2d(channels, 2, 1)\n")
    weight = torch.tensor([[1.0, 2.0, 4.0], [-1.0, 0.5, 3.0]])[..., None, None]
    torch.save({"weight": weight, "bias": torch.zeros(2)}, tmp_path / "w.pt")
    choice = ModelChoice(name=f"{file}:make", weights=str(tmp_path / "w.pt"), input_size=SIZE)
    with pytest.raises(CheckpointError, match=r"weight is \[2, 3, 1, 1\]") as caught:
        resolve(choice, frame=Frame(order="gray"))
    assert "state what its 1 channel(s) are, and the weights for 3 are adapted" in caught.value.hint
    loaded = resolve(msgspec.structs.replace(choice, preprocess={"frame": "gray"}))
    assert loaded.module.weight.flatten().tolist() == [7.0, 2.5]
    assert "gray got the average of r, g, b, scaled to the same sum" in str(loaded.notes)


def test_a_broken_exported_program(tmp_path: Path):
    file = tmp_path / "net.pt2"
    file.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ModelError, match="no readable exported program"):
        resolve(ModelChoice(name=str(file)), trust_file=True)
    with pytest.raises(ModelError, match="does not exist"):
        resolve(ModelChoice(name=str(tmp_path / "gone.pt2")), trust_file=True)


def test_an_onnx_file_is_no_torch_network():
    with pytest.raises(ModelError, match=r"(?s)net\.onnx is an ONNX file.*PyTorch"):
        resolve(ModelChoice(name="net.onnx"))
