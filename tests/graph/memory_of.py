"""Prints by how many score maps this process grows in each work named: run by `test_memory.py`."""

from __future__ import annotations

import json
import sys

import torch
from small_graphs import network, smooth_frames, spec_of

from edgeseg.core.model_spec import default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.device.environment import MemoryWatch
from edgeseg.graph.check import check_against_onnx, check_images
from edgeseg.graph.contract import resolve_output
from edgeseg.graph.deploy import compose
from edgeseg.graph.faults import smallest_shown
from edgeseg.graph.golden import golden
from edgeseg.models.outputs import find_output

SIZE, CLASSES, FRAMES = (512, 512), 29, 4
MAP_MB = CLASSES * SIZE[0] * SIZE[1] * 4 / 1e6


def golden_frames() -> None:
    plain, spec = network(CLASSES, size=SIZE), spec_of(SIZE, classes=default_classes(CLASSES))
    frames = smooth_frames(FRAMES, SIZE)
    found = golden(compose(plain, spec, SIZE), plain, spec, frames, 8)
    smallest_shown(plain, spec, frames, {"class_map": found["plain/class_map"]}, found["stable"], 0.995)


def check() -> None:
    plain, spec = network(CLASSES, size=SIZE), spec_of(SIZE)
    check_against_onnx(plain, plain, check_images(smooth_frames(1, SIZE), "real", spec.preprocess, SIZE))


def output() -> None:
    resolve_output(network(CLASSES, size=SIZE), Postprocess())


def output_of_torch() -> None:
    with torch.inference_mode():
        find_output(torch.nn.Conv2d(3, CLASSES, 1), (3, *SIZE))


def maps_of(work: str) -> float:
    """Of its second run: the first one loads code as well."""
    globals()[work]()
    watch = MemoryWatch()
    globals()[work]()
    growth = watch.growth_mb()
    if growth is None:
        raise SystemExit("/proc does not tell the memory of this process")
    return growth / MAP_MB


if __name__ == "__main__":
    json.dump({work: maps_of(work) for work in sys.argv[1:]}, sys.stdout)
