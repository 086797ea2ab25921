"""Every shipped recipe can be planned with data of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeseg.cli.choices import recipe_with
from edgeseg.flow.plan import make_plan

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_plans(path, tmp_path, camvid_like, network_file):
    data = "" if path.stem.startswith("demo") else f"camvid={camvid_like}"
    if path.stem == "own-onnx-int8":
        data, copy = f"images={camvid_like / 'train'}", network_file.parent / path.name
        path = Path(shutil.copyfile(path, copy))
    recipe = recipe_with(path, "", data)
    plan, _ = make_plan(recipe, path.parent)
    uses = [step.use for step in (*plan.steps, *plan.int8_steps)]
    assert uses == [step.use for step in recipe.steps]
    assert {t.target for t in plan.targets} == {choice.target for choice in recipe.choices}
    assert plan.notes == (), "limits that a clone of this recipe would leave unjudged"


@pytest.fixture
def camvid_like(tmp_path):
    """A few images of noise in the layout of CamVid."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder, channels in ((split, (3,)), (f"{split}annot", ())):
            (tmp_path / folder).mkdir()
            for index in range(count):
                high = 256 if channels else 11
                pixels = random.integers(0, high, (36, 48, *channels), np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / f"{split}{index}.png")
    return tmp_path


@pytest.fixture
def network_file(tmp_path):
    """`network.onnx`: one convolution of 320x320 pixels."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "w")
    shape = [1, 3, 320, 320]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["scores"])],
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 320, 320])],
        [weight],
    )
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "network.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(file))
    return file
