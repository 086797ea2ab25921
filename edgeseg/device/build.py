"""Make the engine of a bundle on the device it is for."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, EngineRecord, Manifest, StepRecord, draft, settings_key
from edgeseg.core.ports import BuildSettings, OpenSettings, Progress, silent
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.errors import BundleError
from edgeseg.runtime.session import Session

ENGINE_FOLDER = "engine"
DEFAULT = BuildSettings()


def build(
    bundle: Bundle,
    output: Path,
    settings: BuildSettings = DEFAULT,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Build the engine of a deferred bundle, or build that of an engine bundle again for this device.

    The child appears at `output` whole or not at all, with the parent recorded, after its engine gave
    the golden class maps. Where the engine can be built but not run (`rtx-*` ahead of time) a note
    says that it was not checked.

    Raises:
        BundleError: a bundle without a typed graph, `output` exists, or the self-check failed.
        EngineMismatch, MissingDevice: the target names another device than this one.
        MissingDependency, UnsupportedOperator, TargetError: from the engine.
    """
    if bundle.manifest.kind not in ("deferred", "engine"):
        raise BundleError(
            f"{bundle.path} is a bundle of kind '{bundle.manifest.kind}'",
            expected="a bundle of kind 'deferred' or 'engine'",
            hint="make one with `edgeseg export --target ...`",
        )
    target = Target.parse(bundle.engine.target)
    can_run = backend_for(target).availability(target).run
    with draft(output, overwrite=overwrite) as result:
        _copy(bundle, result.path)
        record, notes = make_engine(bundle.engine, result.path, settings, progress)
        if not can_run:
            notes = (*notes, "built here, not run: its self-check is made when it is opened on its device")
        result.finish(_manifest(bundle, record, settings, notes))
        if can_run and result.manifest is not None:
            progress(f"{target}: self-check")
            child = Bundle(result.path, result.manifest, "")
            Session(child, OpenSettings(cache=settings.cache), warm_up=0).close()
    return Bundle.open(output)


def ready(path: Path | str, cache: Path, progress: Progress = silent) -> Path:
    """The bundle itself when its engine is built, else its child in `cache`, built on first use.

    Another device, or another version of the engine, builds another child.

    Raises: as `build`.
    """
    bundle = Bundle.open(path)
    if bundle.manifest.kind != "deferred":
        return bundle.path
    target = Target.parse(bundle.engine.target)
    here = backend_for(target).availability(target)
    key = settings_key(bundle.id, "build", {"device": here.device}, {target.engine: here.version})
    child = cache / "built" / f"{bundle.manifest.name}-{key[:16]}"
    if not child.exists():
        build(bundle, child, BuildSettings(cache=cache), progress=progress)
    return child


def _copy(bundle: Bundle, folder: Path) -> None:
    """Everything but a former engine."""
    entry = bundle.engine.entry
    former = PurePosixPath(entry).parent if entry else None
    for name in bundle.manifest.files:
        if PurePosixPath(name).parent == former:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, folder / name)


def make_engine(
    record: EngineRecord, folder: Path, settings: BuildSettings, progress: Progress = silent
) -> tuple[EngineRecord, tuple[str, ...]]:
    """Build the engine of `record` from its graph in `folder`, into `folder/engine`.

    Returns:
        The record of the built engine, and what the user should know.

    Raises what `Backend.build` raises.
    """
    target = Target.parse(record.target)
    engine_folder = folder / ENGINE_FOLDER
    engine_folder.mkdir()
    built = backend_for(target).build(folder / record.graph, target, engine_folder, settings, progress)
    record = msgspec.structs.replace(
        record,
        entry=f"{ENGINE_FOLDER}/{built.entry}",
        engine=target.engine,
        engine_version=built.engine_version,
        hardware=built.hardware,
        inputs=built.inputs,
        outputs=built.outputs,
        settings={**record.settings, **built.settings},
    )
    return record, built.notes


def _manifest(
    bundle: Bundle, record: EngineRecord, settings: BuildSettings, notes: tuple[str, ...]
) -> Manifest:
    return msgspec.structs.replace(
        bundle.manifest,
        kind="engine",
        parent=bundle.as_parent(),
        step=StepRecord(
            name="build",
            settings={"workspace_mb": settings.workspace_mb, "cuda_graph": settings.cuda_graph},
        ),
        engine=record,
        notes=(*(n for n in bundle.manifest.notes if not n.startswith("not built here")), *notes),
        tools={**bundle.manifest.tools, **versions("numpy", "msgspec"), record.engine: record.engine_version},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
