"""Networks from the user's own files: `path/to/net.py:factory` and exported programs (`.pt2`)."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_ref import ModelRef
from edgeseg.core.model_spec import Option
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.models._common import DEFAULT_CLASS_COUNT

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.core.preprocess import Shape


IN_CODE = "this is an error in your network's code"


def split_ref(ref: str) -> tuple[Path, str]:
    """`path/to/net.py:factory` as (file, factory). Raises ModelError when it has another form."""
    parsed = ModelRef.parse(ref)
    if parsed.path is None or not parsed.runs_code:
        raise ModelError(f"'{ref}' is not a network", expected="path/to/net.py:factory")
    if not parsed.path.is_file():
        raise ModelError(f"{parsed.path} does not exist", expected="a Python file with a factory function")
    return parsed.path.resolve(), parsed.factory


def load_factory(ref: str) -> Callable[..., nn.Module]:
    """Import the user's file (this runs it) and return its factory.

    Raises:
        ModelError: the file fails, with its line, or has no such factory.
    """
    path, name = split_ref(ref)
    with users_code(path):
        module = _import(path)
    factory = getattr(module, name, None)
    if not callable(factory):
        found = [n for n, v in vars(module).items() if inspect.isfunction(v) or inspect.isclass(v)]
        raise ModelError(
            f"{path} has no factory '{name}'", expected=f"one of {', '.join(found) or 'no function is there'}"
        )
    return factory


def classes_for(factory: Callable[..., Any], count: int | None) -> dict[str, Option]:
    """The keyword `classes`, if the factory has it and a count is known or it has no default."""
    parameter = _parameters(factory).get("classes")
    if parameter is None or (count is None and parameter.default is not parameter.empty):
        return {}
    return {"classes": count or DEFAULT_CLASS_COUNT}


def call_factory(ref: str, factory: Callable[..., Any], options: Mapping[str, Option]) -> nn.Module:
    """The network `factory(**options)` returns.

    Raises:
        ModelError: options it does not take, an error in the user's code, or no nn.Module.
    """
    from torch import nn

    path, name = split_ref(ref)
    parameters = _parameters(factory)
    unknown = [o for o in options if o not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise ModelError(
            f"{name} in {path} does not take the option '{unknown[0]}'",
            expected=f"one of {', '.join(parameters)}",
        )
    with users_code(path):
        network = factory(**options)
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} in {path} returned {type(network).__name__}", expected="a torch.nn.Module")
    return network


def load_program(path: Path) -> tuple[nn.Module, Shape | None]:
    """A `.pt2` file as a module, and the (channels, height, width) it was exported with. It may run code.

    Raises:
        ModelError: not a readable exported program.
    """
    import torch

    try:
        program: Any = torch.export.load(path)
        module = program.module()
    except Exception as fault:  # a broken archive fails anywhere inside torch
        raise ModelError(
            f"{path} is no readable exported program: {fault}", hint="write it with torch.export.save"
        ) from fault
    inputs: Any = program.example_inputs
    examples = inputs[0] if inputs else ()
    shape: tuple[int, ...] = next((v.shape for v in examples if isinstance(v, torch.Tensor)), ())
    return module, (int(shape[1]), int(shape[2]), int(shape[3])) if len(shape) == 4 else None


@contextmanager
def users_code(
    path: Path, expected: str = "", hint: Callable[[BaseException], str] = lambda _: IN_CODE
) -> Iterator[None]:
    """Run the user's code: its folder is importable, an error becomes one ModelError with file and line.

    Args:
        expected: of the code, as the error tells it; `hint`: what to do about it.
    """
    sys.path.insert(0, str(path.parent))
    try:
        yield
    except EdgesegError:
        raise
    except SyntaxError as fault:
        raise ModelError(f"{fault.filename}:{fault.lineno}: SyntaxError: {fault.msg}") from fault
    except (Exception, SystemExit) as fault:
        frames = traceback.extract_tb(fault.__traceback__)
        own = [f for f in frames if Path(f.filename).parent == path.parent] or frames
        text = str(fault).strip() or "no message"
        raise ModelError(
            f"{own[-1].filename}:{own[-1].lineno}: {type(fault).__name__}: {text}",
            expected=expected,
            hint=hint(fault),
        ) from fault
    finally:
        sys.path.remove(str(path.parent))


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(factory).parameters


def _forget_namesakes(folder: Path) -> None:
    """Forget modules of the same names that another user's file brought from beside itself."""
    own = {f.stem: f for f in folder.glob("*.py")} | {f.parent.name: f for f in folder.glob("*/__init__.py")}
    installed = {Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    for name in own.keys() & sys.modules.keys() - {"__main__"}:
        found = getattr(sys.modules[name], "__file__", None)
        if found and Path(found) != own[name] and not installed.intersection(Path(found).parents):
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[module]


def _import(path: Path) -> Any:
    """Import a file under a name of its own, with the helper modules that stand beside it."""
    _forget_namesakes(path.parent)
    name = f"edgeseg_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
