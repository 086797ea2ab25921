"""torch -> ONNX: one static, simplified graph per network."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from edgeseg.core.preprocess import Shape
from edgeseg.errors import GraphError, MissingDependency
from edgeseg.graph.functions import without_functions
from edgeseg.graph.operators import refuse_indices, refuse_training
from edgeseg.graph.simplify import simplify

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

INPUT = "image"
OUTPUT = "scores"
_QUIET = ("torch.onnx", "torch.export", "torch._dynamo", "torch.fx", "onnxscript", "onnx_ir")


def export_torch(module: nn.Module, shape: Shape, *, batch: int = 1, opset: int = 18) -> ModelProto:
    """Export with `torch.onnx.export(dynamo=True)` and simplify. Prints nothing.

    Without torch's own optimiser: it takes `x + 1e-8` for `x`.

    Args:
        module: takes float32 [batch, *shape] and returns a tensor, or a tuple, list or
            dict of tensors. Exported in eval mode; its mode is restored.

    Returns:
        A graph with the input `image`. A single output is `scores`; several are named by their
        dict keys, or `scores_0`, `scores_1`, ...

    Raises:
        GraphError: torch cannot export the module; names the operator or the line of the network.
        UnsupportedOperator: pooling with indices, or BatchNormalization or Dropout in training mode.
        MissingDependency: torch or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError as fault:
        raise MissingDependency(fault.name or "torch", "train", needed_for="exporting a network") from None
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    image = torch.zeros((batch, *shape), device=device)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), _silence():
            names = _output_names(module, image)
            program = torch.onnx.export(
                module,
                (image,),
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT],
                output_names=names,
                verbose=False,
                optimize=False,
            )
    except GraphError:
        raise
    except Exception as fault:  # torch raises many unrelated types here
        raise GraphError(
            f"the network cannot be exported to ONNX: {reason(fault)}",
            expected="operators that torch.onnx knows, and no Python branch on tensor values",
            hint="rewrite that line of the network, or export it yourself and pass the .onnx file",
        ) from fault
    finally:
        module.train(was_training)
    assert program is not None
    model = without_functions(program.model_proto)
    refuse_indices(model)
    refuse_training(model)
    return simplify(model)


def reason(fault: BaseException) -> str:
    """What torch complains about, in one line, and the line of the user's network where it arose."""
    chain = [fault]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    root = chain[-1]
    text = " ".join(str(root).split("Stack trace")[0].split())
    frames = [f for e in chain for f in traceback.extract_tb(e.__traceback__) if not _library(f.filename)]
    where = f" (in {frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    return f"{text[:300] or type(root).__name__}{where}"


def _library(file: str) -> bool:
    return any(part in file for part in ("site-packages", "dist-packages", "<", "edgeseg/graph"))


def _output_names(module: nn.Module, image: Any) -> list[str]:
    import torch
    from torch.utils._pytree import tree_flatten_with_path

    leaves, _ = tree_flatten_with_path(module(image))
    wrong = [type(value).__name__ for _, value in leaves if not isinstance(value, torch.Tensor)]
    if wrong or not leaves:
        raise GraphError(
            f"the network returns {', '.join(wrong) or 'nothing'}",
            expected="tensors [N,C,H,W], or a dict of them",
        )
    if len(leaves) == 1:
        return [OUTPUT]
    keys = [path[0].key if len(path) == 1 and hasattr(path[0], "key") else None for path, _ in leaves]
    return [str(k) if k is not None else f"{OUTPUT}_{i}" for i, k in enumerate(keys)]


@contextmanager
def _silence() -> Iterator[None]:
    """No warnings, no log lines, no text on standard output while torch exports."""
    loggers = [logging.getLogger(name) for name in _QUIET]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
