"""No part but the owners of pixels knows how many channels a frame has: `Frame` tells."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "edgeseg"
CONVERTS = {"datasets/decode.py"}
"""Where an image file becomes colours."""
OWNERS = {
    "datasets/drawing.py": "pictures to look at are RGB",
    "datasets/tasks/multilabel.py": "pictures to look at are RGB",
    "datasets/patterns.py": "generated RGB, which `imitated` turns into frames",
    "datasets/pictures.py": "Pillow resizes RGB of 8 bits at once",
    "datasets/hashing.py": "Pillow's grey of RGB is what recorded lists hold",
    "datasets/framed.py": "grey to colours and back",
}
"""Files that may write a shape of three channels, and why."""
FILES = sorted(path for path in ROOT.rglob("*.py") if not path.name.startswith("_street"))


def _three(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == 3 and type(node.value) is int


def _is_shape(node: ast.AST) -> bool:
    """(N, 3, H, W), (1, 3, *size), (H, W, 3) or (*size, 3); `zeros(1, 3, *size)`."""
    if not isinstance(node, (ast.Tuple, ast.List, ast.Call)):
        return False
    items = node.args if isinstance(node, ast.Call) else node.elts
    if any(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in items):
        return False
    literal = all(isinstance(item, ast.Constant) for item in items)
    stars = any(isinstance(item, ast.Starred) for item in items)
    first = len(items) > 1 and _three(items[1]) and (len(items) == 4 or stars)
    last = len(items) > 1 and _three(items[-1]) and (len(items) > 2 or stars)
    return not literal and (first or (last and not isinstance(node, ast.Call)))


def _asks_for_three(node: ast.AST) -> bool:
    """`x.shape[i] == 3`"""
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    shapes = any(
        isinstance(side, ast.Subscript)
        and isinstance(side.value, ast.Attribute)
        and side.value.attr == "shape"
        for side in sides
    )
    return shapes and any(map(_three, sides))


def _converts(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "convert"
        and any(isinstance(a, ast.Constant) and a.value == "RGB" for a in node.args)
    )


def found(source: str) -> list[tuple[int, str]]:
    """Lines that decide how many channels pixels have: (line, `shape` or `convert`)."""
    result = []
    for node in ast.walk(ast.parse(source)):
        if _is_shape(node) or _asks_for_three(node):
            result.append((node.lineno, "shape"))
        if _converts(node):
            result.append((node.lineno, "convert"))
    return result


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_owners_of_pixels_know_three_channels(path):
    name = path.relative_to(ROOT).as_posix()
    wrong = [
        line
        for line, kind in found(path.read_text())
        if name not in (CONVERTS if kind == "convert" else OWNERS)
    ]
    assert not wrong, f"{name}: lines {wrong} write 3 channels; ask Frame or ModelSpec.input_shape"


SHAPES = (
    "np.zeros((n, 3, h, w))",
    "torch.zeros(1, 3, *size)",
    "f((1, 3, *size))",
    "np.empty((*size, 3))",
    "x.shape[2] != 3",
)


@pytest.mark.parametrize("source", SHAPES)
def test_the_rule_sees_shapes(source):
    assert found(source)


def test_the_rule_sees_conversions_and_lets_others_be():
    assert found('image.convert("RGB")') == [(1, "convert")]
    assert not found('pads = (1, 1, 3)\nimage.convert("L")\nx.shape[1] == 4')


def test_every_owner_is_there():
    assert not [name for name in {*CONVERTS, *OWNERS} if not (ROOT / name).is_file()]
