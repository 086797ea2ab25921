"""What the lift covers, found by running the node tests of the `onnx` wheel through it."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, numpy_helper

from edgeseg.core.ports import Array, Progress, silent
from edgeseg.errors import GraphError, MissingDependency
from edgeseg.graph.lift.build import lift
from edgeseg.graph.lift.registry import CONVERTERS
from edgeseg.graph.reference import run, session

HALF_TOLERANCE = 1e-2
"""For half-precision cases, which are computed in float32."""


@dataclass(frozen=True)
class Coverage:
    """
    Attributes:
        operators: those with a converter.
        passed: names of node tests whose outputs agree in value, shape and type.
        refused: node test -> why it is not lifted.
        disputed: node tests whose outputs differ from ONNX Runtime's, which the lift agrees with.
        failed: node test -> what differs.
    """

    operators: tuple[str, ...]
    passed: tuple[str, ...]
    refused: dict[str, str]
    disputed: tuple[str, ...]
    failed: dict[str, str]

    def __str__(self) -> str:
        return (
            f"{len(self.operators)} operators, {len(self.passed)} node tests passed, "
            f"{len(self.disputed)} passed against ONNX Runtime only, "
            f"{len(self.refused)} refused, {len(self.failed)} failed"
        )


def report(operators: Collection[str] = (), progress: Progress = silent) -> Coverage:
    """Run the node tests of `onnx`.

    A test is lifted three times: with its first input as the network's and the others as initialisers,
    with all inputs dynamic, and with all constant. It passes when at least one of them is lifted and all
    that are lifted agree with the test's outputs; it is refused when none is.

    Args:
        operators: only tests that use one of these; all if empty.

    Raises:
        MissingDependency: the node tests need what the `onnx` wheel does not bring.
    """
    cases = [c for c in node_tests() if not operators or operators_of(c.model) & set(operators)]
    verdicts = {}
    for number, case in enumerate(cases):
        progress("node tests", number, len(cases))
        verdicts[case.name] = run_case(case)
    passed, disputed = (
        tuple(name for name, (verdict, _) in verdicts.items() if verdict == kind)
        for kind in ("passed", "disputed")
    )
    refused, failed = (
        {name: why for name, (verdict, why) in verdicts.items() if verdict == kind}
        for kind in ("refused", "failed")
    )
    return Coverage(tuple(sorted(CONVERTERS)), passed, refused, disputed, failed)


def node_tests() -> list[Any]:
    """The node tests with a model and data, as `onnx.backend.test.case.test_case.TestCase`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from onnx.backend.test.case.node import collect_testcases
        except ImportError as missing:
            raise MissingDependency(missing.name or "onnx", "dev", needed_for="the node tests") from missing
        return [case for case in collect_testcases(None) if case.model is not None and case.data_sets]


def operators_of(model: ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def run_case(case: Any) -> tuple[str, str]:
    """passed, disputed, refused or failed, and why."""
    reason, verdict = "", "refused"
    for model, feeds, outputs in _attempts(case):
        try:
            module = lift(model)
        except GraphError as why:
            reason = reason or why.message
            continue
        wrong = _difference(module, feeds, outputs, case)
        if wrong and not _difference(module, feeds, _in_onnxruntime(case), case):
            return "disputed", wrong
        if wrong:
            return "failed", wrong
        verdict = "passed"
    return verdict, reason if verdict == "refused" else ""


def _in_onnxruntime(case: Any) -> list[Array]:
    inputs = [_array(value) for value in case.data_sets[0][0]]
    feeds = dict(zip((i.name for i in case.model.graph.input), inputs))
    return list(run(session(case.model, threads=1), feeds).values())


def _attempts(case: Any) -> Iterator[tuple[ModelProto, list[Array], list[Array]]]:
    inputs, outputs = ([_array(v) for v in values] for values in case.data_sets[0])
    names = [i.name for i in case.model.graph.input]
    if not all(isinstance(v, np.ndarray | np.generic) for v in [*inputs, *outputs]):
        yield case.model, [], []
        return
    for dynamic in {min(1, len(names)): 0, len(names): 0, 0: 0}:
        model = ModelProto.FromString(case.model.SerializeToString())
        for info, value in list(zip(case.model.graph.input, inputs))[dynamic:]:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), info.name))
        del model.graph.input[dynamic:]
        yield model, inputs[:dynamic], outputs


def _difference(module: torch.nn.Module, feeds: list[Array], outputs: list[Array], case: Any) -> str:
    half = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    types = {v.type.tensor_type.elem_type for v in (*case.model.graph.input, *case.model.graph.output)}
    tolerance = HALF_TOLERANCE if types & half else 0.0
    with torch.no_grad():
        results = module(*[_tensor(f) for f in feeds])
    for got, wanted in zip(results if isinstance(results, tuple) else (results,), outputs):
        expected = _tensor(wanted)
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return f"{got.dtype} {list(got.shape)} instead of {expected.dtype} {list(expected.shape)}"
        near = torch.isclose(
            got.double(), expected.double(), case.rtol + tolerance, case.atol + tolerance, equal_nan=True
        )
        if not near.all():
            return f"off by up to {(got.double() - expected.double()).abs().max():.3g}"
    return ""


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _tensor(value: Array) -> torch.Tensor:
    half = value.dtype == np.float16 or value.dtype.name == "bfloat16"
    return torch.from_numpy(np.array(value, np.float32 if half else None))
