"""A report as text: one row per target, what PyTorch takes, int8 beside half precision."""

from __future__ import annotations

from collections.abc import Iterator

from _gpu.plan import int8_pairs
from _gpu.record import Pair, Proof, Report

HEADS = ("target", "status", "mIoU", "drop", "equal", "device ms", "host ms")


def table(report: Report) -> str:
    """Ratios are times over times of neighbouring blocks: above 1 the engine is faster. `?`: not valid."""
    names = [rival.name for rival in report.rivals]
    rows = [(*HEADS, *(f"x {name}" for name in names))]
    rows += [_row(proof, names, report.pairs) for proof in report.proofs]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join((_title(report), "", *lines, "", *_int8(report), *_reasons(report)))


def _title(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    height, width = report.camera_size
    return (
        f"{report.gpu or report.cpu} ({versions}); frames of {height}x{width}, {report.frames} scored; "
        f"{report.seconds:.0f} s of {report.allowed_seconds:.0f}"
    )


def _row(proof: Proof, rivals: list[str], pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    timed = proof.measurement
    mark = "" if timed is None or timed.valid else "?"
    return (
        proof.target,
        proof.status if proof.built in ("", proof.target) else f"{proof.status}, as {proof.built}",
        "-" if proof.score is None else f"{100 * proof.score:.2f}",
        "-"
        if proof.drop is None
        else f"{proof.drop.value:.2f} [{proof.drop.low:.2f}, {proof.drop.high:.2f}]",
        "-" if proof.agreement is None else f"{proof.agreement:.2%}",
        "-" if timed is None else f"{timed.device.p50:.3f}{mark}",
        "-" if timed is None else f"{timed.host.p50:.3f}{mark}",
        *(_ratio(pairs, rival, proof.target) for rival in rivals),
    )


def _ratio(pairs: tuple[Pair, ...], a: str, b: str) -> str:
    found = next((p.ratio for p in pairs if (p.a, p.b) == (a, b) and p.ratio), None)
    if found is None:
        return "-"
    return f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]{'' if found.valid else '?'}"


def _int8(report: Report) -> Iterator[str]:
    """A bundle made elsewhere becomes the faster of its two engines: then its own note tells the ratio."""
    proofs = {proof.target: proof for proof in report.proofs}
    for half, int8 in int8_pairs(tuple(proofs)):
        yield f"{half} over {int8}: {_ratio(report.pairs, half, int8)} (above 1: int8 is faster)"
        yield from proofs[int8].gate


def _reasons(report: Report) -> Iterator[str]:
    named = [
        *((proof.target, proof) for proof in report.proofs),
        *((rival.name, rival) for rival in report.rivals),
        *((f"{pair.a} / {pair.b}", pair) for pair in report.pairs),
    ]
    for name, found in named:
        if found.status != "passed":
            first, *rest = (found.reason or "not told").splitlines()
            yield "\n".join((f"{name}: {found.status}: {first}", *(f"    {line}" for line in rest)))
    for proof in report.proofs:
        for reason in proof.measurement.reasons if proof.measurement else ():
            yield f"{proof.target}: time not valid: {reason}"
