from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from small import save, write_recipe

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Availability
from edgeseg.core.recipe import Budget, DataChoice, ModelChoice, Recipe, StepChoice, TargetChoice
from edgeseg.device.bench import BenchSettings
from edgeseg.devices.local import LOCAL, Local
from edgeseg.errors import MissingDevice
from edgeseg.flow import run as run_module
from edgeseg.flow.results import judge
from edgeseg.flow.run import run

RECIPE = Recipe(
    schema_version=1,
    name="small",
    model=ModelChoice(name="demo"),
    data=DataChoice(limit=6),
    targets=("ort-fp32", "openvino-bf16", "rtx-fp16", TargetChoice(target="trt-fp16", unmeasured="allow")),
    budget=Budget(max_drop=1.0),
)
QUICK = BenchSettings(min_runs=5, min_seconds=0.0)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return run(RECIPE, Path.cwd(), folder, settings=QUICK), folder


def row(result, target):
    return next(r for r in result.rows if r.target == target)


def test_every_target_has_a_row_beside_the_baseline(result):
    rows = result[0].rows
    assert [r.target for r in rows] == ["torch-fp32", *(choice.target for choice in RECIPE.choices)]


def test_fp32_engine_scores_like_the_baseline(result):
    rows = result[0]
    assert row(rows, "ort-fp32").score == pytest.approx(row(rows, "torch-fp32").score, abs=1e-3)
    assert row(rows, "openvino-bf16").score == pytest.approx(row(rows, "torch-fp32").score, abs=1e-2)


def test_a_limit_on_what_cannot_run_here_is_unjudged_unless_the_recipe_allows_it(result):
    for target, status in (("rtx-fp16", "unjudged"), ("trt-fp16", "unmeasured")):
        unmeasured = row(result[0], target)
        assert unmeasured.verdict.status == status
        assert unmeasured.score is None and unmeasured.measurement is None
        assert "mIoU: the budget limits its drop to 1 points" in unmeasured.verdict.reasons[1]
    assert result[0].verdict.exit_code in (3, 4), "3: a machine too noisy to time anything"


@pytest.mark.parametrize(
    ("unmeasured", "budget", "code"),
    [
        ("refuse", Budget(), 0),
        ("refuse", Budget(max_drop=1.0), 4),
        ("refuse", Budget(max_p99_ms=1e6), 4),
        ("allow", Budget(max_drop=1.0, max_p99_ms=1e6), 0),
        ("allow", Budget(max_drop=1.0, max_size_mb=1e-6), 1),
    ],
)
def test_exit_codes_of_a_target_that_cannot_run_here(tmp_path, monkeypatch, unmeasured, budget, code):
    def absent(*_, **__):
        raise MissingDevice("no such device")

    monkeypatch.setattr(run_module, "verify", absent)
    targets = (TargetChoice(target="ort-fp32", unmeasured=unmeasured),)
    recipe = write_recipe(tmp_path, budget=budget, targets=targets)
    assert run(recipe, tmp_path, tmp_path / "out").verdict.exit_code == code


def test_rtx_is_built_and_trt_is_complete_for_the_device(result):
    assert row(result[0], "rtx-fp16").made == "engine"
    deferred = Bundle.open(row(result[0], "trt-fp16").bundle)
    assert deferred.manifest.kind == "deferred"
    assert {"deploy.onnx", "graph.onnx", "golden.npz"} <= set(deferred.manifest.files)


def test_bundles_know_where_they_come_from(result):
    bundle = Bundle.open(row(result[0], "ort-fp32").bundle)
    assert bundle.manifest.parent.kind == "onnx"
    assert any(check.against == "PyTorch" and check.max_error < 1e-3 for check in bundle.manifest.checks)


def test_a_rerun_uses_what_is_there(result):
    first, folder = result
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("manifest.json")}
    again = run(RECIPE, Path.cwd(), folder, settings=QUICK)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("manifest.json")} == before
    assert [r.score for r in again.rows] == [r.score for r in first.rows]


def test_a_missed_budget_fails(result):
    _, folder = result
    strict = msgspec.structs.replace(RECIPE, targets=("openvino-bf16",), budget=Budget(max_size_mb=0.001))
    verdict = run(strict, Path.cwd(), folder, settings=QUICK).verdict
    assert verdict.status == "fail"
    assert any("the budget is 0.001 MB" in reason for reason in verdict.reasons), verdict.reasons


def test_changed_labels_are_scored_again(tmp_path):
    recipe = write_recipe(tmp_path)
    first, again = (run(recipe, tmp_path, tmp_path / "out") for _ in range(2))
    (saved,) = (tmp_path / "out" / "verified").iterdir()
    before = saved.read_bytes()
    assert again.rows == first.rows and saved.read_bytes() == before
    for index in range(3):
        save(tmp_path / "lab" / "masks" / "val" / f"{index}.png", np.zeros((32, 32)))
    changed = run(recipe, tmp_path, tmp_path / "out")
    assert [r.score for r in changed.rows] != [r.score for r in first.rows]
    assert row(changed, "ort-fp32").score == row(changed, "torch-fp32").score


