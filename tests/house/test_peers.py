from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from edgeseg.core.measurement import PairedRatio
from edgeseg.datasets.split import Split

pytest.importorskip("onnx")


@pytest.fixture
def part(clone, monkeypatch):
    monkeypatch.syspath_prepend(str(clone / "benchmarks"))
    return lambda name: importlib.import_module(f"_peers.{name}")


def ratio(low, high):
    return PairedRatio(
        a="A", b="B", clock="network", openings=6, blocks=24, ratio=(low + high) / 2, low=low, high=high
    )


def sequences(*lengths):
    ids = tuple(f"s{s}_{i:03}" for s, n in enumerate(lengths) for i in range(n))
    return Split("camvid", "train", ids, (), 11, lambda _: None, lambda _: None)


def test_the_command_explains_itself(clone, run):
    for name in ("peers.py", "calibration.py"):
        shown = run("python", clone / "benchmarks" / name, "--help")
        assert shown.returncode == 0 and "CamVid" in shown.stdout


def test_calibration_and_held_out_images_are_apart(part, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESEG_DATA", str(tmp_path))
    material = part("material").Material("mobile-unet", None, tmp_path, 128, {})
    material.__dict__["train"] = sequences(124, 62, 181)
    used, kept = material.calibration.ids, material.held_out.ids
    assert len(set(used)) == 128 and len(set(kept)) == 40
    assert not set(used) & set(kept)
    for name in kept:
        sequence, number = name.split("_")
        for near in range(1, part("material").GAP + 1):
            assert f"{sequence}_{int(number) - near:03}" not in used


def test_users_preprocessing_equals_the_contract(part):
    from edgeseg.core.preprocess import Preprocess
    from edgeseg.runtime.preprocess import preprocess

    material = part("material")
    frame = np.random.default_rng(0).integers(0, 256, (*material.CAMERA, 3), np.uint8)
    expected = preprocess(frame[None], Preprocess(), material.INPUT)
    assert np.abs(material.prepared(frame) - expected).max() < 1e-5


def test_contestants_have_one_name_each(part):
    names = [c.name for c in part("roster").CONTESTANTS]
    assert len(set(names)) == len(names)


def test_a_bundle_of_the_command_line_takes_part_without_being_made(part, tmp_path):
    compress, timing, roster = part("compress"), part("timing"), part("roster")
    (tmp_path / "given").mkdir()
    (tmp_path / "float.onnx").touch()
    bundles = {c.name: tmp_path / "given" for c in roster.CONTESTANTS}
    material = SimpleNamespace(folder=tmp_path, graph=tmp_path / "float.onnx", bundles=bundles)
    compress.compress(material, ["false"], set())
    assert all(timing.made(material, c) for c in roster.CONTESTANTS if roster.is_ours(c.name))


def test_a_failing_peer_is_recorded_and_does_not_stop_the_run(part, tmp_path):
    compress, roster = part("compress"), part("roster")

    def fail(material, folder):
        raise RuntimeError("no such\noperator")

    contestant = roster.Contestant("x", "X", None, None, fail)
    material = SimpleNamespace(calibration=SimpleNamespace(ids=("a",)))
    assert compress._measured(contestant, material, tmp_path) == {"error": "RuntimeError: no such"}


@pytest.mark.parametrize(
    ("low", "high", "status"), [(0.7, 0.75, "pass"), (0.79, 0.82, "unclear"), (0.81, 0.9, "fail")]
)
def test_a_ratio_is_judged_by_its_interval(part, low, high, status):
    verdict = part("findings")._at_most("device time", "edgeseg-ptq", ratio(low, high), 0.8)
    assert verdict.status == status and "limit 0.8" in verdict.text


def test_the_plan_is_compared_with_accuracy_control_on_an_idle_machine_only(part):
    findings = part("findings")

    def row(name, seconds, alone=True):
        return findings.Row(name=name, label=name, seconds=seconds, compressed_alone=alone)

    assert findings._plan_time(row("p", 30.0), row("c", 100.0)).status == "pass"
    assert findings._plan_time(row("p", 40.0), row("c", 100.0)).status == "fail"
    assert findings._plan_time(row("p", 30.0, alone=False), row("c", 100.0)).status == "unclear"
    assert findings._plan_time(None, row("c", 100.0)).status == "missing"


def test_a_winner_passes_in_everything(part):
    findings = part("findings")

    def verdicts(name, *statuses):
        return [findings.Verdict(what="x", contestant=name, status=s, text="") for s in statuses]

    plan = verdicts("edgeseg-planned", "fail")
    good, bad = verdicts("edgeseg-qat", *["pass"] * 3), verdicts("edgeseg-ptq", "fail", "pass", "pass")
    pruned, unmatched = verdicts("edgeseg-pruned", *["pass"] * 3), verdicts("edgeseg-planned", "pass")
    every = [*good, *bad, *pruned, *unmatched, *plan]
    assert findings.winners(every, rival=True) == ["edgeseg-qat"]
    assert findings.winners(every, rival=False) == ["edgeseg-qat", "edgeseg-planned"]


def test_blocks_hold_enough_runs(part):
    timing = part("timing")
    assert len(timing._block(lambda: None)) >= timing.MIN_RUNS


def test_the_report_is_dense_json_a_table_and_a_plot(part, tmp_path, monkeypatch):
    report, findings = part("report"), part("findings")
    times = findings.Times(
        network=report_percentiles(12.0),
        frame=report_percentiles(15.0),
        engine=None,
        versus={"openvino-default": {"network": ratio(0.5, 0.6), "frame": ratio(0.5, 0.6)}},
        precision="bfloat16",
        agreement=0.99,
        reasons=(),
    )
    found = findings.Findings(
        network="mobile-unet",
        images=128,
        held_out=40,
        val=101,
        macs=10**9,
        best_nncf="",
        nncf_keeps=False,
        rows=(
            findings.Row(name="edgeseg-ptq", label="edgeseg", miou=71.0, times={"native": times}),
            findings.Row(name="onnxsim-int8", label="onnxsim", error="ValueError: no"),
        ),
        verdicts=(findings.Verdict(what="drop", contestant="edgeseg-ptq", status="fail", text="[0.1, 1]"),),
        valid=True,
        reasons=(),
        about={
            "native": {
                "before": {"cpu": "some CPU"},
                "features": {"has": ["avx2", "avx512_vnni", "amx_int8"]},
                "blocks": {"edgeseg-ptq": [[1.5, 2.25e-3], [3]]},
            }
        },
    )
    monkeypatch.setattr(report, "find", lambda material: found)
    assert report.write(None, tmp_path) == 1
    text = (tmp_path / "peers-mobile-unet-amx.json").read_text()
    assert "[1.5,0.00225]" in text
    assert json.loads(text)["rows"][0]["miou"] == 71.0
    page = (tmp_path / "peers.md").read_text()
    assert "some CPU" in page and "ValueError: no" in page and "0.55 [0.50, 0.60]" in page
    assert ">edgeseg</text>" in (tmp_path / "peers-mobile-unet-amx.svg").read_text()


def report_percentiles(p50):
    from edgeseg.device.statistics import summarize

    return summarize([p50 * (1 + i / 1000) for i in range(40)])
