"""What there is: networks of the zoo, JSON Schemas, plug-ins."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edgeseg.core.bundle import Manifest
from edgeseg.core.plugins import unknown
from edgeseg.core.recipe import Recipe


class ZooModel(msgspec.Struct, frozen=True, kw_only=True):
    """One network of the zoo, as `edgeseg export --model` takes it."""

    name: str
    description: str
    stride: int
    input_size: tuple[int, int]
    options: dict[str, Any]


def models() -> tuple[ZooModel, ...]:
    from edgeseg.models import MODELS

    rows = []
    for name in MODELS.names():
        family = MODELS.load(name).family(name)
        rows.append(
            ZooModel(
                name=name,
                description=family.description,
                stride=family.stride,
                input_size=family.input_size,
                options=dict(family.options),
            )
        )
    return tuple(rows)


def schema(noun: str) -> str:
    """JSON Schema of `recipe`, `manifest` or `train`, or a list of plug-ins, `datasets`, `tasks` or `steps`.

    Raises:
        InputError: another noun.
    """
    if noun in ("datasets", "tasks", "steps"):
        return json.dumps(_plugins(noun), indent=2)
    kinds: dict[str, type] = {"recipe": Recipe, "manifest": Manifest}
    if noun == "train":
        from edgeseg.training.settings import TrainSettings

        kinds["train"] = TrainSettings
    if noun not in kinds:
        known = ("recipe", "manifest", "train", "datasets", "tasks", "steps")
        raise unknown(noun, known, noun="schema", listing="edgeseg schema --help")
    return json.dumps(msgspec.json.schema(kinds[noun]), indent=2)


def _plugins(noun: str) -> dict[str, Any]:
    from edgeseg.datasets import DATASETS
    from edgeseg.runtime.tasks import TASKS
    from edgeseg.steps import STEPS

    if noun == "tasks":
        return {"tasks": TASKS.names()}
    if noun == "datasets":
        return {"datasets": DATASETS.names()}
    steps = {name: STEPS.load(name).step(name) for name in STEPS.names()}
    return {
        name: {
            "accepts": step.accepts,
            "produces": step.produces,
            "settings": msgspec.json.schema(step.settings),
        }
        for name, step in steps.items()
    }
