"""NMS to its fixed point: a vector times the matrix of who suppresses whom, or Mul and ReduceMax over rows.

    python benchmarks/nms_forms.py [--boxes 100 1000] [--runs 40]

Milliseconds (median) of IoU and 16 rounds in ONNX Runtime and OpenVINO, 2 threads; the forms alternate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import onnxruntime as ort
import openvino as ov
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgeseg.graph.export import export_torch
from edgeseg.models.detection.nms import iou, keep
from edgeseg.models.detection.static import ROUNDS

THREADS = 2
WARM = 5


class Product(nn.Module):
    def forward(self, boxes: Tensor) -> Tensor:
        return keep(boxes, torch.ones(boxes.shape[:2], dtype=torch.bool), 0.5, rounds=ROUNDS)[0].float()


class Rows(nn.Module):
    def forward(self, boxes: Tensor) -> Tensor:
        order = torch.arange(boxes.shape[1])
        over = (iou(boxes) > 0.5) & (order[:, None] > order[None, :])
        suppressed_by, now = over.to(boxes.dtype), torch.ones(boxes.shape[:2])
        for _ in range(ROUNDS):
            now = 1 - (now[:, None, :] * suppressed_by).amax(2)
        return now


def calls(name: str, model: ModelProto, boxes: Tensor) -> dict[tuple[str, str], Callable[[], object]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    opened = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed, core = boxes.numpy(), ov.Core()
    made: dict[tuple[str, str], Callable[[], object]] = {
        ("ONNX Runtime", name): lambda: opened.run(None, {"image": feed})
    }
    for hint in ("f32", "bf16"):
        config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": THREADS}
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", config)
        request = compiled.create_infer_request()
        made[f"OpenVINO {hint}", name] = lambda request=request: request.infer({0: feed})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    for count in arguments.boxes:
        torch.manual_seed(0)
        corner = torch.rand(1, count, 2) * 300
        boxes = torch.cat((corner, corner + torch.rand(1, count, 2) * 100), 2)
        made: dict[tuple[str, str], Callable[[], object]] = {}
        for form in (Product(), Rows()):
            made |= calls(type(form).__name__, export_torch(form, (count, 4)), boxes)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in made}
        for _ in range(arguments.runs):
            for key, call in made.items():
                start = time.perf_counter()
                call()
                times[key].append((time.perf_counter() - start) * 1e3)
        for (engine, form_name), values in times.items():
            print(f"{count:5} boxes  {engine:13} {form_name:8} {median(values[WARM:]):7.2f} ms")


if __name__ == "__main__":
    main()
