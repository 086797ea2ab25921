"""What every file in the folder of steps keeps to, also one that is added tomorrow."""

from __future__ import annotations

import inspect
import json
from typing import get_args

import msgspec
import pytest

from edgeseg.core.bundle import Kind
from edgeseg.core.documents import convert
from edgeseg.errors import RecipeError
from edgeseg.flow.listing import schema
from edgeseg.steps import SAME, STEPS

KINDS = get_args(Kind)
EXAMPLES = {"build": {"target": "ort-fp32"}}
"""Settings that a step cannot do without."""


@pytest.fixture(params=STEPS.names())
def name(request) -> str:
    return request.param


@pytest.fixture
def step(name):
    return STEPS.load(name).step(name)


def test_the_folder_has_the_steps_of_the_mission():
    assert {"train", "export", "build"} <= set(STEPS.names())


def test_kinds_are_those_of_bundles(step):
    assert step.accepts and set(step.accepts) <= set(KINDS)
    assert step.produces in (*KINDS, SAME)


def test_settings_are_a_struct_that_states_what_it_needs(step, name):
    assert issubclass(step.settings, msgspec.Struct)
    required = {f.name for f in msgspec.structs.fields(step.settings) if f.required}
    assert required == set(EXAMPLES.get(name, {}))
    msgspec.convert(EXAMPLES.get(name, {}), step.settings)


def test_settings_survive_the_manifest(step, name):
    settings = msgspec.convert(EXAMPLES.get(name, {}), step.settings)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(settings)), step.settings) == settings


def test_a_misspelled_setting_is_refused(step, name):
    with pytest.raises(RecipeError, match="`tagret`"):
        convert({**EXAMPLES.get(name, {}), "tagret": 1}, step.settings, where="step", error=RecipeError)


def test_run_takes_the_four_things_every_step_gets(step):
    assert list(inspect.signature(step.run).parameters) == ["parent", "settings", "draft", "context"]


def test_the_schema_is_printed(step, name):
    printed = json.loads(schema("steps"))[name]
    assert printed["accepts"] == list(step.accepts) and printed["produces"] == step.produces
    (properties,) = (
        d["properties"]
        for key, d in printed["settings"]["$defs"].items()
        if printed["settings"]["$ref"].endswith(f"/{key}")
    )
    assert set(properties) == {f.encode_name for f in msgspec.structs.fields(step.settings)}


def test_an_unknown_step_suggests_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'export'"):
        STEPS.load("exprt")
