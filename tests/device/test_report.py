from __future__ import annotations

import msgspec
import pytest

from edgeseg.core.measurement import Environment, Measurement, PairedRatio
from edgeseg.device.report import judge, measurement_text, ratio_text
from edgeseg.device.statistics import summarize


@pytest.fixture
def measurement():
    samples = tuple(1.0 + i / 10_000 for i in range(1000))
    environment = Environment(
        cpu="Fast CPU", cores=4, cpu_mhz=2500.0, temperature_c=55.0, gpu={"name": "Orin"}
    )
    return Measurement(
        id="0",
        created="2026-11-30T12:00:00+00:00",
        machine="board",
        hardware="Orin",
        bundle="net-ort-fp32",
        target="ort-fp32",
        engine_version="1.2",
        threads=2,
        cpus=(0, 1),
        batch=1,
        streams=2,
        warmup_runs=1,
        device_samples_ms=samples,
        host_samples_ms=samples,
        device=summarize(samples),
        host=summarize(samples),
        first_frame_ms=12.0,
        throughput_fps=900.0,
        memory_mb=80.0,
        before=environment,
        after=environment,
    )


RATIO = PairedRatio(a="x", b="y", clock="host", openings=6, blocks=24, ratio=1.5, low=1.4, high=1.6)


def test_text_has_the_numbers_a_reader_looks_for(measurement):
    text = measurement_text(measurement)
    for part in (
        "p50 1.050 ms (95% 1.0",
        "p99 1.099",
        "first frame 12.0 ms, 900.0 frames/s (2 streams, batch 1), 80.0 MB",
        "2 threads on cores 0, 1, Fast CPU, 4 cores, 2500 MHz, 55 °C, Orin",
    ):
        assert part in text


def test_text_shows_why_a_number_is_invalid(measurement):
    noisy = msgspec.structs.replace(measurement, valid=False, reasons=("too noisy",))
    assert "INVALID: too noisy" in measurement_text(noisy)
    assert "INVALID: wide" in ratio_text(msgspec.structs.replace(RATIO, reasons=("wide",)))


def test_text_tells_what_the_engine_warns_of(measurement):
    tuned = msgspec.structs.replace(measurement, notes=("tuned for another CPU",))
    assert "note: tuned for another CPU" in measurement_text(tuned)


def test_a_ratio_reads_as_a_sentence():
    assert "host: x takes 1.500 times as long as y (95% 1.400 to 1.600" in ratio_text(RATIO)


@pytest.mark.parametrize(("budget", "status"), [(None, "pass"), (1.2, "pass"), (1.05, "fail")])
def test_a_budget_is_judged(measurement, budget, status):
    assert judge(measurement, budget).status == status


def test_an_invalid_measurement_never_passes(measurement):
    noisy = msgspec.structs.replace(measurement, valid=False, reasons=("too noisy",))
    assert judge(noisy, 100.0).status == "invalid"
    assert judge(noisy, 100.0, RATIO).status == "invalid"
    assert judge(noisy, None, RATIO).status == "pass"
    assert judge(noisy, None, msgspec.structs.replace(RATIO, reasons=("wide",))).status == "invalid"


def test_p99_of_few_runs_is_not_judged(measurement):
    few = msgspec.structs.replace(measurement, host=summarize(measurement.host_samples_ms[:500]))
    verdict = judge(few, 100.0)
    assert verdict.status == "invalid"
    assert "--min-runs 1000" in verdict.reasons[0]
