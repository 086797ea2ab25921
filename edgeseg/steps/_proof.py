"""An engine that was just made is opened before its bundle appears; a failure names the node that differs."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, Check
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.ports import Backends, BuildSettings
from edgeseg.core.target import Target
from edgeseg.core.whole import Scratch
from edgeseg.device.build import make_engine
from edgeseg.device.opening import GOLDEN, REFERENCE, WrongEngine, prove
from edgeseg.runtime.check import Computed, agreement
from edgeseg.steps._difference import first_difference

if TYPE_CHECKING:
    from onnx import ModelProto


def prove_engine(
    bundle: Bundle, rest: str, cache: Path, backends: Backends = backend_for
) -> tuple[Check, ...]:
    """`device.opening.prove`; files that state float16 or levels of int8 also by their float32 twin.

    Args:
        rest: float precision written into the graph; empty: the engine chooses it.

    Raises:
        WrongEngine: names the first node of the graph that differs.
    """
    try:
        return compared(bundle, rest, cache, backends)
    except WrongEngine as fault:
        raise WrongEngine(
            f"{bundle.engine.target}: {fault.message}. {first_difference(bundle, fault.computed, backends)}",
            expected=fault.expected,
            hint=fault.hint,
        ) from None


def compared(bundle: Bundle, rest: str, cache: Path, backends: Backends = backend_for) -> tuple[Check, ...]:
    """`prove_engine` without the name of a node: it costs more than the rest."""
    target = Target.parse(bundle.engine.target)
    wide = msgspec.structs.replace(target, precision="fp32")
    twins = [False] * bool(bundle.manifest.quantization) + [True] * (rest == "fp16")
    checks: tuple[Check, ...] = ()
    if twins and backends(target).availability(wide).run:
        checks = tuple(c for levels in twins for c in _twin(bundle, wide, cache, backends, levels=levels))
    elif twins or target.precision == "fp16":
        checks = prove_file(bundle)
    return (*checks, *prove(bundle, cache, full="fp32" in (target.precision, rest), backends=backends))


def prove_file(bundle: Bundle) -> tuple[Check, ...]:
    """The graph of an engine, computed in float32 by ONNX Runtime, against the golden frames.

    Raises:
        WrongEngine: the file is wrong.
    """
    import onnx

    from edgeseg.graph.dequantize import dequantized
    from edgeseg.graph.widen import widened

    record = bundle.engine
    model = widened(onnx.load(str(bundle.file(record.graph))))
    ways: list[tuple[ModelProto, Computed]]
    if bundle.manifest.quantization:
        ways = [(dequantized(model), "stored"), (model, "levels")]
    else:
        stated = backend_for(Target.parse(record.target)).graph.precision == "stated"
        ways = [(model, "stored" if stated else "network")]
    found = (_file_check(bundle, *way) for way in ways)
    return tuple(check for check in found if check)


def _file_check(bundle: Bundle, model: ModelProto, computed: Computed) -> Check | None:
    from edgeseg.graph.golden import outputs_of

    record, run = bundle.engine, partial(outputs_of, model, bundle.manifest.model)
    found = agreement(run, bundle, computed)
    if found is None:
        return None
    if not found.passed:
        raise WrongEngine(
            f"the graph written for {record.target} computes something else than the network: "
            f"{found.agreement:.2%} of {found.pixels} {found.decisions} agree, and {found.different:.2%} of "
            "all pixels differ",
            expected=f"at least {found.limit:.2%}, and at most {found.most_different:.2%}",
            hint="build for another engine, and report this network",
        )
    return Check(what=record.graph, against=REFERENCE, inputs=GOLDEN, agreement=found.agreement)


def _twin(
    bundle: Bundle, wide: Target, cache: Path, backends: Backends, *, levels: bool
) -> tuple[Check, ...]:
    """The file of the engine in float32, as the target `wide` of the same engine, with its levels of int8 or
    without."""
    import onnx

    from edgeseg.graph.dequantize import dequantized
    from edgeseg.graph.widen import widened

    with Scratch() as place:
        graph = bundle.engine.graph
        model = widened(onnx.load(str(bundle.path / graph)))
        onnx.save(model if levels else dequantized(model), str(place / graph))
        record = msgspec.structs.replace(bundle.engine, target=str(wide))
        record, _ = make_engine(record, place, BuildSettings(), backends=backends)
        manifest = msgspec.structs.replace(bundle.manifest, engine=record)
        if not levels:
            manifest = msgspec.structs.replace(manifest, quantization=None)
        assert manifest.golden is not None
        shutil.copyfile(bundle.file(manifest.golden.file), place / manifest.golden.file)
        twin = BundleDraft(place)
        twin.finish(manifest)
        assert twin.manifest is not None
        return prove(Bundle(place, twin.manifest), cache, backends=backends)
