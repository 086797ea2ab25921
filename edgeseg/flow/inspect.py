"""What is inside a bundle or an ONNX file."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeseg.core.bundle import Bundle, Check, EngineRecord, Golden, Parent, StepRecord, TensorInfo
from edgeseg.core.cache import engine_cache
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Layer
from edgeseg.errors import (
    BundleError,
    CheckpointError,
    EngineMismatch,
    InputError,
    MissingDependency,
    MissingDevice,
)

if TYPE_CHECKING:
    from onnx import ModelProto

    from edgeseg.graph.info import GraphInfo

    _Graphs = tuple[GraphInfo | None, GraphInfo | None, "Tensors", "Tensors", tuple[str, ...]]

Tensors = tuple[TensorInfo, ...]
DYNAMIC_NOTE = "the input has open dimensions (-1): MACs that depend on them are not counted"
PROFILE_WARM_UP = 3
"""Runs before the times of layers are read: the engine tells those of the last one."""


class WeightsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of a safetensors file: how many values, and how many of them per dtype.

    Running statistics of BatchNorm are among them; in an ONNX graph they are folded away.
    """

    file: str
    tensors: int
    values: int
    dtypes: dict[str, int]


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        kind: `onnx-file`, or the kind of the bundle.
        size_mb: of all files in 10^6 bytes; `engine_mb`: of those the device needs.
        inputs, outputs: of the engine; of the graph where there is none.
        model: network, classes and the contract of its pixels.
        graph: the plain network; `deploy`: the typed graph with pre- and post-processing.
        weights: of a `torch` bundle.
        layers: of the built engine, as it tells them; with times after `profile`.
        lineage: the bundle it was made from; `step`: by what.
        golden: what its self-check compares and shows.
    """

    path: str
    kind: str
    name: str
    size_mb: float
    engine_mb: float | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    model: ModelSpec | None = None
    graph: GraphInfo | None = None
    deploy: GraphInfo | None = None
    weights: WeightsInfo | None = None
    engine: EngineRecord | None = None
    layers: tuple[Layer, ...] = ()
    lineage: tuple[Parent, ...] = ()
    step: StepRecord | None = None
    checks: tuple[Check, ...] = ()
    golden: Golden | None = None
    tools: dict[str, str] = {}
    notes: tuple[str, ...] = ()


def inspect(path: Path, *, profile: bool = False) -> Inspection:
    """Look into a bundle of any kind or an ONNX file.

    Without `profile` an engine that cannot be opened here is only noted.

    Args:
        profile: run the engine and add the time of each layer.

    Raises:
        BundleError: not a bundle, a changed one, or `profile` of one without an engine.
        GraphError: not a readable ONNX file.
        MissingDependency, MissingDevice: `profile` where the engine cannot run; an ONNX file without `onnx`.
    """
    if path.is_file():
        if profile:
            raise InputError(f"{path} has no engine to profile", expected="an engine bundle")
        return _onnx_file(path)
    bundle = Bundle.open(path)
    if profile and bundle.manifest.kind != "engine":
        raise BundleError(
            f"{path} is a bundle of kind '{bundle.manifest.kind}', there is nothing to profile",
            expected="an 'engine' bundle",
        )
    return _bundle(bundle, profile)


def _onnx_file(path: Path) -> Inspection:
    facts, inputs, outputs, broken = _read_graph(path)
    notes = [f"WARNING: the weight '{name}' holds {fault}: export refuses it" for name, fault in broken]
    if any(-1 in tensor.shape for tensor in inputs):
        notes.append(DYNAMIC_NOTE)
    return Inspection(
        path=str(path),
        kind="onnx-file",
        name=path.stem,
        size_mb=path.stat().st_size / 1e6,
        inputs=inputs,
        outputs=outputs,
        graph=facts,
        notes=tuple(notes),
    )


def _bundle(bundle: Bundle, profile: bool) -> Inspection:
    manifest, record = bundle.manifest, bundle.manifest.engine
    graph, deploy, inputs, outputs, notes = _graphs(bundle)
    layers: tuple[Layer, ...] = ()
    if record is not None:
        inputs, outputs = record.inputs or inputs, record.outputs or outputs
    if manifest.kind == "engine":
        layers, more = _layers(bundle, profile)
        notes += more
    return Inspection(
        path=str(bundle.path),
        kind=manifest.kind,
        name=manifest.name,
        size_mb=sum(entry.size for entry in manifest.files.values()) / 1e6,
        engine_mb=bundle.engine_size() / 1e6 if record is not None and record.entry else None,
        inputs=inputs,
        outputs=outputs,
        model=manifest.model,
        graph=graph,
        deploy=deploy,
        weights=_weights(bundle.file(manifest.weights)) if manifest.weights else None,
        engine=record,
        layers=layers,
        lineage=(manifest.parent,) if manifest.parent else (),
        step=manifest.step,
        checks=manifest.checks,
        golden=manifest.golden,
        tools=manifest.tools,
        notes=(*manifest.sentences(), *notes),
    )


def _graphs(bundle: Bundle) -> _Graphs:
    """Plain and deploy graph of a bundle, and the signature of the one nearest to the device."""
    plain = deploy = None
    inputs: Tensors = ()
    outputs: Tensors = ()
    try:
        if bundle.manifest.graph:
            plain, inputs, outputs, _ = _read_graph(bundle.file(bundle.manifest.graph))
        if bundle.manifest.engine is not None:
            deploy, inputs, outputs, _ = _read_graph(bundle.file(bundle.manifest.engine.graph))
    except MissingDependency as missing:
        return plain, deploy, inputs, outputs, (f"graphs not read: {missing.message}; {missing.hint}",)
    return plain, deploy, inputs, outputs, ()


def _read_graph(path: Path) -> tuple[GraphInfo, Tensors, Tensors, list[tuple[str, str]]]:
    """Facts and signature of an ONNX file as it is, its broken weights: dynamic dimensions are -1."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise MissingDependency("onnx", "train", needed_for="reading an ONNX graph") from None
    from edgeseg.graph.info import graph_info
    from edgeseg.graph.onnx_file import broken_weights, open_onnx, readable

    model = open_onnx(path)
    with readable(path):
        _constants_to_initializers(model)
        facts, broken = graph_info(model), list(broken_weights(model))
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_tensor(v) for v in model.graph.input if v.name not in constants)
    return facts, inputs, tuple(_tensor(v) for v in model.graph.output), broken


