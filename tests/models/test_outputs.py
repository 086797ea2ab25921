from __future__ import annotations

import pytest
import torch

from edgeseg.errors import ModelError
from edgeseg.models.outputs import find_output, one_output


def network(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "classes": torch.zeros(1, 10),
        "coarse": image[..., ::8, ::8],
        "labels": torch.zeros(1, 1, 64, 64, dtype=torch.int64),
        "fused": image[..., ::2, ::2],
        "side": image[..., 1::2, 1::2],
    }


def test_the_largest_float_map_counts_and_equals_are_asked_for():
    with pytest.raises(ModelError, match=r"2 outputs are equally large: 'fused'.*'side'"):
        find_output(network, (3, 64, 64))
    assert find_output(network, (3, 64, 64), stated="side")[0] == "side"
    path, runs = find_output(lambda image: {**network(image), "side": None}, (3, 64, 64))
    assert path == "fused" and [run.shape for run in runs] == [(1, 3, 32, 32)] * 2


def test_no_score_map():
    with pytest.raises(ModelError, match=r"no score map: .*\[1, 10\]"):
        find_output(lambda image: {"classes": torch.zeros(1, 10)}, (3, 64, 64))
    with pytest.raises(ModelError, match="no score map: no tensor"):
        find_output(lambda image: {"name": "nothing"}, (3, 64, 64))


def test_labels_and_found_objects_are_no_score_maps():
    with pytest.raises(ModelError, match="class ids"):
        find_output(lambda image: image.argmax(1, keepdim=True).float(), (3, 64, 64))
    with pytest.raises(ModelError, match=r"a list of objects: '0\.boxes'"):
        find_output(
            lambda image: [{"boxes": torch.rand(1, 4), "masks": torch.rand(1, 1, 64, 64)}], (3, 64, 64)
        )


def test_the_wrapper_returns_what_the_path_names():
    class Net(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
            return [{"out": image + 1}]

    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(one_output(Net(), "0.out")(image), image + 1)
