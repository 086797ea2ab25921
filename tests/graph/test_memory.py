"""Graphs with large scores are checked and their golden frames made with a few score maps in memory."""

from __future__ import annotations

import pytest
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


def golden_frames(size: tuple[int, int]) -> None:
    plain, spec = network(CLASSES, size=size), spec_of(size, classes=default_classes(CLASSES))
    frames = smooth_frames(FRAMES, size)
    found = golden(compose(plain, spec, size), plain, spec, frames, 8)
    smallest_shown(plain, spec, frames, {"class_map": found["plain/class_map"]}, found["stable"], 0.995)


def check(size: tuple[int, int]) -> None:
    plain, spec = network(CLASSES, size=size), spec_of(size)
    check_against_onnx(plain, plain, check_images(smooth_frames(1, size), "real", spec.preprocess, size))


def output(size: tuple[int, int]) -> None:
    resolve_output(network(CLASSES, size=size), Postprocess())


def output_of_torch(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        find_output(torch.nn.Conv2d(3, CLASSES, 1), (3, *size))


@pytest.mark.parametrize(
    ("work", "maps"), [(golden_frames, 9), (check, 7), (output, 2.5), (output_of_torch, 2.5)]
)
def test_a_few_score_maps_are_held_at_a_time(work, maps):
    """With references held whole: 24, 11 and 5 maps."""
    work((32, 32))
    watch = MemoryWatch()
    work(SIZE)
    growth = watch.growth_mb()
    assert growth is not None and growth < maps * MAP_MB
