"""What quantize measured and decided -> tables, or JSON with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.cli.render import as_json, notes
from edgeseg.cli.tables import line, number, table

if TYPE_CHECKING:
    from edgeseg.flow.quantize import QuantizeResult
    from edgeseg.quantization.planner.tables import BlockRow, PlannedPrecision, PlanRow


def quantized(results: Sequence[QuantizeResult], json: bool) -> int:
    codes = {result.exit_code for result in results}
    code = 1 if 1 in codes else max(codes)
    if json:
        as_json(results)
        return code
    for result in results:
        if result.planned is not None:
            _tables(result.planned)
        line(f"{result.path}: {result.target}, {result.kind}, calibrated by {result.calibration}")
        if result.planned is not None:
            met = result.planned.met
            line(f"{'plan' if met else 'budget missed'}: {result.planned.verdict}")
            if result.planned.unjudged:
                line(f"unjudged: no held-out image shows {', '.join(result.planned.unjudged)}")
    verdicts = {result.planned.verdict for result in results if result.planned}
    notes(note for result in results for note in result.notes if note not in verdicts)
    line("next: `edgeseg verify` for accuracy and `edgeseg bench` for latency, on the device")
    return code


def _tables(planned: PlannedPrecision) -> None:
    tried = [(t.ranges, _on(t.correct_bias), _on(t.equalize), number(t.loss)) for t in planned.methods]
    if tried:
        table(
            "int8 everywhere", ("ranges", "bias correction", "equalisation", "masks changed"), tried, left=3
        )
    columns = (
        "block",
        "layers",
        "kind",
        "float ms",
        "int8 ms",
        "won ms",
        f"{planned.metric} lost alone",
        "masks changed",
        "plan",
    )
    table(f"blocks, {planned.held_out}", columns, [_block(row) for row in planned.blocks])
    columns = (
        "plan",
        "blocks in float",
        "forecast ms",
        "ms",
        "x float",
        "95% interval",
        "forecast drop",
        "drop",
        "",
    )
    plans = [_plan(row, len(planned.blocks)) for row in planned.plans]
    table(f"plans that were built, latency {planned.latency}", columns, plans)
    if not planned.labelled:
        line(f"no labels: {planned.metric} is the agreement with the masks of the FP32 network")
    line(f"planned in {planned.seconds:.0f} s")


def _on(value: bool) -> str:
    return "on" if value else "off"


def _block(row: BlockRow) -> tuple[object, ...]:
    return (
        row.name, len(row.nodes), row.operator, number(row.float_ms), number(row.int8_ms),
        number(row.gain_ms), number(row.drop), number(row.changed), row.precision,
    )  # fmt: skip


def _plan(row: PlanRow, blocks: int) -> tuple[object, ...]:
    interval = None if row.low is None else f"{row.low:.2f}-{row.high:.2f}"
    mark = {None: "", True: "within", False: "over"}[row.within_budget]
    return (
        row.name, f"{len(row.floats)} of {blocks}", number(row.predicted_ms), number(row.milliseconds),
        number(row.ratio), interval, number(row.predicted_drop), number(row.drop),
        "chosen" if row.chosen else mark,
    )  # fmt: skip
