"""From raw blocks and confusion matrices to rows and verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from _peers import compress, timing
from _peers.material import Material
from _peers.ours import BUNDLE
from _peers.roster import BF16, CONTESTANTS, CONTROL, DEFAULT, FLOAT, PLANNED, PRUNED, is_nncf, is_ours
from edgeseg.core.measurement import PairedRatio, Percentiles
from edgeseg.device.statistics import paired_ratio, summarize
from edgeseg.device.validity import ratio_reasons, sample_reasons
from edgeseg.metrics import mean_iou, paired_drop

ISAS = ("native", "vnni")
MAX_DROP, PRUNED_DROP, PLAN = 0.5, 1.0, 1 / 3
LIMITS = {"network": 0.8, "frame": 0.6}
"""Times over those of the best NNCF variant."""
PRUNED_LIMITS = {"network": 1 / 3}
"""The same of a pruned network, over OpenVINO's default."""
Status = Literal["pass", "fail", "unclear", "missing"]


class Drop(msgspec.Struct, frozen=True):
    """Points of mIoU lost against PyTorch eager, with the 95% interval over the images of CamVid val."""

    drop: float
    low: float
    high: float


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant on one instruction set.

    Attributes:
        network: plain network, float image to scores.
        frame: uint8 frame to class map.
        engine: device time of an engine that takes frames; None: it takes float images, see `network`.
        versus: paired ratios to other contestants by name, of `network` and `frame`; `engine` is that to the
            `network` of the other. Below 1: faster.
        agreement: of its class maps with those in float, on held-out images.
        reasons: why its samples cannot be trusted; ratios may hold nevertheless.
    """

    network: Percentiles
    frame: Percentiles
    engine: Percentiles | None
    versus: dict[str, dict[str, PairedRatio]]
    precision: str
    agreement: float
    reasons: tuple[str, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        seconds, peak_mb: of the compression, above the imports.
        search_seconds: of them, those of the planner's search, after calibration.
        error: what the tool said where it failed, or that it was not made.
        peak_share: multiply-accumulates of its graph per second over the int8 convolution peak of this run.
    """

    name: str
    label: str
    error: str = ""
    miou: float | None = None
    drop: Drop | None = None
    size_mb: float | None = None
    seconds: float | None = None
    peak_mb: float | None = None
    search_seconds: float | None = None
    compressed_alone: bool = True
    peak_share: float | None = None
    times: dict[str, Times] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    contestant: str
    status: Status
    text: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        best_nncf: the fastest NNCF variant within MAX_DROP; where none is, the one that loses least.
        nncf_keeps: it is within MAX_DROP.
        about: natively and without AMX and bf16: CPU, features, versions, int8 peak, disturbance, blocks.
        valid: False when other programs disturbed the native run; `reasons` say how.
    """

    network: str
    images: int
    held_out: int
    val: int
    macs: int
    best_nncf: str
    nncf_keeps: bool
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    valid: bool
    reasons: tuple[str, ...]
    about: dict[str, Any]

    @property
    def cpu(self) -> str:
        """What computes int8 in the native run: `amx`, `vnni`, or `avx2`."""
        has = self.about.get("native", {}).get("features", {}).get("has", ())
        return "amx" if "amx_int8" in has else "vnni" if "avx512_vnni" in has else "avx2"

    @property
    def stem(self) -> str:
        """Name of its files: a network has one result per kind of CPU."""
        return f"peers-{self.network}-{self.cpu}"


def find(material: Material) -> Findings:
    import onnx

    from edgeseg.graph.info import graph_info

    runs = {isa: json.loads(f.read_text()) for isa in ISAS if (f := timing.file(material, isa)).exists()}
    scores = _scores(material.folder / "scores.npz")
    native = runs.get("native", {"blocks": {}, "reasons": ["not timed"], "int8_peak": {"best": 0.0}})
    best, keeps = _best_nncf(native["blocks"], scores)
    macs = graph_info(onnx.load(str(material.graph))).macs
    rows = tuple(_row(material, c, runs, scores, best, macs) for c in CONTESTANTS)
    reasons = tuple(native["reasons"])
    return Findings(
        network=material.name,
        images=material.images,
        held_out=len(material.held_out),
        val=len(material.val),
        macs=macs,
        best_nncf=best,
        nncf_keeps=keeps,
        rows=rows,
        verdicts=tuple(judge({row.name: row for row in rows}, best if keeps else "")),
        valid=not reasons,
        reasons=reasons,
        about=runs,
    )


def judge(rows: dict[str, Row], best: str) -> list[Verdict]:
    """What each int8 engine of edgeseg costs and gains, and last the planner's time.

    Unpruned ones against the best NNCF variant (empty: none keeps the drop, and there is no time to beat),
    pruned ones against OpenVINO's default; all against edgeseg's own bf16 engine.
    """
    found = []
    for row in rows.values():
        if not is_ours(row.name) or row.name == BF16 or "native" not in row.times:
            continue
        versus = row.times["native"].versus
        other, limits = (DEFAULT, PRUNED_LIMITS) if row.name == PRUNED else (best, LIMITS)
        found.append(_drop_verdict(row, PRUNED_DROP if row.name == PRUNED else MAX_DROP))
        for clock, limit in limits.items() if other in versus else ():
            found.append(_at_most(f"{clock} time of {other}", row.name, versus[other][clock], limit))
        if BF16 in versus:
            found.append(_at_most(f"network time of {BF16}", row.name, versus[BF16]["network"], 1.0))
    return [*found, _plan_time(rows.get(PLANNED), rows.get(CONTROL))]


def winners(verdicts: Sequence[Verdict], rival: bool) -> list[str]:
    """Unpruned int8 engines that pass in everything that was asked of them, compared with NNCF among it where
    it has a variant to compare with.
    """
    statuses: dict[str, list[str]] = {}
    for verdict in verdicts[:-1]:
        statuses.setdefault(verdict.contestant, []).append(verdict.status)
    asked = 1 + len(LIMITS) * rival
    return [n for n, s in statuses.items() if n != PRUNED and len(s) >= asked and set(s) == {"pass"}]


def _drop_verdict(row: Row, limit: float) -> Verdict:
    if row.drop is None:
        return Verdict(what="drop of mIoU", contestant=row.name, status="missing", text="not scored")
    status: Status = "pass" if row.drop.drop <= limit else "fail"
    text = f"{row.drop.drop:.2f} [{row.drop.low:.2f}, {row.drop.high:.2f}] points (limit {limit})"
    return Verdict(what="drop of mIoU", contestant=row.name, status=status, text=text)


def _at_most(what: str, name: str, ratio: PairedRatio, limit: float) -> Verdict:
    status: Status = "pass" if ratio.high <= limit else "fail" if ratio.low > limit else "unclear"
    reasons = "; ".join(ratio_reasons(ratio))
    text = f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] (limit {limit:.3g})"
    return Verdict(what=what, contestant=name, status=status, text=f"{text} {reasons}".strip())


def _plan_time(plan: Row | None, control: Row | None) -> Verdict:
    what, name = "time to find the plan over accuracy control's", PLANNED
    if plan is None or control is None or not plan.seconds or not control.seconds:
        return Verdict(what=what, contestant=name, status="missing", text="not both were made")
    ratio = plan.seconds / control.seconds
    text = f"{plan.seconds:.0f} s over {control.seconds:.0f} s = {ratio:.2f} (limit {PLAN:.2f})"
    if plan.search_seconds:
        share = plan.search_seconds / control.seconds
        text += f", calibration in both; the search alone {plan.search_seconds:.0f} s = {share:.2f}"
    if not (plan.compressed_alone and control.compressed_alone):
        return Verdict(what=what, contestant=name, status="unclear", text=f"{text}; the machine was not idle")
    return Verdict(what=what, contestant=name, status="pass" if ratio <= PLAN else "fail", text=text)


def _scores(file: Path) -> dict[str, np.ndarray]:
    return dict(np.load(file)) if file.exists() else {}


def _best_nncf(blocks: dict[str, timing.Blocks], scores: dict[str, np.ndarray]) -> tuple[str, bool]:
    """The fastest NNCF variant that keeps MAX_DROP, and True; where none does, the one that loses least, and
    False. Without scores, the fastest.
    """
    drops = {
        name: paired_drop(scores[FLOAT], scores[name]).drop if name in scores else 0.0
        for name in blocks
        if is_nncf(name)
    }
    good = [name for name, drop in drops.items() if drop <= MAX_DROP]
    if good:
        return min(good, key=lambda name: np.median(_flat(blocks[name]["network"]))), True
    return min(drops, key=drops.__getitem__, default=""), False


def _row(material: Material, contestant: Any, runs: dict, scores: dict, best: str, macs: int) -> Row:
    name, folder = contestant.name, material.folder / contestant.name
    record = compress.read(folder)
    error = record.get("error") or runs.get("native", {}).get("failed", {}).get(name, "")
    if error or not timing.made(material, contestant):
        return Row(name=name, label=contestant.label, error=error or "not made")
    times = {isa: _times(run, name, best) for isa, run in runs.items() if name in run["blocks"]}
    share = None
    if "native" in times and is_ours(name) and contestant.int8:
        share = _graph_macs(folder, macs) / times["native"].network.p50 / 1e9
        share /= runs["native"]["int8_peak"]["best"]
    return Row(
        name=name,
        label=contestant.label,
        miou=100 * float(mean_iou(scores[name].sum(axis=0))) if name in scores else None,
        drop=_drop(scores, name),
        size_mb=sum(f.stat().st_size for f in contestant.files(material, folder)) / 1e6,
        seconds=record.get("seconds"),
        peak_mb=record.get("peak_mb"),
        search_seconds=_search_seconds(folder),
        compressed_alone=record.get("valid", True),
        peak_share=share,
        times=times,
    )


def _times(run: dict, name: str, best: str) -> Times:
    blocks = run["blocks"]
    samples = {clock: _flat(blocks[name][clock]) for clock in timing.CLOCKS}
    versus: dict[str, dict[str, PairedRatio]] = {}
    for other in dict.fromkeys((DEFAULT, best, BF16)):
        if other in blocks and other != name:
            versus[other] = {
                clock: paired_ratio(blocks[name][clock], blocks[other][clock], a=name, b=other, clock=clock)
                for clock in ("network", "frame")
            }
            if samples["engine"]:
                versus[other]["engine"] = paired_ratio(
                    blocks[name]["engine"], blocks[other]["network"], a=name, b=other, clock="engine"
                )
    return Times(
        network=summarize(samples["network"]),
        frame=summarize(samples["frame"]),
        engine=summarize(samples["engine"]) if samples["engine"] else None,
        versus=versus,
        precision=run["precision"][name],
        agreement=run["agreement"][name],
        reasons=tuple(r for c in ("network", "frame") for r in sample_reasons(samples[c], c)),
    )


def _flat(openings: timing.Openings) -> list[float]:
    return [ms for blocks in openings for block in blocks for ms in block]


def _drop(scores: dict[str, np.ndarray], name: str) -> Drop | None:
    if name not in scores or FLOAT not in scores or name == FLOAT:
        return None
    found = paired_drop(scores[FLOAT], scores[name])
    return Drop(found.drop, found.low, found.high)


def _search_seconds(folder: Path) -> float | None:
    tables = folder / BUNDLE / "plan.json"
    return float(json.loads(tables.read_text())["seconds"]) if tables.exists() else None


def _graph_macs(folder: Path, otherwise: int) -> int:
    """Of the graph that runs: merged upsampling and pruning leave fewer than the float graph has."""
    import onnx

    from edgeseg.core.bundle import Bundle
    from edgeseg.graph.info import graph_info

    bundle = Bundle.open(folder / BUNDLE)
    quantization = bundle.manifest.quantization
    return graph_info(onnx.load(str(bundle.file(quantization.graph)))).macs if quantization else otherwise
