"""Post-training quantisation: a float graph and some images in, a Q/DQ graph out."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from onnx import ModelProto

from edgeseg.core.int8 import Scheme
from edgeseg.core.ports import Progress, silent
from edgeseg.core.quantization import ScoreGrid
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.graph.upsampling import merge_upsampling
from edgeseg.quantization.bias_correction import bias_shifts, layer_tensors, shift_biases
from edgeseg.quantization.equalization import equalize, linked_tensors
from edgeseg.quantization.grid import Grid
from edgeseg.quantization.placement.groups import Group, groups_of
from edgeseg.quantization.placement.insertion import insert
from edgeseg.quantization.placement.pairs import Placement, Plan, place
from edgeseg.quantization.placement.score_grid import score_grid, scoring_node
from edgeseg.quantization.ranges.channels import ChannelStatistics, Vector, channel_statistics
from edgeseg.quantization.ranges.histogram import Histogram
from edgeseg.quantization.ranges.observer import WINNERS, Feeds, collect, spread, stride
from edgeseg.quantization.ranges.probe import OpenProbe, opener
from edgeseg.quantization.ranges.thresholds import RangeMethod, choose_grid, saturated
from edgeseg.quantization.weights import WeightMethod

BIAS_IMAGES = 8
"""Batches whose means bias correction compares, evenly spread over the calibration set. Mobile-UNet on 40
held-out images of CamVid train (float 73.77 mIoU, uncorrected int8 73.04): 73.80 with 8, 73.81 with 16, 73.74
with 32, 73.79 with 64 (`benchmarks/bias_images.py`)."""
SATURATION = 0.01
"""Beyond this share of clipped values a tensor is worth a note."""


class PtqSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        ranges: how activation ranges are chosen; `percentile` belongs to that method.
        weights: how weight scales are chosen.
        weight_bits, per_channel: less than the scheme offers, to study large drops.
        equalize: cross-layer equalisation before anything else.
        correct_bias: biases make up for the mean error of quantised layers.
        engine: runs the graphs while ranges and means are collected: `openvino`, `ort`, ... of the device, or
            `onnxruntime`, unoptimised, of the host; empty: the one of the scheme.
    """

    ranges: RangeMethod = "min-max"
    percentile: Annotated[float, msgspec.Meta(gt=50, le=100)] = 99.99
    weights: WeightMethod = "min-max"
    weight_bits: Annotated[int, msgspec.Meta(ge=2, le=8)] = 8
    per_channel: bool = True
    equalize: bool = False
    correct_bias: bool = True
    engine: str = ""
    threads: Annotated[int, msgspec.Meta(ge=1)] = 2


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        model: the Q/DQ graph.
        ranges: the grid of every tensor that can be quantised.
        notes: what the user should know, one sentence each.
        scores: levels for the class decision, where the scores come from an int8 convolution.
    """

    model: ModelProto
    ranges: dict[str, Grid]
    notes: tuple[str, ...]
    scores: ScoreGrid | None = None


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """A float graph with the histograms of all tensors that may be quantised: plans and range methods are
    tried on it without running an image again.

    Attributes:
        model: float; the graph given, with upsampling merged and channels equalised where that was asked for.
            Its nodes are those that plans and groups name.
        open_probe: how graphs are run on images.
        means: of the channels of `layer_tensors`, where all images correct biases: a second pass over few of
            them costs less than means of all.
        shifts: what bias correction adds, by node; empty without it.
    """

    model: ModelProto
    scheme: Scheme
    settings: PtqSettings
    placement: Placement
    histograms: dict[str, Histogram]
    open_probe: OpenProbe
    means: dict[str, Vector] | None = None
    shifts: dict[str, Vector] = {}

    @property
    def groups(self) -> tuple[Group, ...]:
        """What a planner may switch."""
        return groups_of(self.model, self.placement)


def quantize(
    model: ModelProto,
    feeds: Feeds,
    scheme: Scheme,
    settings: PtqSettings | None = None,
    plan: Plan | None = None,
    *,
    progress: Progress = silent,
) -> Quantized:
    """Quantise a simplified, folded float graph. Inputs and outputs of the graph stay float.

    Args:
        feeds: calibration inputs by name, preprocessed as for the network.

    Raises:
        DataError: no images, constant images, NaN or infinite values in them.
        GraphError: activations that are not finite, a plan for another graph, a graph that is quantised.
    """
    return apply(calibrate(model, feeds, scheme, settings, progress=progress), plan)


def calibrate(
    model: ModelProto,
    feeds: Feeds,
    scheme: Scheme,
    settings: PtqSettings | None = None,
    *,
    device: Device = LOCAL,
    progress: Progress = silent,
) -> Calibrated:
    """The part of `quantize` that runs images, in an engine of `device`. Raises as `quantize`."""
    settings = settings or PtqSettings()
    open_probe = opener(settings.engine or scheme.probe, settings.threads, device)
    if scheme.merge_upsampling:
        model = merge_upsampling(model)
    if settings.equalize:
        maxima = channel_statistics(
            model,
            linked_tensors(model),
            feeds,
            "largest",
            open_probe=open_probe,
            progress=progress,
        )
        model = equalize(model, maxima)
    placement = place(model, scheme)
    scoring = scoring_node(model) if scheme.uint8_scores else None
    every = settings.correct_bias and stride(feeds, BIAS_IMAGES) == 1
    means = ChannelStatistics(layer_tensors(model), "mean") if every else None
    histograms = collect(
        model,
        placement.tensors,
        feeds,
        open_probe=open_probe,
        scores=scoring.output[0] if scoring else "",
        beside=means,
        progress=progress,
    )
    calibrated = Calibrated(
        model=model,
        scheme=scheme,
        settings=settings,
        placement=placement,
        histograms=histograms,
        open_probe=open_probe,
        means=means.result() if means else None,
    )
    return with_methods(calibrated, feeds, settings, progress=progress)


def with_methods(
    calibrated: Calibrated, feeds: Feeds, settings: PtqSettings, *, progress: Progress = silent
) -> Calibrated:
    """The same ranges as measured, read by other methods: only bias correction runs images again.

    Args:
        settings: with the same `equalize`, which changes the graph.
    """
    calibrated = msgspec.structs.replace(calibrated, settings=settings, shifts={})
    if not settings.correct_bias:
        return calibrated
    shifts = bias_shifts(
        calibrated.model,
        apply(calibrated).model,
        spread(feeds, BIAS_IMAGES),
        calibrated.means,
        open_probe=calibrated.open_probe,
        progress=progress,
    )
    return msgspec.structs.replace(calibrated, shifts=shifts)


def apply(calibrated: Calibrated, plan: Plan | None = None) -> Quantized:
    """The Q/DQ graph of a plan: arithmetic and a graph edit, no images."""
    scheme, settings = calibrated.scheme, calibrated.settings
    placement = place(calibrated.model, scheme, plan) if plan else calibrated.placement
    grids, notes = choose_grids(placement, calibrated.histograms, scheme, settings)
    model = insert(
        calibrated.model,
        placement,
        grids,
        scheme,
        weight_method=settings.weights,
        weight_bits=settings.weight_bits,
        per_channel=settings.per_channel,
    )
    if calibrated.shifts:
        model = shift_biases(model, calibrated.shifts)
    return Quantized(model=model, ranges=grids, notes=notes, scores=_scores(model, calibrated))


def _scores(model: ModelProto, calibrated: Calibrated) -> ScoreGrid | None:
    if WINNERS not in calibrated.histograms:
        return None
    made = {name: node for node in model.graph.node for name in node.output}
    source = made.get(made[model.graph.output[0].name].input[0])
    int8 = source is not None and source.op_type == "DequantizeLinear"
    return score_grid(calibrated.histograms[WINNERS]) if int8 else None


def choose_grids(
    placement: Placement, histograms: dict[str, Histogram], scheme: Scheme, settings: PtqSettings
) -> tuple[dict[str, Grid], tuple[str, ...]]:
    """A grid per pair; pairs that share one have it from their merged histograms. And notes."""
    merged: dict[str, Histogram] = {}
    for pair in placement.pairs:
        own = histograms[pair.tensor]
        merged[pair.shared] = merged[pair.shared].merge(own) if pair.shared in merged else own
    chosen: dict[str, Grid] = {}
    grids, notes = {}, []
    for pair in placement.pairs:
        if pair.shared not in chosen:
            seen = merged[pair.shared]
            form = scheme.form(seen.low, seen.high, non_negative=pair.non_negative, moved=pair.moved)
            grid = choose_grid(seen, method=settings.ranges, form=form, percentile=settings.percentile)
            scale = float(scheme.scales(np.array(grid.scale)))
            chosen[pair.shared] = msgspec.structs.replace(grid, scale=scale)
        grid = grids[pair.tensor] = chosen[pair.shared]
        notes.extend(_notes(pair.tensor, histograms[pair.tensor], grid, settings))
    return grids, tuple(notes)


def _notes(tensor: str, histogram: Histogram, grid: Grid, settings: PtqSettings) -> list[str]:
    if histogram.low == histogram.high:
        return [f"'{tensor}' is {histogram.low:g} everywhere in every calibration image: a dead layer?"]
    share = saturated(histogram, grid)
    if share > SATURATION:
        return [
            f"'{tensor}' saturates: {share:.1%} of its values lie outside [{grid.bounds[0]:.3g}, "
            f"{grid.bounds[1]:.3g}] (ranges: {settings.ranges}); try min-max, or keep its layer in float"
        ]
    return []
