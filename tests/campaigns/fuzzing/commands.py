"""Every kind of bad input: which command meets which fault of which format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fuzzing import checkpoints, documents, engines, numbers, onnx_files, pictures
from fuzzing.case import Bad, Case, Make, Place
from fuzzing.material import SMALL


@dataclass(frozen=True)
class Kind:
    command: str
    format: str
    fault: str
    make: Make

    def __str__(self) -> str:
        return f"{self.command} / {self.format} / {self.fault}"


Words = tuple[str, ...]
EXPORT = ("export", *SMALL, "--target", "ort-fp32", "-o", "out")
TRAIN = ("train", *SMALL, "--data", "folders=pairs", "-o", "out", "--train", "steps=1", "--train", "batch=2")
QUANTIZE = ("quantize", *SMALL, "--data", "folders=pairs", "--target", "ort-int8", "--no-plan", "-o", "out")
BENCH = ("bench", "bundle", "--min-runs", "1", "--min-seconds", "0", "--warmup", "0")
SELECT = ("calibrate", "select", "--data", "folders=pairs", "--count", "2", "-o", "out.txt")
CHECK = ("calibrate", "check", "list.txt", "--data", "folders=pairs")
VERIFY = ("verify", "bundle", "--data", "folders=pairs")
PREDICT = ("predict", "bundle", "pairs/images/val", "-o", "out")
SCHEMAS = ("recipe", "manifest", "train", "datasets", "steps")


def kinds(material: Path) -> tuple[Kind, ...]:
    """All of them, in a fixed order."""
    return tuple(_all(material))


def _all(material: Path) -> Iterator[Kind]:
    state = torch.load(material / "w.pt", weights_only=True)
    tables: dict[str, dict[str, Bad]] = {
        "checkpoint .pt": checkpoints.torch_files(state),
        "checkpoint .safetensors": checkpoints.safetensors_files(state),
        "onnx": onnx_files.ONNX_FILES,
        "recipe": documents.RECIPES,
        "class file": documents.CLASS_FILES,
        "list": documents.lists((material / "list.txt").read_text()),
        "image": pictures.IMAGES,
        "mask": pictures.MASKS,
        "mask array": pictures.MASK_ARRAYS,
    }
    for format, write in _FILES.items():
        for command, words in write.items():
            for fault, bad in tables[format].items():
                yield Kind(command, format, fault, _file(words, bad))
    for command, words, names in _BUNDLES:
        for name in names:
            yield from _bundle_kinds(command, words, material, name)
    yield from _word_kinds()
    yield from _value_kinds()
    yield from _environment_kinds()


Placed = Callable[[Place, Bad], Case]


def _file(placed: Placed, bad: Bad) -> Make:
    return lambda place: placed(place, bad)


def _network(place: Place) -> None:
    place.copy("net.py")
    place.copy("pairs")
    os.mkfifo(place.folder / "pipe")


def _beside(name: str, before: Words, after: Words = (), *, also: Words = ()) -> Placed:
    """The bad file `name` in the words, between `before` and `after`."""

    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        for other in also:
            place.copy(other)
        bad(place.folder / name, place.random)
        return Case((*before, name, *after), (name,))

    return write


def _recipe(command: str) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        place.copy("w.pt")
        bad(place.folder / "bad.toml", place.random)
        given = (
            "bad.toml",
            "small",
            "ort-",
            "net.py",
            "resnet9000",
            "pairs",
            "no.txt",
            "exprot",
            "pipe",
            "vla",
        )
        given += ("flodders", "folders", "threads", "lr is", "cores", "net.nothing", "batch", "classes")
        return Case((command, "bad.toml"), given)

    return write


def _classes(*words: str) -> Placed:
    """Class names of their own, or of a data set."""

    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        inside = "folders=pairs" in words
        name = "pairs/dataset.toml" if inside else "bad.toml"
        (place.folder / name).unlink(missing_ok=True)
        bad(place.folder / name, place.random)
        if "bundle" in words:
            place.copy("null", "bundle")
        return Case(words, (name, "pairs", "folders", "classes"))

    return write


def _picture(kind: str, *words: str, also: Words = ()) -> Placed:
    """One of the images or masks of the labelled data."""

    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        for other in also:
            place.copy(other, "bundle" if other in ("ort", "null") else "")
        split = "val" if words[0] in ("verify", "predict") else "train"
        folder = place.folder / "pairs" / kind / split
        ending = place.random.choice((".png", ".png", ".tif", ".bmp"))
        old = folder / f"a{split}.png"
        old.unlink()
        bad(old.with_suffix(ending), place.random)
        return Case(words, (f"a{split}", "pairs", "images", "dataset"))

    return write


def _mask_array(*words: str, also: Words = ()) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        for other in also:
            place.copy(other, "bundle")
        split = "val" if words[0] == "verify" else "train"
        folder = place.folder / "pairs" / "masks" / split
        (folder / f"a{split}.png").unlink()
        bad(folder / f"a{split}.npy", place.random)
        return Case(words, (f"a{split}.npy",))

    return write


def _list(words: Words) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        bad(place.folder / "list.txt", place.random)
        return Case(words, ("list.txt", "images", "list"))

    return write


_FILES: dict[str, dict[str, Placed]] = {
    "checkpoint .pt": {
        "export": _beside("bad.pt", (*EXPORT, "--weights")),
        "train": _beside("bad.pt", (*TRAIN, "--weights")),
        "quantize": _beside("bad.pt", (*QUANTIZE, "--weights")),
    },
    "checkpoint .safetensors": {
        "export": _beside("bad.safetensors", (*EXPORT, "--weights")),
        "train": _beside("bad.safetensors", (*TRAIN, "--weights")),
    },
    "onnx": {
        "export": _beside("bad.onnx", ("export", "--model"), ("--target", "ort-fp32", "-o", "out")),
        "inspect": _beside("bad.onnx", ("inspect",)),
        "quantize": _beside(
            "bad.onnx",
            ("quantize", "--model"),
            ("--data", "folders=pairs", "--target", "ort-int8", "--no-plan"),
        ),
    },
    "recipe": {"plan": _recipe("plan"), "run": _recipe("run")},
    "class file": {
        "export": _classes(*EXPORT[:5], "--classes", "bad.toml", "--target", "ort-fp32", "-o", "out"),
        "train": _classes(*TRAIN),
        "verify": _classes(*VERIFY),
        "calibrate select": _classes(*SELECT),
    },
    "list": {
        "calibrate check": _list(CHECK),
        "calibrate select": _list((*SELECT, "--not-in", "list.txt")),
        "quantize": _list((*QUANTIZE, "--calibration", "list.txt")),
    },
    "image": {
        "train": _picture("images", *TRAIN),
        "export": _picture("images", *EXPORT, "--data", "folders=pairs"),
        "quantize": _picture("images", *QUANTIZE),
        "verify": _picture("images", *VERIFY, also=("ort",)),
        "predict": _picture("images", *PREDICT, also=("ort",)),
        "calibrate select": _picture("images", *SELECT),
        "calibrate check": _picture("images", *CHECK, also=("list.txt",)),
    },
    "mask": {
        "train": _picture("masks", *TRAIN),
        "verify": _picture("masks", *VERIFY, also=("ort",)),
        "calibrate select": _picture("masks", *SELECT, "--strategy", "stratified"),
    },
    "mask array": {
        "train": _mask_array(*TRAIN),
        "verify": _mask_array(*VERIFY, also=("ort",)),
    },
}

_BUNDLES: tuple[tuple[str, Words, Words], ...] = (
    ("bench", BENCH, ("ort", "openvino", "null")),
    ("verify", VERIFY, ("ort", "openvino")),
    ("predict", PREDICT, ("ort", "openvino")),
    ("inspect", ("inspect", "bundle"), ("ort", "openvino", "deferred")),
    ("build", ("build", "bundle", "-o", "out"), ("deferred", "ort")),
    ("calibrate check", (*CHECK, "--bundle", "bundle"), ("deferred",)),
)


def _bundle_kinds(command: str, words: Words, material: Path, name: str) -> Iterator[Kind]:
    def placed(place: Place) -> None:
        _network(place)
        place.copy("list.txt")

    def manifest(place: Place, bad: Bad) -> Case:
        placed(place)
        place.copy(name, "bundle")
        (place.folder / "bundle" / "manifest.json").unlink()
        bad(place.folder / "bundle" / "manifest.json", place.random)
        return Case(words, ("bundle", "target", "banana"))

    def engine(change: engines.Change) -> Make:
        def make(place: Place) -> Case:
            placed(place)
            engines.rewritten(place.material / name, place.folder / "bundle", change, place.random)
            return Case(words, ("bundle", "model.", "engine", "golden", "graph", "deploy"))

        return make

    good = (material / name / "manifest.json").read_bytes()
    for fault, bad in documents.manifests(good).items():
        yield Kind(command, "manifest", f"{name}: {fault}", _file(manifest, bad))
    for fault, change in engines.ENGINES.items():
        yield Kind(command, "engine", f"{name}: {fault}", engine(change))


_PLAIN: dict[str, Words] = {
    "export": EXPORT,
    "train": TRAIN,
    "quantize": QUANTIZE,
    "build": ("build", "bundle", "-o", "out"),
    "bench": BENCH,
    "verify": VERIFY,
    "predict": PREDICT,
    "inspect": ("inspect", "bundle"),
    "plan": ("plan", "good.toml"),
    "run": ("run", "good.toml", "--min-runs", "1", "--min-seconds", "0"),
    "models": ("models",),
    "targets": ("targets",),
    "doctor": ("doctor",),
    "schema": ("schema", "recipe"),
    "calibrate select": SELECT,
    "calibrate check": CHECK,
}
"""Good words of each command."""


def _whole(place: Place) -> None:
    _network(place)
    place.copy("list.txt")
    place.copy("null", "bundle")
    (place.folder / "good.toml").write_text(documents.RECIPE)


def _word_kinds() -> Iterator[Kind]:
    """More words than a command takes, or a word of its own for its first argument."""

    def named(words: tuple[str | bytes, ...]) -> Words:
        texts = [os.fsdecode(word).partition("=")[0][:50] for word in words]
        return (*filter(None, texts), *(ascii(t).strip("'") for t in texts if t), "argument", ". is", "''")

    def more(words: tuple[str | bytes, ...], extra: tuple[str | bytes, ...]) -> Make:
        def make(place: Place) -> Case:
            _whole(place)
            return Case((*words, *extra), named(extra))

        return make

    def instead(command: str, word: str | bytes) -> Make:
        group = len(command.split())

        def make(place: Place) -> Case:
            _whole(place)
            words = _PLAIN[command]
            return Case((*words[:group], word, *words[group + 1 :]), named((word,)))

        return make

    for command, words in _PLAIN.items():
        for extra in numbers.WORDS:
            yield Kind(command, "words", f"more: {extra!r:.60}", more(words, extra))
        if command in (
            "build",
            "bench",
            "verify",
            "predict",
            "inspect",
            "plan",
            "run",
            "schema",
            "calibrate check",
        ):
            for extra in numbers.WORDS:
                if len(extra) == 1:
                    yield Kind(command, "words", f"instead: {extra[0]!r:.60}", instead(command, extra[0]))


_SETTINGS = ("lr", "batch", "crop", "scale", "seed", "workers", "weight_decay", "warmup", "loss", "ema_decay")
_SETTING_VALUES = ("nan", "inf", "-1", "0", "1e300", "9" * 30, "x", "none", "1,2,3", "")
_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "export": {
        "--input-size": numbers.SIZES, "--camera-size": numbers.SIZES, "--classes": numbers.NUMBERS,
        "--batch": numbers.NUMBERS + numbers.ABSURD, "--option": numbers.PAIRS, "--set": numbers.PAIRS,
        "--target": numbers.TARGETS,
    },
    "train": {
        "--limit": numbers.NUMBERS, "--set": numbers.PAIRS, "--input-size": numbers.SIZES,
        "--train": (
            *numbers.PAIRS,
            *(f"{name}={value}" for name in _SETTINGS for value in _SETTING_VALUES),
            "epochs=1000000000", "crop=1000000,1000000", "scale=1,1000000", "loss=ce+", "loss=inf*ce",
            "loss=nan*dice", "loss=-1*ce", "batch=1000000000", "workers=100000", "precision=fp4",
        ),
    },
    "quantize": {
        "--budget-drop": numbers.NUMBERS, "--blocks": numbers.NUMBERS, "--calibration": numbers.NUMBERS,
        "--budget-class": (*numbers.PAIRS, "thing=nan", "thing=-1", "thing=x"), "--ptq": numbers.PAIRS,
        "--target": numbers.TARGETS, "--swish": ("soft", "", "EXACT"),
    },
    "build": {"--workspace-mb": numbers.NUMBERS + numbers.ABSURD},
    "bench": {
        "--min-runs": numbers.NUMBERS + numbers.ABSURD, "--min-seconds": (*numbers.NUMBERS, "1e15", "1e300"),
        "--streams": numbers.NUMBERS + numbers.ABSURD, "--threads": numbers.NUMBERS + numbers.ABSURD,
        "--warmup": (*numbers.NUMBERS, *numbers.ABSURD[:3]), "--max-p99-ms": numbers.NUMBERS,
        "--cpus": (*numbers.NUMBERS, "3-1", "0-99999999999", "0,", "9000"),
        "--openings": numbers.NUMBERS, "--blocks": numbers.NUMBERS,
    },
    "verify": {
        "--limit": numbers.NUMBERS, "--threads": numbers.NUMBERS + numbers.ABSURD, "--worst": numbers.NUMBERS,
        "--max-drop": numbers.NUMBERS, "--max-class-drop": (*numbers.PAIRS, "thing=nan", "thing=-1"),
        "--split": ("", "no", "../val", "val\n"),
    },
    "predict": {"--alpha": numbers.NUMBERS},
    "plan": {"--data": ("", "no", "folders=", "=", "folders=/dev/zero", "camvid", "x=y")},
    "run": {
        "--min-runs": numbers.NUMBERS, "--min-seconds": (*numbers.NUMBERS, "1e15"),
        "--data": ("no", "folders=", "=", "folders=/dev/zero", "camvid", "x=y"),
    },
    "calibrate select": {
        "--count": numbers.NUMBERS, "--seed": numbers.NUMBERS, "--every": numbers.NUMBERS,
        "--strategy": ("best", "", "k-centre"), "--split": ("no", "../train"),
    },
    "calibrate check": {"--limit": numbers.NUMBERS, "--not-in": ("no", "=", "folders=pairs:no", ":")},
}  # fmt: skip


def _value_kinds() -> Iterator[Kind]:
    def given(command: str, option: str, value: str) -> Make:
        def make(place: Place) -> Case:
            _whole(place)
            name = value.partition("=")[0]
            named = (
                option,
                option[2:],
                option[2:].replace("-", "_"),
                value[:20] or "''",
                *([name] if name else []),
            )
            return Case((*_PLAIN[command], option, value), (*named, "network", "limit", "resize"))

        return make

    for command, options in _VALUES.items():
        for option, values in options.items():
            for value in dict.fromkeys(values):
                yield Kind(command, "numbers", f"{option} {value!r:.40}", given(command, option, value))


_ENVIRONMENTS: dict[str, tuple[dict[str, str | None], tuple[int, ...]]] = {
    "no home": ({"HOME": None, "XDG_CACHE_HOME": None}, ()),
    "a home that is a file": ({"HOME": "good.toml", "XDG_CACHE_HOME": None}, ()),
    "an empty home": ({"HOME": "", "XDG_CACHE_HOME": ""}, ()),
    "a cache that is a file": ({"XDG_CACHE_HOME": "good.toml"}, ()),
    "a cache that is a device": ({"XDG_CACHE_HOME": "/dev/null"}, ()),
    "a cache in /proc": ({"XDG_CACHE_HOME": "/proc/none"}, ()),
    "a cache at a pipe": ({"XDG_CACHE_HOME": "pipe"}, ()),
    "a cache with a long name": ({"XDG_CACHE_HOME": "x" * 5_000}, ()),
    "no temporary folder": ({"TMPDIR": "/proc/none"}, ()),
    "an ASCII terminal": ({"PYTHONIOENCODING": "ascii", "LANG": "C"}, ()),
    "no columns": ({"COLUMNS": "0"}, ()),
    "columns of words": ({"COLUMNS": "wide"}, ()),
    "a terminal of words": ({"TERM": "nonsense", "FORCE_COLOR": "1"}, ()),
    "threads of words": ({"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "-3"}, ()),
    "instruction sets of words": ({"ONEDNN_MAX_CPU_ISA": "nonsense"}, ()),
    "no path": ({"PATH": ""}, ()),
    "no output": ({}, (1,)),
    "no errors": ({}, (2,)),
    "no output and no errors": ({}, (1, 2)),
    "debugging": ({"EDGESEG_DEBUG": "1"}, ()),
    "GPUs of words": ({"CUDA_VISIBLE_DEVICES": "seven"}, ()),
}


def _environment_kinds() -> Iterator[Kind]:
    def made(words: Words, fault: str) -> Make:
        def make(place: Place) -> Case:
            _whole(place)
            env, closed = _ENVIRONMENTS[fault]
            return Case(
                words, ("HOME", "cache", "CACHE", *(v[:20] for v in env.values() if v), "bundle"), env, closed
            )

        return make

    for command, words in _PLAIN.items():
        for fault in _ENVIRONMENTS:
            yield Kind(command, "environment", fault, made(words, fault))
