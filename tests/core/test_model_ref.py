from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.core.model_ref import ModelRef


@pytest.mark.parametrize(
    ("text", "kind", "path", "factory", "name"),
    [
        ("mobile-unet", "zoo", None, "", "mobile-unet"),
        ("", "zoo", None, "", ""),
        ("net.tflite", "zoo", None, "", "net.tflite"),
        ("nets/net.py:make", "python", "nets/net.py", "make", "net"),
        ("net.PY:make", "python", "net.PY", "make", "net"),
        ("net.py", "python", "net.py", "", "net"),
        ("C:/nets/net.py:make", "python", "C:/nets/net.py", "make", "net"),
        ("net.py:not a name", "python", "net.py", "not a name", "net"),
        ("a.py:b.py:f", "python", "a.py:b.py", "f", "a.py:b"),
        ("dir.py:x/net.onnx", "onnx", "dir.py:x/net.onnx", "", "net"),
        ("net.onnx", "onnx", "net.onnx", "", "net"),
        ("a.b/NET.ONNX", "onnx", "a.b/NET.ONNX", "", "NET"),
        ("net.pt2", "pt2", "net.pt2", "", "net"),
        ("net.pth", "weights", "net.pth", "", "net"),
    ],
)
def test_what_the_name_of_a_network_means(text, kind, path, factory, name):
    ref = ModelRef.parse(text)
    assert (ref.kind, ref.path, ref.factory, ref.name) == (kind, Path(path) if path else None, factory, name)
    assert ref.runs_code == (kind == "python" and factory in ("make", "f"))


def test_the_same_network_elsewhere():
    assert ModelRef.parse("net.py:make").at(Path("/lab/net.py")) == "/lab/net.py:make"
    assert ModelRef.parse("net.onnx").at(Path("/lab/net.onnx")) == "/lab/net.onnx"
