from __future__ import annotations

import numpy as np
import pytest
from patterns import chain, depthwise_transposed, feeds, residual

from edgeseg.errors import DataError
from edgeseg.quantization.bias_correction import bias_shifts, shift_biases
from edgeseg.quantization.ptq import PtqSettings, apply, calibrate
from edgeseg.quantization.ranges.channels import channel_statistics
from edgeseg.quantization.schemes import scheme_named

ROUGH = PtqSettings(weight_bits=4, correct_bias=False)


@pytest.mark.parametrize("scheme", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(("network", "left"), [(chain, 0.35), (residual, 0.35), (depthwise_transposed, 0.5)])
def test_channel_means_come_back_to_those_of_float(network, left: float, scheme: str) -> None:  # type: ignore[no-untyped-def]
    """`depthwise_transposed` keeps more: rounding noise moves the mean behind a HardSwish although the mean
    before it is right, and a shift makes up for its own layer alone (0.39; 0.09 with an identity there)."""
    images = feeds(6)
    calibrated = calibrate(network(), images, scheme_named(scheme), ROUGH)
    quantised = apply(calibrated).model
    corrected = shift_biases(quantised, bias_shifts(calibrated.model, quantised, images))
    output = calibrated.model.graph.output[0].name

    def mean(model) -> np.ndarray:  # type: ignore[no-untyped-def]
        return channel_statistics(model, [output], images, "mean")[output]

    expected = mean(calibrated.model)
    before, after = (np.abs(mean(m) - expected).max() for m in (quantised, corrected))
    assert after < left * before


def test_a_layer_without_bias_gets_one() -> None:
    model = chain()
    for node in model.graph.node:
        if node.name == "c2":
            del node.input[2:]
    images = feeds(3)
    calibrated = calibrate(model, images, scheme_named("openvino"), ROUGH)
    quantised = apply(calibrated).model
    corrected = shift_biases(quantised, bias_shifts(calibrated.model, quantised, images))
    assert len(next(n for n in corrected.graph.node if n.name == "c2").input) == 3


def test_images_that_can_be_read_only_once_are_refused() -> None:
    images = feeds(2)
    calibrated = calibrate(chain(), images, scheme_named("openvino"), ROUGH)
    with pytest.raises(DataError, match="only once"):
        bias_shifts(calibrated.model, apply(calibrated).model, iter(images))
