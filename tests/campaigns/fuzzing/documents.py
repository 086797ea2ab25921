"""Recipes, class files, manifests and calibration lists that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from edgeseg.core.bundle import manifest_digest
from fuzzing.case import ANY, Bad, content, cut, flipped, void

RECIPE = """schema_version = 1
name = "small"
targets = ["ort-fp32"]
bench = false
[model]
name = "net.py:net"
input_size = [64, 64]
classes = 2
[data]
name = "folders"
root = "pairs"
[[steps]]
use = "export"
"""
CLASSES = """schema_version = 1
encoding = "ids"
[[classes]]
name = "ground"
color = [0, 0, 0]
[[classes]]
name = "thing"
color = [255, 0, 0]
"""


def _toml(good: str) -> dict[str, Bad]:
    """Faults of TOML itself; `good` starts with schema_version."""
    return {
        **ANY,
        "cut": cut(good.encode()),
        "flipped": flipped(good.encode()),
        "other bytes": content(b"\xff\xfe" + good.encode("utf-16-le")),
        "no UTF-8": content(good.replace("name", "name", 1).encode() + b'x = "\xe9\xff"\n'),
        "brackets": content(f"x = {'[' * 100_000}\n{good}"),
        "tables in tables": content(good + f"[{'.'.join('a' * 20_000)}]\n"),
        "dots in a key": content(f"{'.'.join('a' * 20_000)} = 1\n{good}"),
        "inline tables": content(f"x = {'{a = ' * 50_000}1{'}' * 50_000}\n{good}"),
        "digits": content(f"x = {'9' * 5_000}\n{good}"),
        "hexadecimal digits": content(good.replace("= 1\n", f"= 0x{'f' * 5_000}\n", 1)),
        "the same key twice": content(f"schema_version = 1\n{good}"),
        "another version": content(good.replace("= 1\n", "= 99\n", 1)),
        "a text for the version": content(good.replace("= 1\n", '= "one"\n', 1)),
        "no version": content(good.replace("schema_version = 1\n", "", 1)),
        "an unknown field": content(f"unknown_field = 1\n{good}"),
        "too long": content(good + "# filler\n" * 300_000),
        "a date": content(good.replace("= 1\n", "= 2020-01-01\n", 1)),
        "a null character": content(good.replace('name = "', 'name = "\\u0000', 1)),
    }


def _changes(good: str, changes: dict[str, tuple[str, str]]) -> dict[str, Bad]:
    made = {}
    for name, (old, new) in changes.items():
        assert old in good, name
        made[name] = content(good.replace(old, new, 1))
    return made


RECIPES = _toml(RECIPE) | _changes(
    RECIPE,
    {
        "no targets": ('["ort-fp32"]', "[]"),
        "targets as text": ('["ort-fp32"]', '"ort-fp32"'),
        "an unknown target": ('"ort-fp32"', '"ort-fp99"'),
        "a target with absurd threads": ('"ort-fp32"', '"ort-fp32+threads=9999"'),
        "a target on another core": ('"ort-fp32"', '"ort-fp32+cpus=9000"'),
        "a negative size": ("[64, 64]", "[-64, 64]"),
        "an absurd size": ("[64, 64]", "[1000000, 1000000]"),
        "a size of floats": ("[64, 64]", "[64.5, 64]"),
        "three sides": ("[64, 64]", "[64, 64, 3]"),
        "an absurd batch": ("bench = false", "bench = false\nbatch = 100000000"),
        "a negative batch": ("bench = false", "bench = false\nbatch = -1"),
        "an infinite limit": ("[data]", "[budget]\nmax_drop = inf\n[data]"),
        "a limit that is no number": ("[data]", "[budget]\nmax_p99_ms = nan\n[data]"),
        "an unknown step": ('use = "export"', 'use = "exprot"'),
        "a step twice": ('use = "export"', 'use = "export"\n[[steps]]\nuse = "export"'),
        "an unknown setting": ('use = "export"', 'use = "export"\nsettings = {colour = 3}'),
        "absurd training": (
            'use = "export"', 'use = "train"\nsettings = {lr = inf}\n[[steps]]\nuse = "export"'
        ),
        "a missing network": ("net.py:net", "nothing.py:net"),
        "a missing factory": ("net.py:net", "net.py:nothing"),
        "an unknown network": ("net.py:net", "resnet9000"),
        "missing data": ('root = "pairs"', 'root = "no-pairs"'),
        "an unknown layout": ('name = "folders"', 'name = "flodders"'),
        "an unknown split": ('root = "pairs"', 'root = "pairs"\nvalidation = "vla"'),
        "a negative limit": ('root = "pairs"', 'root = "pairs"\nlimit = -3'),
        "other classes": ("classes = 2", "classes = 7"),
        "absurd classes": ("classes = 2", "classes = 1000000000"),
        "a mean that is no number": ("classes = 2", "classes = 2\npreprocess = {mean = [nan, 0.0, 0.0]}"),
        "weights at a pipe": ("classes = 2", 'classes = 2\nweights = "pipe"'),
        "a missing list": (
            'use = "export"',
            'use = "export"\n[[steps]]\nuse = "quantize"\nsettings = {list = "no.txt"}',
        ),
    },
)  # fmt: skip

CLASS_FILES = _toml(CLASSES) | _changes(
    CLASSES,
    {
        "no classes": (CLASSES.partition("[[")[1] + CLASSES.partition("[[")[2], "classes = []\n"),
        "one class": ('[[classes]]\nname = "thing"\ncolor = [255, 0, 0]\n', ""),
        "a name twice": ('"thing"', '"ground"'),
        "a colour twice": ("[255, 0, 0]", "[0, 0, 0]"),
        "a colour outside": ("[255, 0, 0]", "[256, 0, 0]"),
        "a negative colour": ("[255, 0, 0]", "[-1, 0, 0]"),
        "two colours": ("[255, 0, 0]", "[255, 0]"),
        "an unknown encoding": ('"ids"', '"idds"'),
        "an absurd ignore": ('"ids"', '"ids"\nignore_index = 100000'),
        "a bad expression": ('"ids"', '"ids"\nsequences = "("'),
        "an expression without group": ('"ids"', '"ids"\nsequences = "a+"'),
        "400 classes": (
            '[[classes]]\nname = "thing"',
            "".join(f'[[classes]]\nname = "c{i}"\n' for i in range(400)) + '[[classes]]\nname = "thing"',
        ),
    },
)


def lists(good: str) -> dict[str, Bad]:
    """Of a good calibration list."""
    lines = good.splitlines(keepends=True)
    entries = [line for line in lines if not line.startswith("#")]
    head = "".join(line for line in lines if line.startswith("#"))
    return {
        **ANY,
        "flipped": flipped(good.encode()),
        "no UTF-8": content(good.encode() + b"\xff\xfe  00\n"),
        "no header": content("".join(entries)),
        "no entry": content(head),
        "an entry twice": content(good + entries[0]),
        "another data set": content(good.replace("# dataset: ", "# dataset: no-", 1)),
        "another split": content(good.replace("# split: ", "# split: no-", 1)),
        "another hash": content(head + entries[0][:-9] + "00000000\n"),
        "a short hash": content(head + entries[0][:-9] + "\n"),
        "an unknown image": content(head + "nowhere" + entries[0]),
        "a path": content(head + "../../" + entries[0]),
        "one space": content(good.replace("  ", " ")),
        "a line of a megabyte": content(good + "x" * 1_000_000 + "\n"),
        "a null character": content(head + "\0" + entries[0]),
        "words": content("these are not the images you are looking for\n"),
    }


TAGS: dict[str, Bad] = {
    **ANY,
    "no UTF-8": content(b"image,light\naval,\xff\xfe\n"),
    "no header": content("aval,night\n"),
    "one column": content("image\naval\n"),
    "an empty name": content("image,,light\naval,1,night\n"),
    "another first column": content("id,light\naval,night\n"),
    "a header alone": content("image,light\n"),
    "another image": content("image,light\nnowhere,night\n"),
    "no value": content("image,light\naval,\n"),
    "more values": content("image,light\naval,night,2\n"),
    "fewer values": content("image,light,camera\naval,night\n"),
    "an image twice": content("image,light\naval,night\naval,day\n"),
    "an open quote": content('image,light\n"aval,night\n'),
    "a quote within": content('image,light\na"val"x,"ni"ght\n'),
    "semicolons": content("image;light\naval;night\n"),
    "a null character": content("image,light\na\0val,night\n"),
    "a value of a megabyte": content("image,light\naval," + "x" * 1_000_000 + "\n"),
    "a line of brackets": content("image,light\n" + "[" * 100_000),
    "words": content("these are no tags\n"),
}


def keys(good: bytes) -> dict[str, Bad]:
    """Of a private key in PEM."""
    return {
        **ANY,
        "cut": cut(good),
        "flipped": flipped(good, 3),
        "no UTF-8": content(b"\xff\xfe" + good),
        "twice": content(good + good),
        "of another kind": content(good.replace(b"PRIVATE KEY", b"RSA PRIVATE KEY")),
        "a certificate": content(good.replace(b"PRIVATE KEY", b"CERTIFICATE")),
        "without a body": content(b"".join(good.splitlines(keepends=True)[::2])),
        "without an end": content(good.rpartition(b"-----END")[0]),
        "brackets": content(b"[" * 100_000),
        "too long": content(good + b"A" * (2 << 20)),
        "raw": content(bytes(32)),
    }


def manifests(good: bytes) -> dict[str, Bad]:
    """Of a good manifest: faults of JSON, and fields that make no sense."""
    return {
        **ANY,
        "cut": cut(good),
        "flipped": flipped(good),
        "a list": content(b"[1, 2]"),
        "a number": content(b"1"),
        "no UTF-8": content(good.replace(b'"name"', b'"n\xff\xfe"', 1)),
        "brackets": content(b'{"schema_version": 1, "x": ' + b"[" * 100_000),
        "digits": content(good.replace(b'"schema_version": 1', b'"schema_version": ' + b"9" * 5_000, 1)),
        "a huge exponent": content(good.replace(b'"schema_version": 1', b'"schema_version": 1e99999', 1)),
        **{name: _json(good, change) for name, change in _FIELDS.items()},
    }


def _json(good: bytes, change: Callable[[Any], object]) -> Bad:
    def write(path: Path, _: Random) -> None:
        data = json.loads(good)
        change(data)
        data["digest"] = manifest_digest(data)  # what stands behind the digest is asked too
        void(path.write_text(json.dumps(data)))

    return write


_FIELDS: dict[str, Callable[[Any], object]] = {
    "an unknown field": lambda m: m.update(colour=1),
    "no engine": lambda m: m.pop("engine", None),
    "another kind": lambda m: m.update(kind="sculpture"),
    "another version": lambda m: m.update(schema_version=7),
    "a file outside": lambda m: m["files"].update({"../../x": {"size": 1, "sha256": "0" * 64}}),
    "an absolute file": lambda m: m["files"].update({"/dev/zero": {"size": 1, "sha256": "0" * 64}}),
    "a file that is not there": lambda m: m["files"].update(gone={"size": 1, "sha256": "0" * 64}),
    "a file with a null character": lambda m: m["files"].update({"a\0b": {"size": 1, "sha256": "0" * 64}}),
    "a size too large": lambda m: next(iter(m["files"].values())).update(size=10**18),
    "an entry that is not listed": lambda m: m["engine"].update(entry="nothing.bin"),
    "an absurd frame": lambda m: m["engine"].update(camera_size=[10**9, 10**9]),
    "an absurd batch": lambda m: m["engine"].update(batch=10**15),
    "a target of another engine": lambda m: m["engine"].update(target="openvino-fp32@npu"),
    "a target that is none": lambda m: m["engine"].update(target="banana"),
    "a scale of zero": lambda m: m["model"]["preprocess"].update(scale=0),
    "no classes": lambda m: m["model"].update(classes=[]),
    "a name with a path": lambda m: m.update(name="../../escape"),
    "an output that is none": lambda m: m["model"]["postprocess"].update(output=7),
    "a golden file outside": lambda m: m.update(golden={"file": "../golden.npz"}),
    "deep settings": lambda m: m["step"].update(settings=json.loads('{"a":' * 300 + "1" + "}" * 300)),
}
