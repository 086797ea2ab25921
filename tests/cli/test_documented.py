"""Each example of docs/commands.md is parsed and reaches the function that does the work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"
EXAMPLES = re.findall(r"^    edgeseg ((?!COMMAND).+)$", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
WORK = {
    "models": "edgeseg.flow.listing.models",
    "targets": "edgeseg.device.describe.describe",
    "doctor": "edgeseg.flow.doctor.doctor",
    "schema": "edgeseg.flow.listing.schema",
    "train": "edgeseg.flow.train.train",
    "export": "edgeseg.flow.make.export",
    "quantize": "edgeseg.flow.quantize.quantize",
    "build": "edgeseg.flow.build.build",
    "sign": "edgeseg.runtime.signature.sign",
    "bench": "edgeseg.flow.bench.bench",
    "verify": "edgeseg.flow.prove.verify_bundle",
    "predict": "edgeseg.prediction.predict.predict",
    "inspect": "edgeseg.flow.inspect.inspect",
    "plan": "edgeseg.flow.plan.make_plan",
    "run": "edgeseg.flow.run.run",
}


class Reached(BaseException):
    def __init__(self, *arguments: object, **options: object) -> None:
        self.arguments = arguments


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.split()[0] in WORK])
def test_example(edgeseg, monkeypatch, example):
    from edgeseg.core.documents import convert
    from edgeseg.core.postprocess import Postprocess
    from edgeseg.core.preprocess import Preprocess
    from edgeseg.core.recipe import Recipe
    from edgeseg.flow.plan import planned_target

    def work(*arguments: object, **options: object) -> None:
        raise Reached(*arguments)

    command, *arguments = shlex.split(example)
    monkeypatch.setattr("edgeseg.runtime.signature.require_signature", lambda *_: None)
    monkeypatch.setattr(WORK[command], work)
    if command == "run":
        arguments = [Path(a).stem if a.endswith(".toml") else a for a in arguments]
    with pytest.raises(Reached) as reached:
        edgeseg(command, *arguments)
    for recipe in (a for a in reached.value.arguments if isinstance(a, Recipe)):
        convert(recipe.model.preprocess, Preprocess, where="preprocess")
        convert(recipe.model.postprocess, Postprocess, where="postprocess")
        given = [choice.target for choice in recipe.choices]
        assert [planned_target(choice).target for choice in recipe.choices] == given


def test_every_command_has_an_example():
    assert {e.split()[0] for e in EXAMPLES} >= set(WORK)
