"""Who may import whom, and when."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import tomllib

DEVICE_ZONE = ("core", "backends", "runtime", "metrics", "device")
LIGHT = {*sys.stdlib_module_names, "tomli", "numpy", "msgspec"}
ENGINES = {"onnxruntime": {"onnxruntime"}, "openvino": {"openvino"}, "tensorrt": {"tensorrt", "tensorrt_rtx"}}
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "timm",
    "cv2",
    "numpy",
    "PIL",
    "rich",
    "accelerate",
    "safetensors",
)


def imported(file: Path) -> Iterator[str]:
    """Dotted names a file imports, wherever in the file, `import_module("...")` included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: line {node.lineno} is a relative import"
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)


def test_imports_point_down(clone, run):
    result = run("python", "-c", "from importlinter.cli import lint_imports_command as c; c()", cwd=clone)
    assert result.returncode == 0, result.stdout


def modules(package: Path) -> dict[str, Path]:
    """Dotted names of all modules and their files."""
    names = {}
    for file in package.rglob("*.py"):
        dotted = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        names[dotted.removesuffix(".__init__")] = file
    return names


def targets(file: Path, known: Container[str]) -> set[str]:
    """Modules of edgeseg that a file imports, for types alone too; of a package, the module that is named."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeseg"):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else str(node.module) for name in full}
    return found


def test_no_private_module_is_imported_from_another_package(package):
    known = modules(package)
    for name, file in known.items():
        home = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
        for target in targets(file, known):
            parts = target.split(".")
            private = next((i for i, part in enumerate(parts) if part.startswith("_")), None)
            ok = private is None or parts[-1].startswith("__") or home[:private] == parts[:private]
            assert ok, f"{name} imports {target}: make it public with a name, or move it home"


LIBRARY = {
    "export",
    "quantize",
    "prune",
    "qat",
    "train",
    "build",
    "bench",
    "verify",
    "predict",
    "load",
    "run",
}
"""Functions that `import edgeseg` will give."""


def test_no_folder_has_the_name_of_a_function_of_the_library(package):
    """Importing the folder would put it in the place of the function."""
    assert not LIBRARY & {path.parent.name for path in package.glob("*/__init__.py")}


def test_no_module_imports_one_that_imports_it(package):
    known = modules(package)
    arrows = {name: targets(file, known) - {name} for name, file in known.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_one_place_assembles_engine_graphs(package):
    """merge -> compose -> typed. PTQ and QAT merge before they place pairs; nobody else types a graph."""
    found = {
        (file.name, alias.name)
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in ("typed", "merge_upsampling")
    }
    assert found == {
        ("engine_graph.py", "typed"), ("engine_graph.py", "merge_upsampling"),
        ("ptq.py", "merge_upsampling"), ("qat.py", "merge_upsampling"),
    }  # fmt: skip


NETWORKS = {".py", ".onnx", ".pt2", ".pt", ".pth"}


def test_only_model_ref_reads_how_the_name_of_a_network_ends(package):
    """No `name.endswith(".onnx")` and no `path.suffix == ".onnx"` elsewhere."""
    for file in package.rglob("*.py"):
        if file.name in ("model_ref.py", "formats.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            asks = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                (".endswith", ".removesuffix")
            )
            if asks or (isinstance(node, ast.Compare) and ".suffix" in ast.unparse(node)):
                said = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not said & NETWORKS, f"{file}:{node.lineno} reads what `ModelRef` decides"


def test_every_folder_is_in_the_drawing_of_import_arrows(clone, package):
    """The exhaustive layers of import-linter name the folders of the house: a new one cannot be forgotten."""
    config = tomllib.loads((clone / "pyproject.toml").read_text())["tool"]["importlinter"]
    drawn = {name.strip(" ()") for layer in config["contracts"][0]["layers"] for name in layer.split("|")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert config["contracts"][0]["exhaustive"]
    assert folders <= drawn


def test_device_zone_imports_only_light_packages_and_its_engine(package):
    files = [package / "errors.py", *(f for zone in DEVICE_ZONE for f in (package / zone).rglob("*.py"))]
    assert len(files) > 20
    for file in files:
        engine = next((names for key, names in ENGINES.items() if key in file.stem), set())
        allowed = LIGHT | (engine if file.parent.name == "backends" else set())
        allowed |= {"cryptography"} if file.name == "signature.py" else set()
        for name in imported(file):
            top, _, rest = name.partition(".")
            if top == "edgeseg":
                assert rest.split(".")[0] in ("", "errors", *DEVICE_ZONE), f"{file} imports {name}"
            else:
                assert top in allowed, f"{file} imports {name}"


def test_help_imports_nothing_heavy(run):
    code = (
        "import sys, json; sys.argv = ['edgeseg', '--help']\n"
        "from edgeseg.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    result = run("python", "-c", code)
    assert result.returncode == 0, result.stderr
    modules = set(json.loads(result.stdout.splitlines()[-1]))
    assert "edgeseg.cli" in modules
    assert not modules & set(HEAVY)


@pytest.mark.parametrize("module", ["edgeseg.runtime", "edgeseg.device.bench", "edgeseg.backends"])
def test_the_device_zone_imports_without_any_engine(run, module):
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    result = run("python", "-c", code)
    assert result.returncode == 0, result.stderr
    assert not set(json.loads(result.stdout)) & (set(HEAVY) - {"numpy"})


def test_public_names_of_the_runtime():
    from edgeseg import runtime

    assert sorted(runtime.__all__) == ["BitMasks", "ClassMap", "Instances", "Result", "Session", "load"]
    assert all(hasattr(runtime, name) for name in runtime.__all__)


def test_what_lets_an_engine_work_asks_a_device(package):
    """Above the devices, the engines of this machine are asked for what they state, and given as a default:
    nothing is built, opened or found to be here behind the back of the device that was named."""
    stated = {"computes", "graph", "int8", "options"}
    for part in set(package.iterdir()) - {package / name for name in (*DEVICE_ZONE, "devices")}:
        for file in part.rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            used = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "backend_for"]
            signatures = [n for n in ast.walk(tree) if isinstance(n, ast.arguments)]
            allowed = [d for one in signatures for d in (*one.defaults, *one.kw_defaults)]
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Call)
                    and node.attr in stated
                ):
                    allowed.append(node.value.func)
            for name in used:
                assert name in allowed, f"{file}, line {name.lineno}: ask the device"
