"""A task is one file per layer: nobody else asks which it is."""

from __future__ import annotations

import ast

LAYERS = ("runtime", "graph", "metrics", "datasets", "training")


def literal(node: ast.AST) -> bool:
    """Whether a string, or a collection of strings, is written out."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(map(literal, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def names_a_task(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "task") or (
        isinstance(node, ast.Name) and node.id == "task"
    )


def test_no_task_is_compared_with_a_name_outside_its_folders(package):
    for file in package.rglob("*.py"):
        if file.parent.name == "tasks":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            subjects = []
            if isinstance(node, ast.Compare):
                subjects = [node.left, *node.comparators]
            elif isinstance(node, ast.Match):
                subjects = [node.subject, ast.Constant("")]
            asked = any(map(names_a_task, subjects)) and any(map(literal, subjects))
            assert not asked, f"{file}, line {node.lineno}: ask the task, in its file per layer"


def test_every_layer_knows_the_same_tasks(package):
    from edgeseg.core.plugins import PluginFolder

    known = {layer: set(PluginFolder(f"edgeseg.{layer}.tasks", "", listing="").names()) for layer in LAYERS}
    assert all(names == {"semantic", "multilabel", "instance"} for names in known.values()), known
