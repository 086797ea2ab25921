"""Results -> tables on standard output, or JSON with `--json`. Where there is an exit code, it returns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.cli.tables import line, number, percent, status, table, verdict

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.measurement import Measurement
    from edgeseg.core.plan import Plan
    from edgeseg.evaluation.verification import Drop
    from edgeseg.flow.listing import ZooModel
    from edgeseg.flow.results import Row, RunResult


def as_json(noun: Any) -> None:
    import msgspec

    encoded = msgspec.json.encode(noun, enc_hook=str, order="deterministic")
    sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")


def trained(result: Any, json: bool) -> None:
    if json:
        return as_json(result)
    card = result.card
    rows = [(name, percent(value)) for name, value in card.class_scores.items()]
    table("", ("class", card.class_metric), rows)
    line(f"best {card.metric} {percent(card.score)} at step {result.card.step} of {result.steps}")
    line(f"weights: {result.weights}")
    notes(result.notes)


def bundles(made: Sequence[Bundle], json: bool) -> None:
    if json:
        return as_json(
            [{"path": str(b.path), "notes": b.manifest.sentences(), "manifest": b.manifest} for b in made]
        )
    rows = [(b.engine.target, b.manifest.kind, number(_size(b), 1), "unmeasured", b.path) for b in made]
    table("", ("target", "bundle", "MB", "accuracy, latency", "folder"), rows, left=2)
    notes(note for b in made for note in b.manifest.sentences())
    contract(made[0])
    line("next: `edgeseg verify` for accuracy and `edgeseg bench` for latency, on the device")


def contract(bundle: Bundle) -> None:
    """The contract of the pixels in one line each: what goes in, which output counts, what comes out."""
    from edgeseg.runtime.tasks import task_of

    record, spec = bundle.engine, bundle.manifest.model
    height, width = record.camera_size
    pre, post = spec.preprocess, spec.postprocess
    batch, tiles = record.frames_at_once, record.tiles
    shape = ",".join(map(str, pre.frame.shape(batch, height, width)))
    line(f"in:  {pre.frame.dtype} [{shape}] {pre.frame}, {'any size' if tiles else f'resize {pre.resize}'}")
    if pre.region:
        top, left, *part = pre.region
        line(f"     of which it sees {part[0]}x{part[1]} from row {top} and column {left}")
    if tiles:
        line(
            f"     in tiles of {tiles.size[0]}x{tiles.size[1]}, {record.batch} at once, that share "
            f"{tiles.overlap} pixels or more, {tiles.blend}"
        )
    size, channels = spec.input_size, pre.frame.with_colors(pre.color).order
    line(f"net: {size[0]}x{size[1]} {channels}, mean {pre.mean}, std {pre.std}")
    outputs = task_of(spec).outputs(spec, batch, record.camera_size)
    told = ", ".join(f"{o.name} {o.dtype} {str(list(o.shape)).replace(' ', '')}" for o in outputs)
    if post.instances is None:
        line(f"out: {told}, {spec.task} of output '{post.output or 'scores'}' ({post.activation})")
    else:
        drawn = post.threshold if isinstance(post.threshold, float) else "that of its class"
        line(f"out: {told}, {spec.task}")
        line(
            f"     scores from {post.instances.score_threshold:g}; a thing is drawn from {drawn}; "
            f"masks pasted in the {post.paste}"
        )


def notes(texts: Any) -> None:
    for text in dict.fromkeys(texts):
        line(f"note: {text}")


def marked(drop: Drop | None) -> str | None:
    """The interval of a drop, with a star where a note says something about it."""
    return f"{drop.interval}{' *' if drop.caveat else ''}" if drop else None


def ran(result: RunResult, json: bool) -> int:
    if json:
        as_json(result)
        return result.verdict.exit_code
    columns = (
        "target",
        "bundle",
        "MB",
        result.metric,
        "drop",
        "95% interval",
        "device ms",
        "host ms",
        "x torch",
        "verdict",
    )
    base = next((r.measurement for r in result.rows if r.made == "torch"), None)
    table(
        f"{result.network} on {result.data or 'no data'}",
        columns,
        [_run_row(r, base) for r in result.rows],
        left=2,
    )
    notes(result.notes)
    for row in result.rows:
        for reason in row.verdict.reasons:
            line(f"{row.target}: {reason}")
    verdict(result.verdict.status, ())
    return result.verdict.exit_code


def _run_row(row: Row, base: Measurement | None) -> tuple[object, ...]:
    drop = row.verification.drop if row.verification else None
    m = row.measurement
    return (
        row.target,
        row.made if row.made != "engine" or m else "built",
        number(row.size_mb, 1),
        percent(row.score),
        number(drop.value) if drop else None,
        marked(drop),
        number(m.device.p50) if m else None,
        number(m.host.p50) if m else None,
        number(base.host.p50 / m.host.p50, 1) if m and base and m.machine == base.machine else None,
        status(row.verdict.status),
    )


def planned(plan: Plan, json: bool) -> None:
    if json:
        return as_json(plan)
    line(f"{plan.recipe.name}: {plan.model.name}")
    table(
        "",
        ("step", "takes", "gives"),
        [(s.use, " or ".join(s.accepts), s.produces) for s in (*plan.steps, *plan.int8_steps)],
        left=3,
    )
    notes(plan.notes)
    rows = [(t.target, t.outcome, t.availability.reason, t.availability.fix) for t in plan.targets]
    table("", ("target", "here", "why not", "to fix"), rows, left=4)


def models(zoo: Sequence[ZooModel], json: bool) -> None:
    if json:
        return as_json(zoo)
    rows = [
        (
            m.name,
            m.description,
            "x".join(map(str, m.input_size)),
            " ".join(f"{k}={v}" for k, v in m.options.items()),
        )
        for m in zoo
    ]
    table("", ("model", "network", "input", "options"), rows, left=4)


def _size(bundle: Bundle) -> float | None:
    return bundle.engine_size() / 1e6 if bundle.engine.entry else None
