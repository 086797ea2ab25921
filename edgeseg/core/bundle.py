"""A bundle: an immutable folder with a manifest, the only thing that passes between steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import msgspec

from edgeseg.core.documents import json_data, read_json
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.names import NameRefused, require_file_name, require_files, require_name
from edgeseg.core.preprocess import Size
from edgeseg.core.quantization import Quantization
from edgeseg.core.status import BuildStatus, GateResult
from edgeseg.core.tiles import Tiles
from edgeseg.errors import BundleError

MANIFEST = "manifest.json"

Kind = Literal["torch", "onnx", "qdq", "deferred", "engine"]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    sha256: str


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    kind: Kind
    name: str


class StepRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The step that made a bundle, the settings it ran with and the key a rerun finds it by."""

    name: str
    settings: dict[str, Any] = {}
    key: str = ""


class TensorInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name, NumPy dtype name and shape of an engine's input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device an engine was built for.

    Attributes:
        kind: `cpu`, `gpu`, `npu` or `any` (runs wherever its engine runs).
        name: as the device calls itself.
        family: what decides whether tuned code fits: `sm89` for a GPU, the instruction sets
            that matter for a CPU (`x86-64 avx512 vnni bf16`); empty if it does not matter.
    """

    kind: Literal["cpu", "gpu", "npu", "any"] = "any"
    name: str = ""
    family: str = ""


class EngineRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to open the engine, or (kind `deferred`) how to build it.

    Attributes:
        target: as text.
        graph: the deploy graph as typed ONNX, from which the engine is built.
        entry: the file the engine is opened from; empty while deferred.
        batch: frames per call; of an engine for tiles, tiles.
        camera_size: (height, width) of the camera's frames.
        tiles: how frames are cut for the engine, which then returns scores; None: it takes whole frames.
        settings: build settings beyond the target (workspace_mb, cuda_graph, ...).
        float_fallback: of int8 that nobody has timed; where both can run, a build makes both and keeps the
            faster.
    """

    target: str
    graph: str
    entry: str = ""
    engine: str = ""
    engine_version: str = ""
    hardware: Hardware = Hardware()
    batch: int = 1
    camera_size: Size
    tiles: Tiles | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    settings: dict[str, str | int | float | bool] = {}
    float_fallback: FloatFallback | None = None

    def __post_init__(self) -> None:
        require_files(graph=self.graph, entry=self.entry)

    @property
    def window(self) -> Size:
        """(height, width) of the pictures that the engine takes: frames, or their tiles."""
        return self.tiles.size if self.tiles else self.camera_size

    @property
    def frames_at_once(self) -> int:
        """Frames that share a run of the engine."""
        return 1 if self.tiles else self.batch

    @property
    def fixed_size(self) -> Size | None:
        """(height, width) that frames must have; None: any that tiles are cut of."""
        return None if self.tiles else self.camera_size

    @property
    def returns_confidence(self) -> bool:
        """Whether it is told how sure the network is; not of a deferred engine, which has no outputs yet."""
        return bool(self.tiles and self.tiles.confidence) or any(
            output.name == "confidence" for output in self.outputs
        )


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames and the class map the network gives for them, for the self-check.

    The `.npz` file holds `frames` [N,H,W,C]; uint8 [N,H,W] `class_map` and `stored`, the same with
    weights as the engine's file stores them and without levels of int8 between the nodes; and as bool [N,H,W]
    the pixels that are compared: `confident` with `stored` when the bundle is made, `stable` with `class_map`
    whenever it is opened. Of classes that overlap these are `bit_masks`, and marks of bits like them.

    Attributes:
        min_agreement: share of the stable pixels (or bits) that must have the golden class.
        min_agreement_full: the same at full precision.
        compared: share of all pixels (or bits) that are stable.
        moved: share of the pixels of the images, without the test card, whose class rounding moves at full
            precision: much between levels of int8, next to none in float.
        shows: share of all pixels a fault has to move to be seen on open; None: none of those tried was seen.
    """

    file: str = "golden.npz"
    min_agreement: float = 0.995
    min_agreement_full: float = 0.999
    compared: float = 1.0
    moved: float = 0.0
    shows: float | None = None

    def __post_init__(self) -> None:
        require_files(file=self.file)


class FloatFallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same network in the engine's own float, which int8 has to beat on the device.

    Attributes:
        graph: its typed deploy graph.
        precisions: its target has the first of them that the device computes in.
        golden: what its engine gives.
        notes: those of its bundle, should it win.
    """

    graph: str
    precisions: tuple[str, ...]
    golden: Golden | None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_files(graph=self.graph)


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A comparison made while the bundle was written.

    Attributes:
        what, against: the two sides, such as `ONNX Runtime` and `PyTorch`.
        inputs: `random`, `real`, `synthetic`, ...
        max_error: largest absolute difference over the largest |reference|; None: not values were compared.
        agreement: share of the compared pixels that have the same class; None: not classes were compared.
    """

    what: str
    against: str
    inputs: str
    max_error: float | None = None
    agreement: float | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json` of a bundle.

    Attributes:
        files: every file of the bundle but this one, by POSIX path.
        digest: of all other fields, as `manifest_digest` computes it.
        graph: the plain network (float NCHW in, scores out) as simplified, static ONNX; empty in
            a `torch` bundle.
        quantization: of `qdq` bundles and of the engines made of them.
        build: what became of the engine; None where there is none.
        gate: of int8 with a float fallback.
        tools: versions of what took part.
        notes: what else the user should know, one sentence each.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    kind: Kind
    name: str
    model: ModelSpec
    graph: str = ""
    weights: str = ""
    quantization: Quantization | None = None
    parent: Parent | None = None
    step: StepRecord
    engine: EngineRecord | None = None
    build: BuildStatus | None = None
    gate: GateResult | None = None
    golden: Golden | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    created: str = ""
    files: dict[str, FileEntry] = {}
    digest: str = ""

    def __post_init__(self) -> None:
        require_name(self.name, "the bundle name")
        require_files(graph=self.graph, weights=self.weights)
        for name in self.files:
            require_file_name(name, "the listed file")
        if MANIFEST in self.files:
            raise NameRefused(f"the manifest lists itself, {MANIFEST}")

    def sentences(self) -> tuple[str, ...]:
        """All that the user should know: the notes, and what became of the engine."""
        status = (one.sentences() for one in (self.build, self.gate) if one)
        return (*self.notes, *(text for part in status for text in part))


def manifest_digest(fields: Mapping[str, Any]) -> str:
    """sha256 of a manifest as plain data: compact JSON with sorted keys, without the field `digest`."""
    data = msgspec.json.encode({k: v for k, v in fields.items() if k != "digest"}, order="deterministic")
    return hashlib.sha256(data).hexdigest()


def sealed(manifest: Manifest) -> Manifest:
    """`manifest` with the digest of what it holds."""
    return msgspec.structs.replace(manifest, digest=manifest_digest(json_data(manifest)))


class Bundle:
    """A bundle on disk.

    Attributes:
        path: its folder.
        manifest: what `manifest.json` says.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def id(self) -> str:
        """The digest of the manifest, which holds the sha256 of every file."""
        return self.manifest.digest

    @classmethod
    def open(cls, path: Path | str, *, check_files: bool = True) -> Bundle:
        """Open a bundle and compare its manifest with its digest and every file with its hash.

        Raises:
            BundleError: not a bundle, another schema version, a manifest that was changed, or a file that is
                missing, changed, a link, or outside the folder.
        """
        path = Path(path)
        source = path / MANIFEST
        if not source.is_file():
            raise BundleError(
                f"{path} is not a bundle",
                expected=f"a folder with a {MANIFEST}",
                hint="make one with `edgeseg export`",
            )
        manifest = read_json(source, Manifest, error=BundleError, check=partial(_require_digest, source))
        if check_files:
            for name, entry in manifest.files.items():
                _check_file(path, name, entry)
        return cls(path, manifest)

    def file(self, name: str) -> Path:
        """Path of a file the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.path} has no file '{name}'", expected=", ".join(self.manifest.files))
        return self.path / name

    def as_parent(self) -> Parent:
        return Parent(self.id, self.manifest.kind, self.manifest.name)

    @property
    def engine(self) -> EngineRecord:
        """How to open or build the engine. Raises BundleError when the bundle has none."""
        if self.manifest.engine is None:
            raise BundleError(
                f"{self.path} is a bundle of kind '{self.manifest.kind}'",
                expected="an 'engine' or 'deferred' bundle",
                hint="make one with `edgeseg export --target ...`",
            )
        return self.manifest.engine

    def engine_size(self) -> int:
        """Bytes of the files the device needs to run the engine."""
        folder = PurePosixPath(self.engine.entry).parent
        return sum(
            entry.size for name, entry in self.manifest.files.items() if PurePosixPath(name).parent == folder
        )


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def settings_key(parent: str, step: str, settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The key under which the result of a step is found again."""
    data = msgspec.json.encode([parent, step, settings, versions], order="deterministic")
    return hashlib.sha256(data).hexdigest()


def _require_digest(source: Path, fields: Mapping[str, Any]) -> None:
    if fields.get("digest") != manifest_digest(fields):
        raise BundleError(
            f"{source} was changed after the bundle was made: its digest differs from what it holds",
            hint="copy the bundle again, or make it again",
        )


def _check_file(root: Path, name: str, entry: FileEntry) -> None:
    pure = PurePosixPath(name)
    path = root / name
    if any((root / parent).is_symlink() for parent in (pure, *pure.parents[:-1])):
        raise BundleError(f"{path} is a link", expected="a regular file", hint="copy the bundle again")
    if not path.is_file():
        raise BundleError(f"{path} is missing", hint="copy the bundle again, or make it again")
    size = path.stat().st_size
    if size != entry.size:
        raise BundleError(
            f"{path} has {size} bytes, the manifest says {entry.size}",
            hint="copy the bundle again, or make it again",
        )
    if file_sha256(path) != entry.sha256:
        raise BundleError(
            f"{path} was changed after the bundle was made: its sha256 differs from the manifest",
            hint="copy the bundle again, or make it again",
        )