def test_frames_that_are_no_stored_pixels_are_scored_once(tmp_path, monkeypatch):
    """Grey images that the network sees as colours."""
    recipe = write_recipe(tmp_path)
    for picture in (tmp_path / "lab" / "images").rglob("*.png"):
        Image.open(picture).convert("L").save(picture)
    recipe = msgspec.structs.replace(
        recipe, model=msgspec.structs.replace(recipe.model, preprocess={"frame": "rgb"})
    )
    first = run(recipe, tmp_path, tmp_path / "out")
    assert row(first, "ort-fp32").score == row(first, "torch-fp32").score
    monkeypatch.setattr(run_module, "verify", lambda *_, **__: pytest.fail("scored again"))
    assert run(recipe, tmp_path, tmp_path / "out").rows == first.rows


def test_labels_whose_ignored_value_the_recipe_states_are_scored_once_and_alike(tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path)
    classes = tmp_path / "classes.toml"
    classes.write_text("ignore_index = 1\n" + (tmp_path / "lab" / "dataset.toml").read_text())
    recipe = msgspec.structs.replace(
        recipe, model=msgspec.structs.replace(recipe.model, classes=str(classes))
    )
    first = run(recipe, tmp_path, tmp_path / "out")
    assert row(first, "ort-fp32").score == row(first, "torch-fp32").score
    monkeypatch.setattr(run_module, "verify", lambda *_, **__: pytest.fail("scored again"))
    assert run(recipe, tmp_path, tmp_path / "out").rows == first.rows


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(max_drop=1.0), "mIoU: the budget limits its drop to 1 points, but accuracy was not scored"),
        (Budget(max_class_drop={"road": 2.0}), "road: the budget limits its drop to 2 points"),
        (Budget(max_p99_ms=40.0), "p99: the budget limits it to 40 ms, but latency was not measured"),
        (Budget(max_size_mb=3.0), "engine size: the budget limits it to 3 MB"),
    ],
)
def test_a_limit_that_nothing_was_measured_for_is_no_pass(budget, said):
    verdict = judge("mIoU", None, None, budget)
    assert verdict.exit_code == 4 and verdict.reasons[0].startswith(said)


def test_size_is_judged_without_data(tmp_path):
    no_data = msgspec.structs.replace(RECIPE.data, name="", limit=0)
    recipe = write_recipe(tmp_path, data=no_data, budget=Budget(max_size_mb=0.0001, max_drop=1.0))
    verdict = run(recipe, tmp_path, tmp_path / "out").verdict
    assert verdict.status == "fail"
    assert any("engine size" in r for r in verdict.reasons) and any(
        "not scored" in r for r in verdict.reasons
    )


def test_a_limit_on_p99_takes_a_thousand_runs(tmp_path, monkeypatch):
    seen = []
    real = LOCAL.bench
    monkeypatch.setattr(LOCAL, "bench", lambda p, s, *a: seen.append(s) or real(p, s, *a))
    recipe = write_recipe(tmp_path, bench=True, budget=Budget(max_p99_ms=1e4))
    result = row(run(recipe, tmp_path, tmp_path / "out", settings=QUICK), "ort-fp32")
    assert [s.min_runs for s in seen] == [1000]
    assert result.measurement.host.p99 is not None
    assert not any("needs 1,000 runs" in reason for reason in result.verdict.reasons)


DEEPER = """
import torch
from torch import nn

def net(classes=2):
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, classes, 1))
"""


class WithoutOnnxRuntime(Local):
    """A device whose only engine is OpenVINO."""

    name = "kitchen"

    def backend(self, target):
        found = super().backend(target)
        if target.engine == "ort":
            absent = Availability(build=False, run=False, reason="not installed", fix="install it")
            found.availability = lambda _: absent
        return found


def test_what_a_pruned_network_is_compared_with_runs_here(tmp_path):
    """The network before pruning in ONNX Runtime: the device need not have that."""
    pytest.importorskip("openvino")
    (tmp_path / "deeper.py").write_text(DEEPER)
    recipe = write_recipe(
        tmp_path,
        model=ModelChoice(name=str(tmp_path / "deeper.py:net"), input_size=(32, 32)),
        steps=(StepChoice(use="prune", settings={"keep": 0.6}), StepChoice(use="export")),
        targets=("openvino-fp32",),
    )
    result = run(recipe, tmp_path, tmp_path / "out", device=WithoutOnnxRuntime())
    assert row(result, "openvino-fp32").verification.drop is not None
