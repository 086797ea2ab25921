"""Every kind of bad input: which command meets which fault of which format."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fuzzing import checkpoints, documents, engines, numbers, onnx_files, pictures, things
from fuzzing.case import Bad, Case, Make, Place
from fuzzing.documents import CLASSES
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
STRATIFIED = ("calibrate", "select", "--strategy", "stratified", "--count", "1", "-o", "out.txt")
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
        "tags": documents.TAGS,
        "image": pictures.IMAGES,
        "mask": pictures.MASKS,
        "mask array": pictures.MASK_ARRAYS,
        "coco": things.COCO,
        "labelme": things.LABELME,
        "key": documents.keys((material / "key.pem").read_bytes()),
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
        given += ("preprocess: mean",)
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


def _coco(*words: str) -> Placed:
    """The labels of a folder of COCO."""

    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        (place.folder / "pairs" / "annotations").mkdir()
        bad(place.folder / "pairs" / "annotations" / "train.json", place.random)
        return Case((*words, "--data", "coco=pairs"), ("train.json", "pairs"))

    return write


def _labelme(*words: str) -> Placed:
    """The labels of one image, as things."""

    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        shutil.rmtree(place.folder / "pairs" / "masks")
        classes = CLASSES.replace('"ids"', '"polygons"\ntask = "instance"')
        (place.folder / "pairs" / "dataset.toml").write_text(classes)
        labels = place.folder / "pairs" / "labels"
        for name in ("train/b", "val/a", "val/b"):
            path = labels / f"{name}{name.partition('/')[0]}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(things.labelme_document()))
        bad(labels / "train" / "atrain.json", place.random)
        return Case((*words, "--data", "folders=pairs"), ("atrain", "pairs"))

    return write


def _list(words: Words) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        bad(place.folder / "list.txt", place.random)
        return Case(words, ("list.txt", "images", "list", "no-train"))

    return write


def _tags(*words: str) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _network(place)
        place.copy("ort", "bundle")
        bad(place.folder / "tags.csv", place.random)
        return Case((*words, "--tags", "tags.csv"), ("tags.csv", "tag"))

    return write


def _key(*words: str) -> Placed:
    def write(place: Place, bad: Bad) -> Case:
        _whole(place)
        bad(place.folder / "bad.pem", place.random)
        return Case(words, ("bad.pem",))

    return write


_FILES: dict[str, dict[str, Placed]] = {
    "key": {
        "sign": _key("sign", "bundle", "--key", "bad.pem"),
        "bench": _key(*BENCH, "--require-signature", "bad.pem"),
        "predict": _key(*PREDICT, "--require-signature", "bad.pem"),
        "verify": _key(*VERIFY, "--require-signature", "bad.pem"),
    },
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
    "tags": {"verify": _tags(*VERIFY)},
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
    "coco": {"calibrate select": _coco(*STRATIFIED)},
    "labelme": {"calibrate select": _labelme(*STRATIFIED)},
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
    ("sign", ("sign", "bundle", "--key", "key.pem"), ("ort",)),
    ("calibrate check", (*CHECK, "--bundle", "bundle"), ("deferred",)),
)


def _bundle_kinds(command: str, words: Words, material: Path, name: str) -> Iterator[Kind]:
    def placed(place: Place) -> None:
        _network(place)
        place.copy("list.txt")
        place.copy("key.pem")

    def manifest(place: Place, bad: Bad) -> Case:
        placed(place)
        place.copy(name, "bundle")
        (place.folder / "bundle" / "manifest.json").unlink()
        bad(place.folder / "bundle" / "manifest.json", place.random)
        return Case(words, ("bundle", "target", "banana", "do not use"))

    def engine(change: engines.Change) -> Make:
        def make(place: Place) -> Case:
            placed(place)
            engines.rewritten(place.material / name, place.folder / "bundle", change, place.random)
            return Case(
                words, ("bundle", "model.", "engine", "golden", "graph", "deploy", "(node '", "do not use")
            )

        return make

    good = (material / name / "manifest.json").read_bytes()
    for fault, bad in documents.manifests(good).items():
        yield Kind(command, "manifest", f"{name}: {fault}", _file(manifest, bad))
    for fault, change in engines.ENGINES.items():
        if "golden" not in fault or json.loads(good)["golden"]:
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
    "sign": ("sign", "bundle", "--key", "key.pem"),
    "calibrate select": SELECT,
    "calibrate check": CHECK,
}
"""Good words of each command."""


def _whole(place: Place, command: str = "") -> None:
    _network(place)
    place.copy("list.txt")
    place.copy("deferred" if command == "build" else "null", "bundle")
    place.copy("key.pem")
    (place.folder / "good.toml").write_text(documents.RECIPE)


def _word_kinds() -> Iterator[Kind]:
    """More words than a command takes, or a word of its own for its first argument."""

    def named(words: tuple[str | bytes, ...]) -> Words:
        texts = [os.fsdecode(word).partition("=")[0][:50] for word in words]
        return (
            *filter(None, texts),
            *(ascii(t).strip("'") for t in texts if t),
            "argument",
            ". is",
            "''",
            "got neither",
        )

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
            return Case((*words[:group], word, *words[group + 1 :]), named((word, *words[group + 1 :])))

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


def _value_kinds() -> Iterator[Kind]:
    def given(command: str, option: str, value: str) -> Make:
        def make(place: Place) -> Case:
            _whole(place, command)
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

    for command, options in numbers.VALUES.items():
        for option, values in options.items():
            for value in dict.fromkeys(values):
                yield Kind(command, "numbers", f"{option} {value!r:.40}", given(command, option, value))


def _environment_kinds() -> Iterator[Kind]:
    def made(words: Words, fault: str) -> Make:
        def make(place: Place) -> Case:
            _whole(place)
            env, closed = numbers.ENVIRONMENTS[fault]
            return Case(
                words, ("HOME", "cache", "CACHE", *(v[:20] for v in env.values() if v), "bundle"), env, closed
            )

        return make

    for command, words in _PLAIN.items():
        for fault in numbers.ENVIRONMENTS:
            yield Kind(command, "environment", fault, made(words, fault))
