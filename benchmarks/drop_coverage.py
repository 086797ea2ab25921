"""Does the 95% interval of a drop hold the drop? Coverage over resampled sets of images and of sequences.

    python benchmarks/drop_coverage.py [--output benchmarks/results/drop_coverage.json]

The population: 300 generated streets, each seen in 8 frames as by a car that drives on (the picture, nearer
and nearer). The demo network and a copy with weights of 5 bits are scored on every frame, so the drop between
them over the whole population is known. From it 200 sets are drawn, of single frames and of whole sequences,
and each interval either holds the known drop or does not: that of `paired_drop`, and the percentiles of a
bootstrap over single images and over sequences. Exit code 1: `paired_drop` covers the drop of mIoU in less
than 90% or more than 98% of the sets.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets.synthetic import SyntheticStreets
from edgeseg.metrics import confusion, iou, labelled, mean_iou, paired_drop
from edgeseg.models.load import Loaded, resolve
from edgeseg.runtime.preprocess import preprocess
from edgeseg.runtime.tasks import decided

SCENES, FRAMES, BITS = 300, 8, 5
CLOSER = 0.04
"""A frame shows so much less of the street than the one before."""
SETS, RESAMPLES = 200, 1000
IMAGES, SEQUENCES = (10, 60, 200), (2, 3, 5, 10, 20, 40)
LOW, HIGH = 0.90, 0.98

Pair = tuple[Any, Any]
"""Confusion matrices of the two networks on the same images, [images,C,C] each."""
Ends = tuple[float, float]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    frames = population(given.scenes)
    rows = [covered(frames[:, :, :1], count) for count in IMAGES]
    rows += [covered(frames, count) for count in SEQUENCES]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if given.output:
        found = {"scenes": given.scenes, "frames": FRAMES, "bits": BITS, "sets": SETS, "rows": rows}
        given.output.write_text(json.dumps(found, indent=2) + "\n")
    return int(not all(LOW <= row["paired_drop"] <= HIGH for row in rows))


def population(scenes: int) -> Any:
    """Confusion matrices int64 [2,scenes,FRAMES,C,C] of the demo network and of its coarse copy."""
    streets = SyntheticStreets(counts={"train": scenes})
    split, loaded = streets.split("train"), resolve(ModelChoice(name="demo"))
    networks = loaded.module.eval(), coarse(loaded.module)
    classes = len(streets.classes)
    found = np.zeros((2, scenes, FRAMES, classes, classes), np.int64)
    for scene in range(scenes):
        images, labels = zip(*drive(split.image(scene), split.label(scene)))
        for network, matrices in zip(networks, found[:, scene]):
            for frame, found_map in enumerate(class_maps(network, loaded, np.stack(images))):
                matrices[frame] = confusion(labels[frame], found_map, classes, streets.ignore_index)
        print(f"\rscene {scene + 1} of {scenes}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def coarse(network: torch.nn.Module) -> torch.nn.Module:
    """A copy whose kernels are rounded to BITS bits per output channel."""
    copied = copy.deepcopy(network).eval()
    with torch.no_grad():
        for kernel in (p for p in copied.parameters() if p.ndim == 4):
            step = kernel.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12) / (2 ** (BITS - 1) - 1)
            kernel.copy_((kernel / step).round() * step)
    return copied


def drive(image: Any, label: Any) -> Iterator[Pair]:
    """FRAMES views of one street: its middle, enlarged more and more."""
    height, width = label.shape
    for share in 1 - CLOSER * np.arange(FRAMES):
        rows, columns = round(height * share), round(width * share)
        top, left = (height - rows) // 2, (width - columns) // 2
        part = slice(top, top + rows), slice(left, left + columns)
        yield tuple(  # type: ignore[misc]
            np.asarray(Image.fromarray(pixels[part]).resize((width, height), how))
            for pixels, how in ((image, Image.Resampling.BILINEAR), (label, Image.Resampling.NEAREST))
        )


@torch.inference_mode()
def class_maps(network: torch.nn.Module, loaded: Loaded, images: Any) -> Any:
    spec = loaded.spec
    contract = spec.preprocess
    pixels = torch.from_numpy(preprocess(images, contract, spec.input_size))
    return decided(network(pixels).numpy(), spec, contract.place(images.shape[1:3], spec.input_size))


def covered(frames: Any, count: int) -> dict[str, Any]:
    """How often the intervals of sets of `count` scenes hold the drop, and how wide they are.

    Args:
        frames: [2,scenes,frames,C,C]; with one frame each, the scenes are independent images.
    """
    many = frames.shape[2] > 1
    a, b = frames.sum(axis=(1, 2))
    known, classes = (
        float(100 * (mean_iou(a) - mean_iou(b))),
        100 * (iou(a, labelled(a)) - iou(b, labelled(a))),
    )
    rng = np.random.default_rng(count)
    held: dict[str, list[bool]] = {}
    width: dict[str, list[float]] = {}
    held_classes = []
    for _ in range(SETS):
        drawn = frames[:, rng.integers(0, frames.shape[1], count)]
        single = drawn.reshape(2, -1, *drawn.shape[3:])
        names = [str(n // frames.shape[2]) for n in range(single.shape[1])] if many else ()
        found = paired_drop(*single, names)
        ends = {"paired_drop": (found.low, found.high), "bootstrap of images": percentiles(single, rng)}
        if many:
            ends["bootstrap of sequences"] = percentiles(drawn.sum(axis=2), rng)
        for name, (low, high) in ends.items():
            held.setdefault(name, []).append(low <= known <= high)
            width.setdefault(name, []).append(high - low)
        told = ~np.isnan(found.class_low)
        inside = (found.class_low <= classes) & (classes <= found.class_high)
        held_classes.append(np.where(told, inside, np.nan))
    each = np.nanmean(held_classes, axis=0)
    row: dict[str, Any] = {"drawn": f"{count} sequences of {FRAMES} images" if many else f"{count} images"}
    row["drop"] = round(known, 3)
    for name, hits in held.items():
        row[name] = float(np.mean(hits))
        row[f"{name}, width"] = round(float(np.median(width[name])), 3)
    row["classes"] = [round(float(np.nanmin(each)), 3), round(float(np.nanmedian(each)), 3)]
    return row


def percentiles(pair: Any, rng: np.random.Generator) -> Ends:
    """2.5% and 97.5% of the drops of sets drawn with replacement, the same for both networks."""
    count = pair.shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    a, b = (
        (weights @ side.reshape(count, -1).astype(np.float64)).reshape(RESAMPLES, *side.shape[1:])
        for side in pair
    )
    low, high = np.quantile(100 * (mean_iou(a) - mean_iou(b)), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
