"""Who takes part, in the order of the table. A contestant is one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from _peers import ours, tools
from _peers.material import Material
from _peers.tools import Opened

NATIVE, ALL = ("native",), ("native", "vnni")


@dataclass(frozen=True)
class Contestant:
    """
    Attributes:
        open: material and own folder -> something that runs.
        files: what would be shipped, for the size.
        make: writes into the own folder, in a child process after `imports`; None: nothing to make, or a
            bundle is given on the command line.
        before, finish: what comes before and after `make` and is not counted.
        when: whether it takes part with a network.
        isas: where it is timed.
        int8: counts as an int8 engine.
    """

    name: str
    label: str
    open: Callable[[Material, Path], Opened]
    files: Callable[[Material, Path], tuple[Path, ...]]
    make: Callable[[Material, Path], None] | None = None
    before: Callable[[Material, Path], None] | None = None
    finish: Callable[[Material, Path], None] | None = None
    imports: tuple[str, ...] = ()
    when: Callable[[Material], bool] | None = None
    isas: tuple[str, ...] = ALL
    int8: bool = False


NNCF = ("onnx", "openvino", "nncf", "nncf.openvino")
ORT = ("onnx", "onnxruntime", "onnxruntime.quantization")
OURS = (
    "onnx",
    "onnxruntime",
    "openvino",
    "onnxsim",
    "edgeseg.flow.make",
    "edgeseg.quantization.ptq",
    "edgeseg.quantization.planner.trial",
    "edgeseg.quantization.planner.verdict",
    "edgeseg.steps.quantize",
    "edgeseg.steps.build",
)

FLOAT, DEFAULT, CONTROL, BF16 = "torch-eager", "openvino-default", "nncf-accuracy-control", "edgeseg-bf16"
PLANNED, PRUNED = "edgeseg-planned", "edgeseg-pruned"

CONTESTANTS = (
    Contestant(FLOAT, "PyTorch eager", tools.open_eager, tools.weights_file, isas=NATIVE),
    Contestant(
        "torch-compile",
        "torch.compile",
        tools.open_compiled,
        tools.weights_file,
        tools.compile_torch,
        imports=("torch", "torch._inductor", "segmentation_models_pytorch"),
        isas=NATIVE,
    ),
    Contestant("ort-fp32", "ONNX Runtime fp32", tools.open_ort, tools.graph_file),
    Contestant(
        "ort-int8",
        "ONNX Runtime static int8",
        tools.open_ort,
        tools.model_files,
        tools.quantize_ort,
        imports=ORT,
        int8=True,
    ),
    Contestant(
        "ort-int8-unsigned",
        "ONNX Runtime static int8, uint8 activations",
        tools.open_ort,
        tools.model_files,
        tools.quantize_ort_unsigned,
        imports=ORT,
        int8=True,
    ),
    Contestant(
        "onnxsim-int8",
        "onnxsim quantize_static in ONNX Runtime",
        tools.open_ort,
        tools.model_files,
        tools.quantize_onnxsim,
        imports=(*ORT, "onnxsim"),
        int8=True,
    ),
    Contestant(
        DEFAULT,
        "OpenVINO default",
        tools.open_openvino,
        tools.model_files,
        tools.convert_openvino,
        imports=("openvino",),
    ),
    Contestant(
        "openvino-f32",
        "OpenVINO, f32 hint",
        tools.open_openvino_f32,
        tools.model_files,
        tools.convert_openvino,
        imports=("openvino",),
        isas=NATIVE,
    ),
    Contestant(
        "nncf-mixed",
        "NNCF PTQ, mixed",
        tools.open_openvino,
        tools.model_files,
        tools.nncf_mixed,
        imports=NNCF,
        int8=True,
    ),
    Contestant(
        "nncf-performance",
        "NNCF PTQ, performance (its default)",
        tools.open_openvino,
        tools.model_files,
        tools.nncf_performance,
        imports=NNCF,
        int8=True,
    ),
    Contestant(
        CONTROL,
        "NNCF with accuracy control",
        tools.open_openvino,
        tools.model_files,
        tools.nncf_accuracy_control,
        imports=NNCF,
        int8=True,
    ),
    Contestant(
        BF16,
        "edgeseg openvino-bf16",
        ours.open_bundle,
        ours.engine_files,
        ours.bf16,
        imports=OURS,
        isas=NATIVE,
    ),
    Contestant(
        "edgeseg-ptq",
        "edgeseg openvino-int8, PTQ",
        ours.open_bundle,
        ours.engine_files,
        ours.ptq,
        finish=ours.ptq_bundle,
        imports=OURS,
        int8=True,
    ),
    Contestant(
        PLANNED,
        "edgeseg openvino-int8, planned",
        ours.open_bundle,
        ours.engine_files,
        ours.planned,
        before=ours.exported,
        imports=OURS,
        int8=True,
    ),
    Contestant(
        "edgeseg-qat",
        "edgeseg openvino-int8, QAT",
        ours.open_bundle,
        ours.engine_files,
        ours.qat,
        before=ours.exported,
        imports=OURS,
        when=ours.has_qat,
        int8=True,
    ),
    Contestant(
        PRUNED,
        "edgeseg openvino-int8, pruned",
        ours.open_bundle,
        ours.engine_files,
        int8=True,
    ),
)


def is_nncf(name: str) -> bool:
    return name.startswith("nncf-")


def is_ours(name: str) -> bool:
    return name.startswith("edgeseg-")
