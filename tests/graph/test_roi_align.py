"""RoiAlign of ONNX and what replaces it, both in ONNX Runtime, against torchvision."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from random_boxes import KINDS, boxes_of
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from edgeseg.graph.editor import opset_of
from edgeseg.graph.export import export_torch
from edgeseg.graph.reference import run, session
from edgeseg.graph.roi_align import sample_roi_align
from edgeseg.models.detection.roi_align import RoiAlign, levels_of

SIZE = (300, 300)
EACH = 1430


class Pooled(nn.Module):
    """Boxes [N,K,4] to what is pooled from a pyramid of random maps."""

    def __init__(self, pool: MultiScaleRoIAlign, images: int = 1) -> None:
        super().__init__()
        cells = [-(-300 // 2 ** (2 + i)) for i in range(len(pool.featmap_names))]
        for level, side in enumerate(cells):
            self.register_buffer(f"map_{level}", torch.randn(images, 3, side, side))
        self.reference = pool
        self.align = RoiAlign(levels_of(pool, self.maps, SIZE))

    @property
    def maps(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"map_{name}") for name in self.reference.featmap_names}

    def forward(self, boxes: Tensor) -> Tensor:
        return self.align(list(self.maps.values()), boxes)


def both(module: Pooled, boxes: Tensor) -> list[np.ndarray]:
    """What the exported graph gives, and what the rewritten one gives."""
    model = export_torch(module, tuple(boxes.shape[1:]), batch=len(boxes))
    sampled = sample_roi_align(model)
    operators = Counter(node.op_type for node in sampled.graph.node)
    assert operators["GridSample"] == 1 and not operators["RoiAlign"]
    return [run(session(m), {"image": boxes.numpy()})["scores"] for m in (model, sampled)]


def wanted(module: Pooled, boxes: Tensor) -> np.ndarray:
    return module.reference(module.maps, list(boxes), [SIZE] * len(boxes)).numpy()


@pytest.fixture(scope="module")
def four_levels() -> tuple[Pooled, list[object]]:
    torch.manual_seed(0)
    module = Pooled(MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2))
    model = export_torch(module, (EACH, 4))
    return module, [session(model), session(sample_roi_align(model))]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_boxes_equal_torchvision(four_levels, kind):
    """7 kinds of 1,430 boxes, in 4 levels."""
    module, forms = four_levels
    torch.manual_seed(KINDS.index(kind))
    boxes = boxes_of(kind, 1, EACH)
    for form in forms:
        found = run(form, {"image": boxes.numpy()})["scores"]
        assert found.shape == (EACH, 3, 7, 7)
        np.testing.assert_allclose(found, wanted(module, boxes), rtol=0, atol=1e-4)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("levels", [1, 3])
def test_other_pyramids_bins_samples_and_batches(levels, images):
    torch.manual_seed(0)
    names = [str(i) for i in range(levels)]
    module = Pooled(MultiScaleRoIAlign(names, (5, 3), 3, canonical_scale=100), images)
    boxes = boxes_of("out of frame", images, 200)
    for found in both(module, boxes):
        np.testing.assert_allclose(found, wanted(module, boxes), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("each", "bins", "ratio"), [(1, 7, 2), (3, 1, 1)])
def test_one_box_and_one_sample(each, bins, ratio):
    torch.manual_seed(1)
    module = Pooled(MultiScaleRoIAlign(["0", "1"], bins, ratio))
    boxes = boxes_of("scattered", 1, each)
    for found in both(module, boxes):
        np.testing.assert_allclose(found, wanted(module, boxes), rtol=0, atol=1e-4)


def test_boxes_on_the_border_between_levels():
    torch.manual_seed(0)
    module = Pooled(MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2))
    sides = torch.tensor([56.0, 112, 224, 448])
    boxes = torch.stack((torch.zeros(4), torch.zeros(4), sides, sides), 1)[None]
    for found in both(module, boxes):
        np.testing.assert_allclose(found, wanted(module, boxes), rtol=0, atol=1e-4)


def single(*, images: int = 1, opset: int = 16, **attributes: object) -> onnx.ModelProto:
    """One RoiAlign of a map [images,2,20,30] and 50 boxes, all of the first image."""
    nodes = [helper.make_node("RoiAlign", ["map", "boxes", "images"], ["y"], name="roi", **attributes)]
    value = helper.make_tensor_value_info
    inputs = [
        value("map", TensorProto.FLOAT, [images, 2, 20, 30]),
        value("boxes", TensorProto.FLOAT, [50, 4]),
        value("images", TensorProto.INT64, [50]),
    ]
    high, wide = attributes.get("output_height", 1), attributes.get("output_width", 1)
    outputs = [value("y", TensorProto.FLOAT, [50, 2, high, wide])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


PLAIN = {"output_height": 4, "output_width": 6, "sampling_ratio": 2, "spatial_scale": 0.1}


@pytest.mark.parametrize(
    ("opset", "attributes"),
    [
        (10, {}),
        (16, {}),
        (16, {"coordinate_transformation_mode": "half_pixel"}),
        (18, {"coordinate_transformation_mode": "output_half_pixel"}),
        (22, {"coordinate_transformation_mode": "output_half_pixel"}),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_of_all_opsets(opset, attributes, kind):
    model = single(opset=opset, **PLAIN, **attributes)
    sampled = sample_roi_align(model)
    assert "RoiAlign" not in {node.op_type for node in sampled.graph.node}
    assert 16 <= opset_of(sampled) <= 19
    torch.manual_seed(0)
    feeds = {
        "map": torch.randn(1, 2, 20, 30).numpy(),
        "boxes": boxes_of(kind, 1, 50, 250.0)[0].numpy(),
        "images": np.zeros(50, np.int64),
    }
    known = single(opset=min(opset, 18), **PLAIN, **attributes)  # ONNX Runtime lacks that of opset 22
    expected, found = (run(session(m), feeds)["y"] for m in (known, sampled))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("different", [{"mode": "max"}, {"sampling_ratio": 0}, {"images": 2}])
def test_what_would_not_be_exact_stays(different):
    """The greatest value of a bin, as many samples as a box has cells, boxes of any image."""
    model = single(**{**PLAIN, **different})
    assert [node.op_type for node in sample_roi_align(model).graph.node] == ["RoiAlign"]
