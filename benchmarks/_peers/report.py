"""The report phase: JSON with raw samples, a table over all networks, a plot, and the verdicts as lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from _peers.findings import Findings, Row, Times, find, winners
from _peers.material import Material
from _peers.plot import plot
from _peers.roster import BF16, DEFAULT, is_ours

HEAD = (
    "",
    "mIoU",
    "drop, points",
    "network ms",
    "engine ms",
    "frame -> map ms",
    "x OpenVINO",
    "x best NNCF",
    "frame x best NNCF",
    "MB",
    "compress s",
    "peak MB",
)
SUMMARY_HEAD = (
    "network",
    "CPU",
    "edgeseg int8",
    "drop, points",
    "x best NNCF",
    "frame x best NNCF",
    "best NNCF",
)
VNNI_HEAD = ("", "network ms", "frame -> map ms", "x OpenVINO f32", "x best NNCF", "agreement")


def write(material: Material, results: Path) -> int:
    """Returns the exit code."""
    found = find(material)
    results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(msgspec.to_builtins(found), indent=1)
    (results / f"{found.stem}.json").write_text(_dense(text) + "\n")
    (results / f"{found.stem}.svg").write_text(plot(found))
    (results / "peers.md").write_text(_page(results))
    for line in _verdicts(found):
        print(line)
    if not found.valid:
        return 3
    return int(not winners(found.verdicts, found.nncf_keeps) or found.verdicts[-1].status != "pass")


def _dense(text: str) -> str:
    """JSON with every list of numbers on one line."""
    return re.sub(r"\[\n[\d\s.,eE+-]+\]", lambda found: re.sub(r"\s+", "", found[0]), text)


def _page(results: Path) -> str:
    parts = ["# Beside the peers\n", "Written by `benchmarks/peers.py`, which says what the columns are.\n"]
    files = results.glob("peers-*.json")
    every = [msgspec.json.decode(file.read_bytes(), type=Findings) for file in files]
    every.sort(key=lambda found: (found.network, found.cpu))
    parts += [*_table(SUMMARY_HEAD, [cells for found in every for cells in _summary(found)]), ""]
    return "\n".join([*parts, *(line for found in every for line in _section(found))])


def _summary(found: Findings) -> list[list[str]]:
    """edgeseg's int8 engines in one line each."""
    made = [r for r in found.rows if is_ours(r.name) and r.name != BF16 and r.times and r.drop]
    caveat = "" if found.nncf_keeps else " (none made within 0.5)"
    return [
        [
            found.network,
            found.cpu,
            row.label.removeprefix("edgeseg openvino-int8, "),
            _drop(row),
            *(_ratio(row.times.get("native"), found.best_nncf, clock) for clock in ("network", "frame")),
            found.best_nncf + caveat,
        ]
        for row in made
    ]


def _section(found: Findings) -> list[str]:
    native = found.about.get("native", {})
    cpu = native.get("before", {}).get("cpu", "not timed")
    lines = [f"## {found.network}, {found.cpu}\n", f"{cpu}, 2 threads. {_settings(found)}\n"]
    if not found.valid:
        lines += ["**valid: false** " + "; ".join(found.reasons) + "\n"]
    lines += _table(HEAD, [_cells(row, found.best_nncf) for row in found.rows])
    lines += ["", f"![mIoU over milliseconds]({found.stem}.svg)\n"]
    edge = [r for r in found.rows if "vnni" in r.times]
    if edge:
        lines += ["`ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI`, float with the f32 hint:\n"]
        lines += [*_table(VNNI_HEAD, [_edge_cells(row, found.best_nncf) for row in edge]), ""]
    return [*lines, *(f"- {line}" for line in _verdicts(found)), ""]


def _settings(found: Findings) -> str:
    best = next((r.label for r in found.rows if r.name == found.best_nncf), "none was made")
    if found.best_nncf and not found.nncf_keeps:
        best = f"none that was made keeps the limit; compared is the one that loses least, {best}"
    return (
        f"{found.images} calibration and {found.held_out} held-out images of CamVid train; mIoU on the "
        f"{found.val} images of val, drop against PyTorch eager. {found.macs / 1e9:.2f} GMAC. "
        f"Best NNCF variant within 0.5 points: {best}. Ratios are of times, paired, with 95% intervals."
    )


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (list(head), ["---"] * len(head), *rows)]


def _cells(row: Row, best: str) -> list[str]:
    if row.error:
        return [row.label, row.error.replace("|", "/"), *[""] * (len(HEAD) - 2)]
    times = row.times.get("native")
    return [
        row.label,
        _number(row.miou),
        _drop(row),
        *_clocks(times),
        _ratio(times, DEFAULT, "network"),
        _ratio(times, best, "network"),
        _ratio(times, best, "frame"),
        _number(row.size_mb, 1),
        _number(row.seconds, 1) + ("" if row.compressed_alone else "*"),
        _number(row.peak_mb, 0),
    ]


def _drop(row: Row) -> str:
    return f"{row.drop.drop:.2f} [{row.drop.low:.2f}, {row.drop.high:.2f}]" if row.drop else ""


def _clocks(times: Times | None) -> list[str]:
    if times is None:
        return ["", "", ""]
    return [_number(p.p50 if p else None) for p in (times.network, times.engine, times.frame)]


def _edge_cells(row: Row, best: str) -> list[str]:
    times = row.times["vnni"]
    return [
        row.label,
        _number(times.network.p50),
        _number(times.frame.p50),
        _ratio(times, DEFAULT, "network"),
        _ratio(times, best, "network"),
        f"{times.agreement:.2%}",
    ]


def _ratio(times: Times | None, other: str, clock: str) -> str:
    if times is None or other not in times.versus:
        return ""
    ratio = times.versus[other][clock]
    return f"{ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _verdicts(found: Findings) -> list[str]:
    lines = [f"{v.status}: {v.contestant}: {v.what}: {v.text}" for v in found.verdicts]
    if found.best_nncf and not found.nncf_keeps:
        lines.append(
            "no NNCF variant that was made keeps the limit of the drop: there is no time of one to beat"
        )
    good = ", ".join(winners(found.verdicts, found.nncf_keeps)) or "none"
    lines.append(f"int8 engines within all limits: {good}")
    for row in found.rows:
        if row.peak_share is not None:
            peak = found.about["native"]["int8_peak"]["best"]
            lines.append(
                f"{row.name}: {row.peak_share:.0%} of the int8 convolution peak ({peak:.2f} TMAC/s here)"
            )
        versus = row.times["native"].versus if "native" in row.times else {}
        if ratio := versus.get(found.best_nncf, {}).get("engine"):
            lines.append(
                f"{row.name}: its engine, frame to class map, takes {ratio.ratio:.3f} [{ratio.low:.3f}, "
                f"{ratio.high:.3f}] of the time of {found.best_nncf}'s network alone"
            )
    for other, ratio in found.about.get("native", {}).get("disturbance", {}).items():
        lines.append(
            f"one process: {ratio['b'].partition(' after')[0]} right after {other} takes "
            f"{ratio['ratio']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}] of its time after itself"
        )
    if not found.valid:
        lines.insert(0, "INVALID: " + "; ".join(found.reasons))
    if any(not row.compressed_alone for row in found.rows):
        lines.append("*: other programs ran while this was compressed")
    return lines
