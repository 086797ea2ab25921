"""What a manifest says of its engine: may it be opened, and is it the engine that was opened?"""

from __future__ import annotations

import msgspec

from edgeseg.core.bounds import MOST_STREAMS, MOST_THREADS
from edgeseg.core.bundle import Bundle, EngineRecord, TensorInfo
from edgeseg.core.ports import Engine
from edgeseg.core.target import Target
from edgeseg.errors import BundleError, InputError
from edgeseg.runtime.frames import engine_inputs


def engine_record(bundle: Bundle, threads: int | None, streams: int) -> EngineRecord:
    """The record to open, with other threads if asked. Raises BundleError for other kinds of bundle."""
    kind = bundle.manifest.kind
    if kind == "deferred":
        raise BundleError(
            f"{bundle.path} is a deferred bundle: its engine for {bundle.engine.target} is not built yet",
            hint=f"on the device, run `edgeseg build {bundle.path}` "
            f"or `python -m edgeseg.device build {bundle.path}`",
        )
    if kind != "engine":
        raise BundleError(
            f"{bundle.path} is a bundle of kind '{kind}', which holds no engine",
            expected="a bundle of kind 'engine'",
            hint="make one with `edgeseg export --target ...`",
        )
    if not 1 <= streams <= MOST_STREAMS or not 0 <= (threads or 0) <= MOST_THREADS:
        raise InputError(
            f"streams is {streams}, threads is {threads}",
            expected=f"streams from 1 to {MOST_STREAMS}, threads from 0 to {MOST_THREADS}",
        )
    record = bundle.engine
    if threads is None:
        return record
    target = msgspec.structs.replace(Target.parse(record.target), threads=threads)
    return msgspec.structs.replace(record, target=str(target))


def require_recorded(engine: Engine, record: EngineRecord, bundle: Bundle) -> None:
    """Raise BundleError unless the open engine has the tensors of the manifest, and takes its frames."""
    path, frame = bundle.path, bundle.manifest.model.preprocess.frame
    fitting = engine_inputs(frame, record.batch, record.window)
    takes = [(info.dtype, info.shape) for info in record.inputs]
    if len(takes) != 1 or takes[0] not in fitting:
        raise BundleError(
            f"{path}: the manifest gives its engine the inputs {takes}",
            expected=f"one {fitting[0][0]} {list(fitting[0][1])}: its batch of frames or tiles",
            hint="build the engine again",
        )
    for found, said in zip((engine.inputs, engine.outputs), (record.inputs, record.outputs)):
        if sorted(found, key=str) != sorted(said, key=str):
            raise BundleError(
                f"{path}: the engine has {', '.join(map(_signature, found))}",
                expected=f"{', '.join(map(_signature, said))}, as the manifest says",
                hint="build the engine again",
            )


def _signature(info: TensorInfo) -> str:
    return f"{info.name} {info.dtype} {list(info.shape)}"
