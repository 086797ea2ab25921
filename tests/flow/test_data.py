from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.recipe import DataChoice, ModelChoice
from edgeseg.errors import DataError
from edgeseg.flow.data import open_data, parse_data, split_of


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
    with pytest.raises(DataError, match="nothing"):
        parse_data("nothing")


def test_data_without_the_split_val(splits):
    choice = parse_data(str(splits))
    data = open_data(choice, ModelChoice(name=""))
    assert data.frame_size == (32, 48)
    with pytest.raises(DataError, match="val"):
        split_of(data.dataset, choice)


def test_verify_a_split_of_data_without_val(splits, monkeypatch):
    """What is opened before `verify` must not ask for another split."""
    from pathlib import Path

    from edgeseg.core.recipe import Budget
    from edgeseg.flow import prove

    monkeypatch.setattr(prove.Bundle, "open", lambda path: None)
    monkeypatch.setattr(prove, "verify", lambda bundle, dataset, split, **_: len(dataset.split(split)))
    assert prove.verify_bundle(Path("b"), data=str(splits), split="test", budget=Budget()) == 1
