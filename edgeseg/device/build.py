"""Make the engine of a bundle on the device it is for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from edgeseg.backends import backend_for
from edgeseg.core.bundle import MANIFEST, Bundle, EngineRecord, Manifest, StepRecord, settings_key
from edgeseg.core.documents import convert
from edgeseg.core.drafts import BundleDraft, draft
from edgeseg.core.locks import only_one
from edgeseg.core.ports import Backends, BuildSettings, Progress, silent
from edgeseg.core.status import BuildStatus
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.device import gate
from edgeseg.device.opening import prove
from edgeseg.errors import BundleError

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
    the golden class maps. Where the engine can be built but not run (`rtx-*` ahead of time), `build.opened`
    is false: it was not checked. An int8 bundle with a float fallback becomes the faster of the two engines.

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
    fallback = gate.float_fallback(bundle)
    with draft(output, overwrite=overwrite) as result:
        if fallback is None:
            _fill(result, bundle, bundle.manifest, settings, progress)
        else:
            _faster(result, bundle, fallback, settings, progress)
    return Bundle.open(output)


def ready(path: Path | str, cache: Path, progress: Progress = silent) -> Path:
    """The bundle itself when its engine is built, else its child in `cache`, built on first use.

    Another device, or another version of the engine, builds another child. Of several processes one builds.

    Raises: as `build`.
    """
    bundle = Bundle.open(path)
    if bundle.manifest.kind != "deferred":
        return bundle.path
    target = Target.parse(bundle.engine.target)
    here = backend_for(target).availability(target)
    key = settings_key(bundle.id, "build", {"device": here.device}, {target.engine: here.version})
    child = cache / "built" / f"{bundle.manifest.name}-{key[:16]}"
    lock = child.with_name(f".{child.name}.lock")
    if not child.exists():
        with only_one(lock, waiting=lambda: progress(f"waiting for another process that builds {child}")):
            if not child.exists():
                build(bundle, child, BuildSettings(cache=cache), progress=progress)
    return child


def _fill(
    result: BundleDraft, bundle: Bundle, manifest: Manifest, settings: BuildSettings, progress: Progress
) -> None:
    """Write the child of `bundle` whose engine is that of `manifest`, and check it where it can run."""
    assert manifest.engine is not None
    target = Target.parse(manifest.engine.target)
    can_run = backend_for(target).availability(target).run
    _copy(bundle, manifest, result.path)
    record, notes = make_engine(manifest.engine, result.path, settings, progress)
    status = BuildStatus(state="built", opened=can_run)
    result.finish(_manifest(bundle, manifest, record, settings, status, notes))
    if can_run and result.manifest is not None:
        progress(f"{target}: self-check")
        child = Bundle(result.path, result.manifest)
        prove(child, settings.cache)


def _faster(
    result: BundleDraft, bundle: Bundle, fallback: Manifest, settings: BuildSettings, progress: Progress
) -> None:
    """Build int8 and its float fallback, time them in turn on the device clock, keep one."""
    places = result.path / "int8", result.path / "float"
    for place, manifest in zip(places, (bundle.manifest, fallback)):
        with draft(place) as side:
            _fill(side, bundle, manifest, settings, progress)
    ratio = gate.race(*places, settings.cache, progress)
    winner = places[0] if gate.int8_wins(ratio) else places[1]
    manifest = Bundle.open(winner, check_files=False).manifest
    (winner / MANIFEST).unlink()
    for path in winner.iterdir():
        path.rename(result.path / path.name)
    for place in places:
        shutil.rmtree(place)
    assert fallback.engine is not None
    timed = gate.result(ratio, fallback.engine.target)
    result.finish(msgspec.structs.replace(manifest, gate=timed))


def _copy(bundle: Bundle, manifest: Manifest, folder: Path) -> None:
    """The files of `manifest`, which `bundle` holds: everything but a former engine."""
    entry = bundle.engine.entry
    former = PurePosixPath(entry).parent if entry else None
    for name in manifest.files:
        if PurePosixPath(name).parent == former:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, folder / name)


def checked_options(target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the builder of a target's engine, with those that were not given.

    Raises:
        InputError: one that it does not have, or a value that it does not take.
    """
    known = backend_for(target).options
    found: dict[str, Any] = msgspec.to_builtins(
        convert(dict(options), known, where=f"the build options of {target.engine}")
    )
    return found


def make_engine(
    record: EngineRecord,
    folder: Path,
    settings: BuildSettings,
    progress: Progress = silent,
    backends: Backends = backend_for,
) -> tuple[EngineRecord, tuple[str, ...]]:
    """Build the engine of `record` from its graph in `folder`, into `folder/engine`. Options of the builder
    that the settings do not name are those of the record.

    Returns:
        The record of the built engine, and what the user should know.

    Raises what `Backend.build` raises.
    """
    target = Target.parse(record.target)
    known = checked_options(target, settings.options)
    recorded = {name: value for name, value in record.settings.items() if name in known}
    options = {**known, **recorded, **settings.options}
    settings = msgspec.structs.replace(settings, options=options)
    engine_folder = folder / ENGINE_FOLDER
    engine_folder.mkdir()
    built = backends(target).build(folder / record.graph, target, engine_folder, settings, progress)
    record = msgspec.structs.replace(
        record,
        entry=f"{ENGINE_FOLDER}/{built.entry}",
        engine=target.engine,
        engine_version=built.engine_version,
        hardware=built.hardware,
        inputs=built.inputs,
        outputs=built.outputs,
        settings={**record.settings, **options, **built.settings},
    )
    return record, built.notes


def _manifest(
    bundle: Bundle,
    manifest: Manifest,
    record: EngineRecord,
    settings: BuildSettings,
    status: BuildStatus,
    notes: tuple[str, ...],
) -> Manifest:
    return msgspec.structs.replace(
        manifest,
        kind="engine",
        parent=bundle.as_parent(),
        step=StepRecord(name="build", settings=dict(settings.options)),
        engine=record,
        build=status,
        gate=gate.UNTIMED if record.float_fallback else None,
        notes=(*manifest.notes, *notes),
        tools={**manifest.tools, **versions("numpy", "msgspec"), record.engine: record.engine_version},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
