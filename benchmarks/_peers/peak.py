"""The best int8 convolution rate that OpenVINO reaches here: large convolutions, timed by its own profile.

The fastest run counts: a peak is what the machine can do.
"""

from __future__ import annotations

import numpy as np

from _peers.material import THREADS

SHAPES = (
    (256, 3, 64),
    (512, 3, 32),
    (128, 3, 96),
    (512, 1, 64),
    (1024, 1, 64),
)
"""Channels in and out, kernel, height and width."""
LAYERS, RUNS = 3, 40


def int8_peak() -> dict[str, float]:
    """TMAC/s of the fastest layer of each shape, and `best`: the largest of them."""
    found = {f"{k}x{k} {c}->{c} at {s}x{s}": _rate(c, k, s) for c, k, s in SHAPES}
    return {**found, "best": max(found.values())}


def _rate(channels: int, kernel: int, size: int) -> float:
    import openvino as ov

    from edgeseg.quantization.ptq import PtqSettings, quantize
    from edgeseg.quantization.schemes import scheme_for

    rng = np.random.default_rng(0)
    feeds = [{"image": rng.standard_normal((1, channels, size, size)).astype(np.float32)}]
    model = quantize(
        _chain(channels, kernel, size), feeds, scheme_for("openvino"), PtqSettings(correct_bias=False)
    ).model
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()),
        "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True},
    )
    request = compiled.create_infer_request()
    fastest = float("inf")
    for _ in range(RUNS):
        request.infer(feeds[0], share_inputs=True)
        rows = (r for r in request.get_profiling_info() if r.node_type == "Convolution")
        fastest = min(fastest, *(row.real_time.total_seconds() for row in rows))
    return round(channels * channels * kernel**2 * size**2 / fastest / 1e12, 3)


def _chain(channels: int, kernel: int, size: int):
    """Convolutions of equal shape with Relu between them, float."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    nodes, tensors, source = [], [], "image"
    for index in range(LAYERS):
        weight = rng.standard_normal((channels, channels, kernel, kernel)) / (kernel * channels**0.5)
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"w{index}"))
        tensors.append(numpy_helper.from_array(np.zeros(channels, np.float32), f"b{index}"))
        nodes.append(
            helper.make_node(
                "Conv",
                [source, f"w{index}", f"b{index}"],
                [f"c{index}"],
                name=f"conv{index}",
                pads=[kernel // 2] * 4,
                kernel_shape=[kernel] * 2,
            )
        )
        source = f"r{index}"
        nodes.append(helper.make_node("Relu", [f"c{index}"], [source], name=f"relu{index}"))
    shape = [1, channels, size, size]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
