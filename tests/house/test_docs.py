"""The documentation says what is there."""

from __future__ import annotations

import re

import pytest
import tomllib
import typer

from edgeseg.cli.app import app
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess


def leaves(group, prefix: str = "") -> dict:
    """Name -> command; commands of a group are named `group command`."""
    found = {}
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        found |= leaves(command, f"{prefix}{name} ") if inner else {f"{prefix}{name}": command}
    return found


COMMANDS = leaves(typer.main.get_command(app))


def section(clone, heading: str) -> str:
    text = (clone / "docs" / "commands.md").read_text()
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/commands.md has no section '## {heading}'"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_an_example_and_its_options(clone, name):
    text = section(clone, name)
    assert f"    edgeseg {name}" in text
    documented = set(re.findall(r"^\| `(--[\w-]+)", text, flags=re.MULTILINE))
    options = {p.opts[0] for p in COMMANDS[name].params if p.opts[0].startswith("--")} - {"--help"}
    assert documented == options


def test_no_command_is_documented_that_is_not_there(clone):
    text = (clone / "docs" / "commands.md").read_text()
    headings = re.findall(r"^## ([a-z][a-z ]*)$", text, flags=re.MULTILINE)
    assert set(headings) == set(COMMANDS)


def test_every_option_of_the_device_commands_is_documented(clone):
    from edgeseg.device.commands import _parser

    text = section(clone, "python -m edgeseg.device")
    for name, parser in next(a for a in _parser()._actions if a.choices).choices.items():
        usage = re.search(rf"edgeseg\.device {name}(.*?)(?=python -m|\Z)", text, re.DOTALL)[1]
        for option in re.findall(r"--[\w-]+", parser.format_usage()):
            assert option in usage or f"`{option}" in text.partition("python -m")[0]


def test_every_field_of_the_pixel_contract_is_documented(clone):
    text = section(clone, "The pixel contract").partition("\n### ")[0]
    documented = {
        key for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for key in row.split("`")[1::2]
    }
    assert documented == {*Preprocess.__struct_fields__, *Postprocess.__struct_fields__, "task"}


def test_toml_of_the_documentation_is_read(clone):
    from edgeseg.core.documents import convert
    from edgeseg.core.recipe import Recipe
    from edgeseg.datasets.classes import DatasetFile

    text = (clone / "docs" / "commands.md").read_text()
    recipe, dataset, things = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert convert(tomllib.loads(recipe), Recipe, where="commands.md").budget.max_class_drop == {
        "pedestrian": 1.0
    }
    assert convert(tomllib.loads(dataset), DatasetFile, where="commands.md").class_infos()[0].name == "road"
    assert convert(tomllib.loads(things), DatasetFile, where="commands.md").label_task == "instance"


def test_links_between_documents_lead_somewhere(clone):
    pages = [*clone.glob("*.md"), *(clone / "docs").glob("*.md"), *clone.glob("benchmarks/*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_error_tree_is_drawn_as_it_is():
    from edgeseg import errors

    drawn = dict(re.findall(r"([A-Z]\w+)\s+exit (\d)", errors.__doc__))
    there = {
        n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.EdgesegError)
    }
    assert {name: str(kind.exit_code) for name, kind in there.items()} == drawn
