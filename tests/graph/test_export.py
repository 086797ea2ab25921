from __future__ import annotations

import numpy as np
import pytest
import torch
from small_graphs import operators, outputs_of
from torch import nn

from edgeseg.errors import GraphError, UnsupportedOperator
from edgeseg.graph.check import check_against_torch
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold


def small_net() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(3, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Dropout(0.5),
        nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False),
        nn.BatchNorm2d(4),
    )
    with torch.no_grad():
        net(torch.randn(2, 3, 16, 16))
    return net


@pytest.mark.parametrize("batch", [1, 2])
def test_a_network_keeps_its_values_and_its_mode(batch, capfd):
    net = small_net()
    assert net.training
    graph = fold(export_torch(net, (3, 64, 96), batch=batch))
    assert net.training
    assert capfd.readouterr() == ("", "")
    assert [i.name for i in graph.graph.input] == ["image"] and [o.name for o in graph.graph.output] == [
        "scores"
    ]
    assert not {"BatchNormalization", "Dropout", "Pad"} & set(operators(graph))
    assert len({n.name for n in graph.graph.node}) == len(graph.graph.node)
    real = np.ones((batch, 3, 64, 96), np.float32)
    checks = check_against_torch(graph, net, (3, 64, 96), batch, {"real": real})
    assert [(c.against, c.inputs) for c in checks] == [("PyTorch", "random"), ("PyTorch", "real")]
    assert all(c.max_error < 1e-5 for c in checks)


def test_a_network_of_segmentation_models():
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    net = smp.Unet("mobilenet_v2", encoder_weights=None, classes=3).eval()
    graph = fold(export_torch(net, (3, 64, 96)))
    assert "BatchNormalization" not in operators(graph)
    (check,) = check_against_torch(graph, net, (3, 64, 96), 1, {})
    assert check.max_error < 1e-4


class Normalises(nn.Module):
    """All features of a black pixel are zero, and so is their sum."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.conv = nn.Conv2d(3, 4, 1, bias=False)

    def forward(self, x):
        features = torch.relu(self.conv(x))
        return features / (features.sum(1, keepdim=True) + self.eps)


@pytest.mark.parametrize("eps", [1e-6, 1e-8, 1e-15])
def test_a_small_epsilon_is_kept(eps):
    net, black = Normalises(eps), np.zeros((1, 3, 16, 16), np.float32)
    graph = fold(export_torch(net, (3, 16, 16)))
    np.testing.assert_array_equal(outputs_of(graph, black)["scores"], 0.0)
    check_against_torch(graph, net, (3, 16, 16), 1, {"black": black})


def test_what_torch_writes_around_a_clip_is_folded():
    """A Cast of each bound, and an Expand of the bias of each convolution without one."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 2, 1))
    assert operators(fold(export_torch(net, (3, 16, 16)))) == ["Conv", "Clip", "Conv"]


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.make = make

    def forward(self, x):
        return self.make(self.conv(x))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda y: {"out": y, "aux": y * 2}, ["out", "aux"]),
        (lambda y: (y, y * 2), ["scores_0", "scores_1"]),
        (lambda y: [y], ["scores"]),
    ],
    ids=["dict", "tuple", "one"],
)
def test_several_outputs_are_named(make, names):
    graph = export_torch(Returns(make), (3, 16, 16))
    assert [o.name for o in graph.graph.output] == names


def test_an_output_that_is_no_tensor():
    with pytest.raises(GraphError, match=r"returns str\n.*tensors"):
        export_torch(Returns(lambda y: (y, "label")), (3, 16, 16))


class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def test_a_branch_on_values_is_explained_briefly():
    with pytest.raises(GraphError) as caught:
        export_torch(Branches(), (3, 16, 16))
    text = str(caught.value)
    assert "x.sum() > 0" in text and "test_export.py" in text
    assert len(text.splitlines()) <= 4 and len(text) < 900


class Unpools(nn.Module):
    def forward(self, x):
        pooled, indices = nn.functional.max_pool2d(x, 2, return_indices=True)
        return nn.functional.max_unpool2d(pooled, indices, 2)


def test_pooling_with_indices_is_refused_with_operator():
    with pytest.raises(UnsupportedOperator, match=r"pooling with indices.*MaxPool 'node_") as caught:
        export_torch(Unpools(), (3, 16, 16))
    assert len(str(caught.value).splitlines()) <= 4


def test_a_graph_of_another_network_is_noticed():
    with pytest.raises(GraphError, match="differs from PyTorch"):
        check_against_torch(export_torch(small_net(), (3, 16, 16)), nn.Conv2d(3, 4, 1), (3, 16, 16), 1, {})
