"""ONNX -> TensorRT plan, strongly typed: the graph says every precision."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.backends._cache_files import keep, read_if_whole, writable
from edgeseg.backends._onnx_io import read_signature, unsupported
from edgeseg.backends._tensorrt_package import Distribution, capabilities, make_logger
from edgeseg.core.bundle import TensorInfo
from edgeseg.core.documents import convert
from edgeseg.core.ports import BuildSettings, Progress
from edgeseg.core.target import Target
from edgeseg.errors import GraphError

MOST_WORKSPACE_MB = 1 << 20


class TensorRtOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        workspace_mb: scratch memory the builder may use; 0: the engine's default.
        cuda_graph: replay the inference as one CUDA graph.
    """

    workspace_mb: int = 0
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.workspace_mb <= MOST_WORKSPACE_MB:
            raise ValueError(
                f"workspace_mb is {self.workspace_mb}, expected megabytes, from 0 (the engine's default) to "
                f"{MOST_WORKSPACE_MB:,}"
            )


def build_options(settings: BuildSettings) -> TensorRtOptions:
    """Raises InputError for options that TensorRT does not have."""
    return convert(settings.options, TensorRtOptions, where="the build options of TensorRT")


class Plan:
    """A serialized engine with its signature as the parser understood it."""

    def __init__(self, data: Any, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...]) -> None:
        self.data = data
        self.inputs = inputs
        self.outputs = outputs


def build_plan(
    kind: Distribution, trt: Any, graph: Path, target: Target, settings: BuildSettings, progress: Progress
) -> Plan:
    """
    Raises:
        UnsupportedOperator: names operator and node.
        GraphError: the file is broken, or the builder gave up.
        TargetError: a compute capability that TensorRT-RTX does not have.
    """
    read_signature(graph)
    wanted = capabilities(trt, target) if kind.ahead_of_time else ()
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network, _parser = _parsed(kind, trt, graph, builder, logger)
    cast_to_uint8_from_float(trt, network)

    config = builder.create_builder_config()
    _configure(trt, config, target, settings, wanted)
    timing = None if kind.ahead_of_time else _TimingCache(trt, config, target, settings)
    monitor, watch = _progress_monitor(trt, progress, f"{target}: building")
    config.progress_monitor = monitor
    data = builder.build_serialized_network(network, config)
    watch.raise_cancelled()
    if data is None:
        raise _builder_error(kind, logger.errors, graph)
    watch.complete()
    if timing is not None:
        timing.save()
    return Plan(
        data,
        tuple(_info(trt, network.get_input(i)) for i in range(network.num_inputs)),
        tuple(_info(trt, network.get_output(i)) for i in range(network.num_outputs)),
    )


def check_plan(kind: Distribution, trt: Any, graph: Path) -> None:
    """Parse the graph as `build_plan` does. Raises as it does."""
    read_signature(graph)
    logger = make_logger(trt)
    _parsed(kind, trt, graph, trt.Builder(logger), logger)


def _parsed(kind: Distribution, trt: Any, graph: Path, builder: Any, logger: Any) -> tuple[Any, Any]:
    """The network, and its parser, which must live as long."""
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise _parser_error(kind, parser, graph)
    return network, parser


def cast_to_uint8_from_float(trt: Any, network: Any) -> None:
    """Make casts to uint8 start from float: TensorRT documents uint8 conversions for float and half only
    (`kUINT8` in NvInferRuntimeBase.h), while a class map comes from an integer ArgMax. Class numbers are
    exact in float.
    """
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type != trt.LayerType.CAST or layer.get_output(0).dtype != trt.DataType.UINT8:
            continue
        source = layer.get_input(0)
        if source.dtype not in floats:
            layer.set_input(0, network.add_cast(source, trt.DataType.FLOAT).get_output(0))


def _network_flags(trt: Any) -> int:
    """Strong typing where it is a choice (always on in 11.x), explicit batch where it still exists (10.x)."""
    known = trt.NetworkDefinitionCreationFlag.__members__
    wanted = ("STRONGLY_TYPED", "EXPLICIT_BATCH")
    return sum(1 << int(known[name]) for name in wanted if name in known)