def _constants_to_initializers(model: ModelProto) -> None:
    """Exporters that write weights as Constant nodes mean parameters."""
    kept = []
    for node in model.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            model.graph.initializer.add().CopyFrom(value)
            model.graph.initializer[-1].name = node.output[0]
        else:
            kept.append(type(node).FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _tensor(value: Any) -> TensorInfo:
    from edgeseg.graph.info import dtype_name

    kind = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return TensorInfo(value.name, dtype_name(kind.elem_type), dims)


def _layers(bundle: Bundle, profile: bool) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Layers as the engine tells them, with times of one run if asked; else a note on why there are none."""
    from edgeseg.runtime import load

    try:
        warm_up = PROFILE_WARM_UP if profile else 0
        opened = load(bundle.path, cache=engine_cache(), check=False, warm_up=warm_up, profile=profile)
        with opened as session:
            layers, notes = session.engine.layers(), session.notes
    except (MissingDevice, MissingDependency, EngineMismatch) as missing:
        if profile:
            raise
        return (), (f"layers of the engine not read: {missing.message}",)
    if not layers:
        notes += (f"the engine of {bundle.engine.target} does not tell its layers",)
    return layers, notes


def _weights(path: Path) -> WeightsInfo:
    """Read the header of a safetensors file: 8 bytes of length, then JSON
    (https://github.com/huggingface/safetensors#format)."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        dtypes: Counter[str] = Counter()
        for entry in header.values():
            dtypes[entry["dtype"]] += math.prod(entry["shape"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointError(
            f"{path} is not a safetensors file: {fault}", hint="make the bundle again"
        ) from fault
    return WeightsInfo(file=path.name, tensors=len(header), values=sum(dtypes.values()), dtypes=dict(dtypes))
