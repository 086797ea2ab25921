from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.drafts import draft
from edgeseg.core.recipe import DataChoice, ModelChoice
from edgeseg.datasets.choice import parse_data, split_of
from edgeseg.errors import DataError, ModelError
from edgeseg.flow.data import open_data
from edgeseg.flow.load import load


@pytest.fixture
def splits(tmp_path):
    """The folders layout with the splits `test` and `train`, at a path with an equals sign."""
    root = tmp_path / "my data=1"
    for split in ("test", "train"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(root / "images" / split / "a.png")
        Image.fromarray(np.zeros((32, 48), np.uint8)).save(root / "masks" / split / "a.png")
    (root / "dataset.toml").write_text(
        'schema_version = 1\nencoding = "ids"\n[[classes]]\nname = "ground"\ncolor = [0, 0, 0]\n'
        '[[classes]]\nname = "thing"\ncolor = [255, 0, 0]\n'
    )
    return root


def test_words_for_data(splits, monkeypatch):
    monkeypatch.chdir(splits.parent)
    assert parse_data("") == DataChoice(name="")
    assert parse_data("camvid=x=y") == DataChoice(name="camvid", root="x=y")
    assert parse_data("my data=1") == DataChoice(name="folders", root="my data=1")
    (splits.parent / "synthetic-streets").mkdir()
    assert parse_data("synthetic-streets") == DataChoice(name="synthetic-streets")
    for wrong, named in (("nothing", "'nothing'"), ("nothing=x", "'nothing'"), ("=", "'='")):
        with pytest.raises(DataError, match=f"there is no dataset layout or folder {named}"):
            parse_data(wrong)


def test_data_without_the_split_val(splits):
    choice = parse_data(str(splits))
    data = open_data(choice, ModelChoice(name=""))
    assert data.frame_size == (32, 48)
    with pytest.raises(DataError, match="val"):
        split_of(data.dataset, choice)


def test_a_network_may_have_more_classes_than_the_data(splits):
    """`--classes 3` was refused as "the data has 2", and leaving it out as "use --classes 3"."""
    data = open_data(parse_data(str(splits)), ModelChoice(name="", classes=3))
    assert [c.name for c in data.classes] == ["ground", "thing", "class2"]
    assert len({c.color for c in data.classes}) == 3
    with pytest.raises(DataError, match="--classes is 1"):
        open_data(parse_data(str(splits)), ModelChoice(name="", classes=1))


def onnx_network(path, channels):
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((channels, 3, 1, 1), np.float32), "weight")
    conv = helper.make_node("Conv", ["image", "weight"], ["scores"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, channels, 32, 32])
    graph = helper.make_graph([conv], "small", [image], [scores], [weight])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return ModelChoice(name=str(path))


def test_an_onnx_network_with_more_outputs_than_the_data_has_classes(splits, tmp_path):
    """The hint of the error leads out of it; a third output for the value that labels ignore needs none."""
    network, place = onnx_network(tmp_path / "net.onnx", 3), parse_data(str(splits))

    def classes(choice, data):
        with draft(tmp_path / "bundle") as work:
            return [c.name for c in load(choice, data, work, trust_file=False).model.classes]

    with pytest.raises(
        ModelError, match=r"3 channel\(s\), the data has 2 classes[\s\S]*--classes 3 if the last"
    ):
        classes(network, open_data(place, network))
    told = msgspec.structs.replace(network, classes=3)
    assert classes(told, open_data(place, told)) == ["ground", "thing", "class2"]
    void = replace(open_data(place, network), ignore_index=2)
    assert classes(network, void) == ["ground", "thing", "class2"]


def test_verify_a_split_of_data_without_val(splits, monkeypatch):
    """What is opened before `verify` must not ask for another split."""
    from pathlib import Path

    from edgeseg.core.recipe import Budget
    from edgeseg.flow import prove

    monkeypatch.setattr(prove.Bundle, "open", lambda path: None)
    monkeypatch.setattr(prove, "verify", lambda bundle, dataset, split, **_: len(dataset.split(split)))
    assert prove.verify_bundle(Path("b"), data=str(splits), split="test", budget=Budget()) == 1
