"""What calibrate select and check found -> tables, or JSON with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.cli.render import as_json, notes
from edgeseg.cli.tables import line, number, percent, table

if TYPE_CHECKING:
    from edgeseg.calibration.check import ListCheck
    from edgeseg.calibration.contract import ContractTest
    from edgeseg.calibration.select import Selection

WORST = 8


def selected(result: Selection, json: bool) -> None:
    if json:
        return as_json(result)
    line(
        f"{result.path}: {len(result.ids)} of {result.available} images of {result.dataset}/{result.split}, "
        f"{result.strategy}"
    )
    if result.classes:
        line("images by class: " + ", ".join(f"{name} {n}" for name, n in result.classes.items()))
    for left_out, chosen in result.near_duplicates[:WORST]:
        line(f"left out: {left_out} nearly equals {chosen}")
    if result.near_duplicates or result.constant:
        line(
            f"left out in all: {len(result.near_duplicates)} near-duplicates, {len(result.constant)} constant"
        )
    for name in result.disjoint_from:
        line(f"shares no image with {name}")
    notes(result.notes)
    line(f"next: `edgeseg calibrate check {result.path}` with the same data and a network")


def checked(result: ListCheck, json: bool) -> int:
    if json:
        as_json(result)
        return result.exit_code
    against = f", beside {result.held_out_images} held-out images of {result.held_out}"
    line(
        f"{result.path}: {result.images} images of {result.dataset}/{result.split}, unchanged"
        f"{against if result.held_out else ''}"
    )
    if result.classes:
        rows = [(c.name, c.images, percent(c.share), percent(c.held_out)) for c in result.classes]
        table("classes", ("class", "images", "% of pixels", "held out"), rows)
    bands = [(f"{b.low}-{b.high}", percent(b.share), percent(b.held_out)) for b in result.brightness]
    table("mean brightness", ("0-255", "% of images", "held out"), bands)
    if result.saturation:
        worst = [
            (s.tensor, s.by, number(s.low), number(s.high), number(s.held_low), number(s.held_high),
             number(100 * s.outside, 4))
            for s in result.saturation[:WORST]
        ]  # fmt: skip
        columns = ("tensor", "read by", "low", "high", "held-out low", "high", "% outside")
        table(f"worst of {len(result.saturation)} ranges", columns, worst, left=2)
    if result.contract is not None:
        _contract(result.contract)
    for name in result.disjoint_from:
        shared = [pair for pair in result.overlap if pair[1].startswith(f"{name}/")]
        line(f"shares {len(shared) or 'no'} image{'s' if len(shared) > 1 else ''} with {name}")
    notes(result.notes)
    for text in result.advice:
        line(f"advice: {text}")
    for text in result.problems:
        line(f"problem: {text}")
    line("verdict: do not use this list" if result.problems else "verdict: the list can be used")
    return result.exit_code


def _contract(test: ContractTest) -> None:
    rows = [
        (t.change, number(t.score, 1), number(t.certainty, 1), number(t.agreement, 1)) for t in test.trials
    ]
    columns = ("pixels", test.metric, "certainty", f"same {test.unit}s")
    table(f"pixel contract on {test.images} images", columns, rows)
    line(test.verdict)
