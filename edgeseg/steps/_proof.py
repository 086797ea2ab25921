"""An engine that was just made is opened before its bundle appears; what fails names the node that differs."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, BundleDraft, Check
from edgeseg.core.ports import BuildSettings
from edgeseg.core.target import Target
from edgeseg.device.build import make_engine
from edgeseg.device.opening import GOLDEN, REFERENCE, WrongEngine, prove
from edgeseg.runtime.check import golden_frames
from edgeseg.steps._difference import first_difference

if TYPE_CHECKING:
    from onnx import ModelProto


def prove_engine(bundle: Bundle, rest: str, cache: Path) -> tuple[Check, ...]:
    """`device.opening.prove`, at full precision for engines whose file states float16 too: by its float32 twin.

    Args:
        rest: float precision written into the graph; empty: the engine chooses it.

    Raises:
        WrongEngine: names the first node of the graph that differs.
    """
    target = Target.parse(bundle.engine.target)
    half = rest == "fp16"
    checks: tuple[Check, ...] = ()
    try:
        if half:
            checks = _twin(bundle, target, cache)
        own_is_full = target.precision == "fp32" or rest == "fp32"
        return (*checks, *prove(bundle, cache, full=own_is_full or half))
    except WrongEngine as fault:
        raise WrongEngine(
            f"{target}: {fault.message}. {first_difference(bundle)}",
            expected=fault.expected,
            hint=fault.hint,
        ) from None


def prove_file(bundle: Bundle, graph: str) -> tuple[Check, ...]:
    """The graph of an engine that cannot run here, without rounding, against the golden frames.

    Raises:
        WrongEngine: the file is wrong.
    """
    import onnx

    from edgeseg.graph._run import run, session
    from edgeseg.graph.widen import widened

    golden = golden_frames(bundle)
    if golden is None or bundle.manifest.golden is None:
        return ()
    model = widened(onnx.load(str(bundle.path / graph)))
    opened, source = session(model), model.graph.input[0].name
    batch = bundle.engine.batch
    maps = [
        run(opened, {source: golden.frames[at : at + batch]})["class_map"]
        for at in range(0, len(golden.frames), batch)
    ]
    same = (np.concatenate(maps) == golden.class_map)[golden.sure]
    share = float(same.mean()) if same.size else 1.0
    if share < bundle.manifest.golden.min_agreement_full:
        raise WrongEngine(
            f"{graph}, the graph written for {bundle.engine.target}, computes something else than the network: "
            f"{share:.2%} of {same.size} pixels agree",
            expected=f"at least {bundle.manifest.golden.min_agreement_full:.2%}",
            hint="report this network",
        )
    return (Check(what=graph, against=REFERENCE, inputs=GOLDEN, agreement=share),)


def _twin(bundle: Bundle, target: Target, cache: Path) -> tuple[Check, ...]:
    """The file of the engine with float32 in place of float16, in the same engine where it runs that."""
    import onnx

    from edgeseg.graph.widen import widened

    wide = msgspec.structs.replace(target, precision="fp32")
    if not backend_for(target).availability(wide).run:
        return prove_file(bundle, bundle.engine.graph)
    with TemporaryDirectory(prefix="edgeseg-proof-") as folder:
        place = Path(folder)
        graph = bundle.engine.graph
        onnx.save(widened(onnx.load(str(bundle.path / graph))), str(place / graph))
        record = msgspec.structs.replace(bundle.engine, target=str(wide))
        record, _ = make_engine(record, place, BuildSettings())
        manifest = msgspec.structs.replace(bundle.manifest, engine=record)
        assert manifest.golden is not None
        shutil.copyfile(bundle.file(manifest.golden.file), place / manifest.golden.file)
        twin = BundleDraft(place)
        twin.finish(manifest)
        assert twin.manifest is not None
        return prove(Bundle(place, twin.manifest, ""), cache)
