from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from onnx import ModelProto
from patterns import SHAPE, Net, chain, feeds

from edgeseg.errors import DataError, GraphError
from edgeseg.graph.reference import run, session
from edgeseg.quantization.ranges.channels import ChannelStatistics, channel_statistics
from edgeseg.quantization.ranges.observer import collect
from edgeseg.quantization.ranges.probe import opener

ENGINES = ("onnxruntime", "openvino")


def need(engine: str) -> None:
    pytest.importorskip(engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_extremes_are_exact_and_the_histogram_counts_a_sample(engine: str) -> None:
    need(engine)
    images = feeds(5)
    found = collect(chain(), ["image", "act"], images, open_probe=opener(engine), sample=500)
    model = chain()
    output = model.graph.output[0]
    output.name = "act"
    output.type.tensor_type.ClearField("shape")
    values = np.stack([run(session(model), feed)["act"] for feed in images])
    assert found["act"].high == pytest.approx(values.max(), rel=1e-5)
    assert found["act"].low == 0
    assert found["image"].low == min(feed["image"].min() for feed in images)
    assert 5 * 200 < found["act"].counts.sum() <= 5 * 500
    share = (values < 1).mean()
    assert found["act"].counts[found["act"].centers < 1].sum() / found["act"].counts.sum() == pytest.approx(
        share, abs=0.03
    )


def test_images_are_streamed() -> None:
    alive = 0
    most = 0

    class Watched(dict[str, np.ndarray]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[Watched]:
        nonlocal alive, most
        for feed in feeds(6):
            alive += 1
            most = max(most, alive)
            yield Watched(feed)

    collect(chain(), ["image", "act"], stream())
    assert most <= 2


def test_no_images() -> None:
    with pytest.raises(DataError, match="empty"):
        collect(chain(), ["image", "act"], [])


def test_constant_images() -> None:
    grey = [{"image": np.full(SHAPE, v, np.float32)} for v in (0.1, 0.1)]
    with pytest.raises(DataError, match="constant"):
        collect(chain(), ["image", "act"], grey)


def test_an_image_of_no_pixels() -> None:
    with pytest.raises(DataError, match=r"image 1 .* is empty"):
        collect(chain(), ["image", "act"], [{"image": np.zeros((1, 3, 0, 0), np.float32)}])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite(value: float) -> None:
    images = feeds(3)
    images[1]["image"][0, 0, 0, 0] = value
    with pytest.raises(DataError, match="image 2"):
        collect(chain(), ["image", "act"], images)


def broken(value: float) -> ModelProto:
    """The second layer divides 0 by 0, or something by 0, in one pixel."""
    net = Net()
    a = net.op("Relu", "act", net.conv("c1", "image", 3, 8))
    spot = np.ones((1, 1, *SHAPE[2:]))
    spot[0, 0, 3, 4] = value
    b = net.op("Mul", "spoiled", a, net.constant("spot", spot))
    return net.model(net.conv("c2", b, 8, 4))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_not_finite_name_their_node(value: float, engine: str) -> None:
    need(engine)
    with pytest.raises(GraphError, match="Mul 'spoiled'"):
        collect(broken(value), ["image", "act", "spoiled"], feeds(2), open_probe=opener(engine))


def test_an_unknown_tensor() -> None:
    with pytest.raises(GraphError, match="'nowhere'"):
        collect(chain(), ["nowhere"], feeds(1))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_network_of_one_layer_needs_the_ranges_of_its_input_alone(engine):
    if engine == "openvino":
        pytest.importorskip("openvino")
    assert collect(chain(), ["image"], feeds(2), open_probe=opener(engine))["image"].batches == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_channel_means_are_measured_in_the_same_pass(engine: str) -> None:
    need(engine)
    images, tensors = feeds(5), ["image", "act", "c2"]
    beside = ChannelStatistics(tensors, "mean")
    found = collect(chain(), ["image", "act"], images, open_probe=opener(engine), beside=beside)
    alone = collect(chain(), ["image", "act"], images, open_probe=opener(engine))
    expected = channel_statistics(chain(), tensors, images, "mean", open_probe=opener(engine))
    for name, means in beside.result().items():
        assert means == pytest.approx(expected[name], rel=1e-5, abs=1e-6)
    assert (found["act"].low, found["act"].high) == (alone["act"].low, alone["act"].high)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_means_of_channels_show_what_is_not_finite(value: float, engine: str) -> None:
    need(engine)
    beside = ChannelStatistics(["spoiled"], "mean")
    with pytest.raises(GraphError, match="gives NaN or infinite values for calibration image 1"):
        collect(
            broken(value), ["image", "act", "spoiled"], feeds(2), open_probe=opener(engine), beside=beside
        )
