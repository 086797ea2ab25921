"""int8 of SegFormer-b0 in OpenVINO where its tensors are moved (Transpose, Reshape, Gather): int8 or uint8.

    ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI .venv/bin/python benchmarks/moved_int8.py [--weights FILE]

Random weights (8 classes), or a checkpoint for the 11 classes of CamVid. Generated streets calibrate, others
are compared: share of the pixels on which the engine at f32 agrees with its Q/DQ graph; of the 70% with the
largest margin; share on which it agrees with the float network. Times are those of engines in turn.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import msgspec
import numpy as np
import openvino
from onnx import ModelProto

from _random_networks import network
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets import open_dataset
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.graph.reference import run, session
from edgeseg.models.checkpoint import read_state_dict
from edgeseg.quantization.placement.pairs import place
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.schemes import scheme_named
from edgeseg.runtime.preprocess import preprocess

SIZE = (192, 256)
CALIBRATE, COMPARE, TURNS, CLEAR = 8, 5, 30, 0.7


def engine(model: ModelProto) -> openvino.InferRequest:
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", config
    ).create_infer_request()


def agreement(model: ModelProto, made: ModelProto, images: list[dict[str, Array]]) -> list[float]:
    plain, graph, request = session(model), session(made), engine(made)
    found = []
    for image in images:
        expected, scores = (next(iter(run(one, image).values())) for one in (plain, graph))
        classes = request.infer(image)[0].argmax(1)
        margin = np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)[:, 0]
        same = classes == scores.argmax(1)
        clear = margin > np.quantile(margin, 1 - CLEAR)
        found.append((same.mean(), same[clear].mean(), (classes == expected.argmax(1)).mean()))
    return [100 * float(share) for share in np.mean(found, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    module = network("segformer-b0", 11 if given.weights else 8)
    if given.weights:
        module.load_state_dict(read_state_dict(given.weights))
    model = fold(export_torch(module, (3, *SIZE)))
    streets = open_dataset("synthetic-streets", None).split("train")
    size = Preprocess(resize="stretch")
    images = [{"image": preprocess(streets.image(i)[None], size, SIZE)} for i in range(CALIBRATE + COMPARE)]
    requests = {"float": engine(model)}
    for moved in ("signed", "offset"):
        scheme = msgspec.structs.replace(scheme_named("openvino"), moved=moved)
        made = quantize(model, images[:CALIBRATE], scheme).model
        shares = agreement(model, made, images[CALIBRATE:])
        print(moved, len(place(model, scheme).pairs), "pairs;", *(f"{share:.1f}%" for share in shares))
        requests[moved] = engine(made)
    times: dict[str, list[float]] = {name: [] for name in requests}
    for turn in range(TURNS):
        for name in list(requests)[:: 1 if turn % 2 else -1]:
            requests[name].infer(images[0])
            begin = time.perf_counter()
            requests[name].infer(images[0])
            times[name].append(1000 * (time.perf_counter() - begin))
    print({name: f"{np.median(taken):.1f} ms" for name, taken in times.items()})


if __name__ == "__main__":
    main()
