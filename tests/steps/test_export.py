from __future__ import annotations

import onnx
import pytest


@pytest.mark.parametrize("kind", ["synthetic", "real"])
def test_a_torch_network_is_checked_against_pytorch_on_random_camera_and_flat_frames(
    torch_bundle, run_step, kind
):
    child = run_step("export", torch_bundle(), frames=kind)
    assert child.manifest.kind == "onnx" and child.manifest.step.name == "export"
    checks = child.manifest.checks
    assert [(c.what, c.against, c.inputs) for c in checks] == [
        ("ONNX Runtime", "PyTorch", inputs)
        for inputs in ("random", kind, "black", "white", "constant", "out of range")
    ]
    assert all(0 <= c.max_error < 1e-4 for c in checks)
    assert {"torch", "onnx", "onnxruntime"} <= set(child.manifest.tools)


def test_the_graph_is_static_and_folded(torch_bundle, run_step):
    child = run_step("export", torch_bundle(), batch=2)
    graph = onnx.load(str(child.file(child.manifest.graph))).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [2, 3, 32, 48]
    assert {n.op_type for n in graph.node} == {"Conv", "Relu"}


def test_an_onnx_file_is_checked_against_itself(torch_bundle, run_step):
    given = run_step("export", torch_bundle())
    child = run_step("export", given, frames="real", batch=1)
    assert [(c.against, c.inputs) for c in child.manifest.checks] == [
        ("the ONNX file", inputs)
        for inputs in ("random", "real", "black", "white", "constant", "out of range")
    ]


def test_notes_of_the_parent_stay(torch_bundle, run_step):
    parent = torch_bundle()
    assert any("random" in note or "weights" in note for note in parent.manifest.notes)
    assert run_step("export", parent).manifest.notes[: len(parent.manifest.notes)] == parent.manifest.notes