def _configure(
    trt: Any, config: Any, target: Target, settings: BuildSettings, wanted: tuple[str, ...]
) -> None:
    if target.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    workspace_mb = build_options(settings).workspace_mb
    if workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if wanted:
        config.num_compute_capabilities = len(wanted)
        for index, name in enumerate(wanted):
            config.set_compute_capability(trt.ComputeCapability.__members__[name], index)


class _TimingCache:
    """Tactic timings kept between builds. A cache of another GPU or version is not used."""

    def __init__(self, trt: Any, config: Any, target: Target, settings: BuildSettings) -> None:
        folder, _ = writable(settings.cache)
        self._file = folder / f"tensorrt-{trt.__version__}.timing" if folder else None
        self._config = config
        if self._file is None:
            return
        cache = config.create_timing_cache(read_if_whole(self._file))
        if cache is None or not config.set_timing_cache(cache, False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def save(self) -> None:
        if self._file is not None:
            keep(self._file, bytes(self._config.get_timing_cache().serialize()))


def _parser_error(kind: Distribution, parser: Any, graph: Path) -> GraphError:
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    for error in errors:
        if error.node_operator():
            return unsupported(kind.title, error.node_operator(), error.node_name(), _reason(error.desc()))
    text = "; ".join(error.desc() for error in errors)
    return GraphError(f"{kind.title} cannot read {graph}: {text}", hint="export the graph again")


def _reason(text: str) -> str:
    """A parser's words; the bare condition it checks (`false`) tells nothing."""
    return "" if text.strip() in ("", "false") else text.strip()


def _builder_error(kind: Distribution, errors: list[str], graph: Path) -> GraphError:
    text = "; ".join(errors[-3:]) or "no reason given"
    missing = re.search(r"implementation for node \{?([^\s}]+)", text)
    if missing:
        node = missing[1].rstrip(".")
        operator = next((n.operator for n in read_signature(graph).nodes if n.name == node), "?")
        return unsupported(kind.title, operator, node, text)
    return GraphError(
        f"{kind.title} could not build {graph}: {text}",
        hint="with little memory try a larger --option workspace_mb=...; else report it with this message",
    )


class _Watch:
    """Nested phases of a build as one fraction."""

    STEPS = 1000

    def __init__(self, progress: Progress, message: str) -> None:
        self._progress = progress
        self._message = message
        self._phases: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()
        self._fault: BaseException | None = None

    def start(self, name: str, steps: int) -> None:
        with self._lock:
            self._phases.append((name, 0, max(1, steps)))

    def step(self, name: str, step: int) -> bool:
        """False once `progress` raised: TensorRT then stops the build."""
        with self._lock:
            self._phases = [(n, step + 1 if n == name else d, s) for n, d, s in self._phases]
            fraction = 0.0
            for _, done, steps in reversed(self._phases):
                fraction = min(1.0, (done + fraction) / steps)
        try:
            self._progress(self._message, int(fraction * self.STEPS), self.STEPS)
        except BaseException as fault:  # raised again later: it must not cross TensorRT's C++ frames
            self._fault = fault
        return self._fault is None

    def finish(self, name: str) -> None:
        with self._lock:
            self._phases = [phase for phase in self._phases if phase[0] != name]

    def complete(self) -> None:
        self._progress(self._message, self.STEPS, self.STEPS)

    def raise_cancelled(self) -> None:
        if self._fault is not None:
            raise self._fault


def _progress_monitor(trt: Any, progress: Progress, message: str) -> tuple[Any, _Watch]:
    watch = _Watch(progress, message)

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            watch.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return watch.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            watch.finish(phase_name)

    return Monitor(), watch


def _info(trt: Any, tensor: Any) -> TensorInfo:
    return TensorInfo(tensor.name, trt.nptype(tensor.dtype)().dtype.name, tuple(tensor.shape))
