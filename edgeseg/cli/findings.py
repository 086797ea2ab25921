"""What bench, verify, predict, inspect and doctor found -> tables, or JSON with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.cli.render import as_json, marked, notes
from edgeseg.cli.tables import line, number, percent, table, verdict

if TYPE_CHECKING:
    from edgeseg.core.measurement import Measurement
    from edgeseg.device.describe import TargetReport
    from edgeseg.evaluation.verification import CalibrationError, Drop, Slice, Verification
    from edgeseg.flow.bench import BenchResult
    from edgeseg.flow.doctor import Diagnosis
    from edgeseg.flow.inspect import Inspection
    from edgeseg.prediction.predict import Prediction


def timed(result: BenchResult, json: bool) -> int:
    if json:
        as_json(result)
        return result.verdict.exit_code
    if result.measurements:
        table("latency in milliseconds", TIME_COLUMNS, [_time_row(m) for m in result.measurements])
    for ratio in result.ratios:
        line(
            f"{ratio.clock}: {ratio.a} / {ratio.b} = {ratio.ratio:.3f}, "
            f"95% interval {ratio.low:.3f} to {ratio.high:.3f}, "
            f"{ratio.openings} openings, {ratio.blocks} pairs of blocks"
        )
    notes(tuple(f"{m.bundle}: {note}" for m in result.measurements for note in m.notes))
    verdict(result.verdict.status, result.verdict.reasons)
    return result.verdict.exit_code


TIME_COLUMNS = (
    "bundle", "device p50", "p90", "p99", "host p50", "95% interval", "p90", "p99", "first", "fps", "MB",
    "runs",
)  # fmt: skip


def _time_row(m: Measurement) -> tuple[object, ...]:
    d, h = m.device, m.host
    interval = f"{h.p50_low:.2f}-{h.p50_high:.2f}"
    return (
        m.bundle, number(d.p50), number(d.p90), number(d.p99), number(h.p50), interval, number(h.p90),
        number(h.p99), number(m.first_frame_ms, 0), number(m.throughput_fps, 1), number(m.memory_mb, 0),
        h.count,
    )  # fmt: skip


def verified(result: Verification, json: bool) -> int:
    if json:
        as_json(result)
        return result.verdict.exit_code
    line(
        f"{result.bundle} ({result.target}) on {result.data}, {result.frames} frames, "
        f"against {result.reference or 'nothing'}"
    )
    if result.engine and result.fp32:
        _accuracy(result)
    if result.slices:
        columns = ("", "frames", result.metric, "FP32", "drop", "95% interval")
        table("by tag, in points of 100", columns, [_slice(*each) for each in result.slices.items()])
    if result.calibration_error:
        errors = [*result.class_calibration_error.items(), ("all", result.calibration_error)]
        title = "calibration error of the confidence, in points of 100; of a class: of what is taken for it"
        heads = ("", "engine", "reference", "rise", "95% interval")
        table(title, heads, [_calibration(*each) for each in errors])
    if result.agreement:
        same = result.agreement
        line(f"agreement: {percent(same.equal)}% of {same.unit}s, {same.metric} {percent(same.value)}")
    if result.flicker:
        one = result.flicker
        line(
            f"flicker: of the {percent(one.still)}% of pixels that stand still from frame to frame, "
            f"{percent(one.engine)}% change their class, {percent(one.reference)}% in the reference"
        )
    for frame in result.worst:
        line(f"worst: {frame.id}  {percent(frame.score)}  {frame.picture}")
    notes(result.notes)
    verdict(result.verdict.status, result.verdict.reasons)
    return result.verdict.exit_code


def _accuracy(result: Verification) -> None:
    engine, fp32 = result.engine, result.fp32
    assert engine is not None and fp32 is not None
    columns = ("", engine.class_metric, "FP32", "drop", "95% interval", *engine.tables)
    rows = [
        _row(name, value, fp32.classes[name], result.class_drop.get(name))
        + tuple(percent(values[name]) for values in engine.tables.values())
        for name, value in engine.classes.items()
    ]
    means = tuple(percent(engine.means.get(name)) for name in engine.tables)
    rows.append(_row("mean", engine.value, fp32.value, result.drop) + means)
    table("in points of 100", columns, rows)
    for name, value in engine.means.items():
        if name not in engine.tables and value is not None:
            line(f"{name} {percent(value)}, FP32 {percent(fp32.means.get(name))}")


def _slice(tag: str, one: Slice) -> tuple[object, ...]:
    lost = number(one.drop.value) if one.drop else None
    return tag, one.frames, percent(one.value), percent(one.fp32), lost, marked(one.drop)


def _calibration(name: str, one: CalibrationError) -> tuple[object, ...]:
    rise = number(one.rise.value) if one.rise else None
    return name, number(one.engine), number(one.reference), rise, marked(one.rise)


def _row(name: str, value: float | None, fp32: float | None, drop: Drop | None) -> tuple[object, ...]:
    lost = number(drop.value) if drop else None
    return name, percent(value), percent(fp32), lost, marked(drop)


def predicted(result: Prediction, json: bool) -> None:
    if json:
        return as_json(result)
    for one in result.results:
        largest = sorted(one.fractions.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{name} {percent(share)}%" for name, share in largest)
        line(f"{one.source} -> {result.output}/{one.overlay}  {shares}")
    if result.gathered:
        line(f"all that was found -> {result.output}/{result.gathered}")
    notes(result.notes)


def inspected(result: Inspection, *, layers: bool, json: bool) -> None:
    if json:
        return as_json(result)
    line(f"{result.path}: {result.kind} '{result.name}', {number(result.size_mb)} MB")
    if result.engine:
        record = result.engine
        line(
            f"engine: {record.target}, {record.engine_version or 'not built'}, "
            f"for {record.hardware.name or 'any device'}"
        )
    for way, tensors in (("in", result.inputs), ("out", result.outputs)):
        for tensor in tensors:
            line(f"{way}: {tensor.name} {tensor.dtype} {list(tensor.shape)}")
    if result.model:
        line(f"preprocess: {result.model.preprocess}")
        line(f"postprocess: {result.model.postprocess}")
        line(f"classes: {', '.join(result.model.class_names)}")
    if result.weights:
        line(
            f"weights: {result.weights.values:,} values in {result.weights.tensors} tensors, "
            f"{result.weights.dtypes}"
        )
    _graph(result, layers)
    for check in result.checks:
        found = "" if check.max_error is None else f"largest error {check.max_error:.1e}"
        found = found if check.agreement is None else f"{check.agreement:.3%} of the compared pixels agree"
        line(f"check: {check.what} against {check.against} on {check.inputs}: {found}")
    if result.golden is not None:
        shows = result.golden.shows
        fault = (
            "no fault that was tried" if shows is None else f"faults that move over {shows:.1%} of the pixels"
        )
        line(f"self-check: compares {result.golden.compared:.0%} of the pixels and shows {fault}")
    for parent in result.lineage:
        line(f"made from: {parent.kind} {parent.name} {parent.id[:12]}")
    notes(result.notes)


def _graph(result: Inspection, layers: bool) -> None:
    graph = result.graph
    if graph is not None:
        line(f"network: {graph.parameters:,} parameters, {graph.macs / 1e9:.3f} GMAC, opset {graph.opset}")
        line("operators: " + ", ".join(f"{name} {count}" for name, count in graph.operators.items()))
        if layers:
            columns = ("layer", "operator", "output", "parameters", "MMAC", "precision")
            rows = [
                (r.name, r.op, list(r.shape), f"{r.parameters:,}", number(r.macs / 1e6), r.dtype)
                for r in graph.layers
            ]
            table("network", columns, rows, left=3)
    if layers and result.layers:
        timed = [(e.name, e.kind, e.precision, number(e.milliseconds, 3)) for e in result.layers]
        table("engine", ("layer", "kind", "precision", "ms"), timed, left=3)


def targets(reports: Sequence[TargetReport], json: bool) -> None:
    if json:
        return as_json(reports)
    rows = [(r.target, _yes(r.build), _yes(r.run), r.version, r.reason, r.fix) for r in reports]
    table("", ("target", "build", "run", "version", "why not", "to fix"), rows, left=6)


def doctor(result: Diagnosis, json: bool) -> None:
    if json:
        return as_json(result)
    m = result.machine
    line(f"edgeseg {m.edgeseg}, Python {m.python}, {m.system}")
    if m.environment:
        line(
            f"{m.environment.cpu}, {m.environment.cores} cores, {m.memory_gb} GB; "
            f"GPU: {m.environment.gpu.get('name', 'none')}"
        )
    line(f"cache: {m.cache}{'' if m.cache_writable else ' (read-only)'}")
    targets(result.targets, json=False)
    missing = [(p.name, p.fix) for p in result.packages if not p.version]
    if missing:
        table("optional packages that are not installed", ("package", "to install"), missing, left=2)
    notes(m.notes)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
