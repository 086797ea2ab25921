"""The peers: how each compresses the float graph, and how its users open the result."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _peers.material import CLASSES, IGNORE, THREADS, Feeds, Material, decided, prepared
from edgeseg.metrics import confusion, mean_iou

Array = np.ndarray
MAX_DROP = 0.005


@dataclass(frozen=True)
class Opened:
    """
    Attributes:
        network: one run of the plain network on a prepared image.
        frame: uint8 [360,480,3] -> class map uint8 [360,480].
        engine_ms: device milliseconds of the last `frame`; None: the engine is the plain network.
        precision: what the engine says it computes float in.
    """

    network: Callable[[], object]
    frame: Callable[[Array], Array]
    engine_ms: Callable[[], float] | None = None
    precision: str = ""


def numpy_pipeline(network: Callable[[Array], Array], image: Array, precision: str = "") -> Opened:
    """A network between NumPy pre- and post-processing."""
    pixels = prepared(image)
    return Opened(lambda: network(pixels), lambda frame: decided(network(prepared(frame))), None, precision)


# PyTorch


def open_eager(material: Material, folder: Path) -> Opened:
    return _torch(material.module(), material)


def compile_torch(material: Material, folder: Path) -> None:
    open_compiled(material, folder).network()


def open_compiled(material: Material, folder: Path) -> Opened:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.resolve() / "inductor")
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    import torch

    return _torch(torch.compile(material.module()), material)


def _torch(module: Any, material: Material) -> Opened:
    import torch

    torch.set_num_threads(THREADS)

    def network(pixels: Array) -> Array:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels)).numpy()

    return numpy_pipeline(network, material.frame(), "float32")


# ONNX Runtime


def quantize_ort(material: Material, folder: Path) -> None:
    """`quantize_static` with its defaults (Q/DQ, int8 activations) and per-channel weights."""
    _quantize_ort(material, folder, "QInt8")


def quantize_ort_unsigned(material: Material, folder: Path) -> None:
    _quantize_ort(material, folder, "QUInt8")


def _quantize_ort(material: Material, folder: Path, activations: str) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = iter(Feeds(material.calibration))

        def get_next(self) -> dict[str, Array] | None:
            return next(self.feeds, None)

    ready = folder / "preprocessed.onnx"
    quant_pre_process(str(material.graph), str(ready))
    quantize_static(
        str(ready),
        str(folder / "model.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType[activations],
        weight_type=QuantType.QInt8,
    )
    ready.unlink()


def quantize_onnxsim(material: Material, folder: Path) -> None:
    """The quantiser that onnxsim has grown. It takes a list of batches, all in memory."""
    import onnx
    import onnxsim

    found = onnxsim.quantize_static(str(material.graph), list(Feeds(material.calibration)))
    onnx.save(found, str(folder / "model.onnx"))


def open_ort(material: Material, folder: Path) -> Opened:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    file = folder / "model.onnx"
    session = ort.InferenceSession(
        str(file if file.exists() else material.graph), options, providers=["CPUExecutionProvider"]
    )
    return numpy_pipeline(lambda pixels: session.run(None, {"image": pixels})[0], material.frame(), "float32")


# OpenVINO and NNCF


def convert_openvino(material: Material, folder: Path) -> None:
    import openvino as ov

    ov.save_model(ov.Core().read_model(str(material.graph)), str(folder / "model.xml"))


def nncf_mixed(material: Material, folder: Path) -> None:
    _nncf(material, folder, "MIXED")


def nncf_performance(material: Material, folder: Path) -> None:
    """What NNCF takes for a convolutional network when no preset is given."""
    _nncf(material, folder, "PERFORMANCE")


def _nncf(material: Material, folder: Path, preset: str) -> None:
    import nncf
    import openvino as ov

    found = nncf.quantize(
        ov.Core().read_model(str(material.graph)),
        nncf.Dataset(Feeds(material.calibration)),
        preset=nncf.QuantizationPreset[preset],
        subset_size=material.images,
    )
    ov.save_model(found, str(folder / "model.xml"))


def nncf_accuracy_control(material: Material, folder: Path) -> None:
    import nncf
    import openvino as ov

    split = material.held_out

    def validate(compiled: Any, indices: Any) -> tuple[float, None]:
        matrix = np.zeros((CLASSES, CLASSES), np.int64)
        for i in indices:
            found = decided(compiled(prepared(split.image(i)))[0])
            matrix += confusion(split.label(i), found, CLASSES, IGNORE)
        return float(mean_iou(matrix)), None

    found = nncf.quantize_with_accuracy_control(
        ov.Core().read_model(str(material.graph)),
        calibration_dataset=nncf.Dataset(Feeds(material.calibration)),
        validation_dataset=nncf.Dataset(range(len(split))),
        validation_fn=validate,
        max_drop=MAX_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        subset_size=material.images,
    )
    ov.save_model(found, str(folder / "model.xml"))


def open_openvino(material: Material, folder: Path) -> Opened:
    return opened_graph(folder / "model.xml", material)


def open_openvino_f32(material: Material, folder: Path) -> Opened:
    return opened_graph(folder / "model.xml", material, hint="f32")


def opened_graph(file: Path, material: Material, hint: str = "") -> Opened:
    """OpenVINO on an IR or ONNX file; everything but the threads is left to its defaults. A CPU limited by
    ONEDNN_MAX_CPU_ISA would emulate bf16 (OpenVINO does not notice): float then has the f32 hint."""
    import openvino as ov

    config = {"INFERENCE_NUM_THREADS": THREADS}
    if hint or os.environ.get("ONEDNN_MAX_CPU_ISA"):
        config["INFERENCE_PRECISION_HINT"] = hint or "f32"
    compiled = ov.Core().compile_model(str(file), "CPU", config)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(prepared(material.frame())))
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return Opened(
        request.infer, lambda frame: decided(compiled(prepared(frame))[0]), precision=str(precision)
    )


def weights_file(material: Material, folder: Path) -> tuple[Path, ...]:
    return (material.weights,)


def graph_file(material: Material, folder: Path) -> tuple[Path, ...]:
    return (material.graph,)


def model_files(material: Material, folder: Path) -> tuple[Path, ...]:
    return tuple(folder.glob("model.*"))
