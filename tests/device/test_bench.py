from __future__ import annotations

import os
import platform
import re
import sys
import time
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta

import msgspec
import pytest

from edgeseg.core.bundle import Bundle
from edgeseg.device import subject
from edgeseg.device.bench import BenchSettings, bench, bench_call, bench_pair, compare
from edgeseg.errors import BundleError, InputError
from edgeseg.runtime.session import Session

QUICK = BenchSettings(warmup=2, min_runs=40, min_seconds=0.0, openings=5, blocks=10, throughput_seconds=0.1)


def test_a_measurement_has_both_clocks_and_says_how(make_bundle):
    result = bench(make_bundle(batch=2), QUICK)
    assert set(result.device_samples_ms) == {0.5}
    assert result.device.p50 == 0.5
    assert len(result.host_samples_ms) == result.host.count == 40
    assert result.first_frame_ms > 0
    assert (result.bundle, result.target, result.batch, result.streams) == ("toy", "toy-fp32", 2, 1)
    expected = 2 * 1e3 / (sum(result.host_samples_ms) / 40)
    assert result.throughput_fps == pytest.approx(expected)
    assert (result.memory_mb is not None) == sys.platform.startswith("linux")
    assert result.before.cpu == result.after.cpu
    assert "copies included" in result.settings["host"]
    assert result.valid == (not result.reasons)


def test_a_measurement_says_what_it_measured_where_and_when(make_bundle):
    path = make_bundle()
    first, again = bench(path, QUICK), bench(path, QUICK)
    assert first.id != again.id and first.bundle_id == again.bundle_id == Bundle.open(path).id
    assert first.machine == platform.node() and first.hardware == first.before.cpu
    assert datetime.fromisoformat(first.created).utcoffset() == timedelta(0)


def test_too_few_runs_are_invalid_with_advice(make_bundle):
    result = bench(make_bundle(), BenchSettings(min_runs=5, min_seconds=0.0))
    assert not result.valid
    assert "raise --min-runs" in " ".join(result.reasons)


def test_streams_and_threads_are_passed_on(make_bundle):
    settings = BenchSettings(min_runs=5, min_seconds=0.0, streams=3, threads=2, throughput_seconds=0.1)
    result = bench(make_bundle(), settings)
    assert result.streams == 3
    assert result.target == "toy-fp32+threads=2"
    assert result.throughput_fps > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_the_process_is_pinned_while_it_measures(make_bundle):
    before = os.sched_getaffinity(0)
    one = min(before)
    seen = []
    settings = BenchSettings(min_runs=1, min_seconds=0.0, cpus=(one,))
    result = bench(make_bundle(), settings, lambda *_: seen.append(os.sched_getaffinity(0)))
    assert result.cpus == (one,)
    assert seen[-1] == {one}
    assert result.before.cores == 1
    assert os.sched_getaffinity(0) == before


def test_a_broken_engine_is_not_timed(make_bundle):
    with pytest.raises(BundleError, match="self-check"):
        bench(make_bundle(shift=1), QUICK)


def test_a_deferred_bundle_is_refused(make_bundle):
    with pytest.raises(BundleError, match="deferred"):
        bench(make_bundle(kind="deferred"), QUICK)


def test_a_pair_gives_ratios_on_both_clocks(make_bundle):
    a, b, device, host = bench_pair(make_bundle("first"), make_bundle("second"), QUICK)
    assert (a.bundle, b.bundle) == ("first", "second")
    assert (device.a, device.b, device.clock, host.clock) == ("first", "second", "device", "host")
    assert (device.ratio, device.low, device.high) == (1.0, 1.0, 1.0)
    assert (device.openings, device.blocks, host.openings, host.blocks) == (5, 10, 5, 10)
    assert host.low <= host.ratio <= host.high
    assert (a.settings["openings"], a.settings["blocks"]) == ("5", "10")
    assert len(a.host_samples_ms) == len(a.device_samples_ms) == len(b.host_samples_ms) == 40
    assert set(a.device_samples_ms) == {0.5}


def test_a_pair_is_opened_anew_in_turn_and_checked_once(make_bundle, monkeypatch):
    opened, checked = [], []

    class Counted(Session):
        def __init__(self, bundle, *args, **kwargs):
            opened.append(bundle.manifest.name)
            super().__init__(bundle, *args, **kwargs)

    monkeypatch.setattr(subject, "Session", Counted)
    monkeypatch.setattr(subject, "self_check", lambda _, bundle: checked.append(bundle.manifest.name))
    bench_pair(make_bundle("a"), make_bundle("b"), QUICK)
    assert "".join(opened) == "abbaabbaab"
    assert checked == ["a", "b"]


def test_a_pair_tells_its_throughput_with_streams(make_bundle):
    settings = msgspec.structs.replace(QUICK, streams=2)
    a, b, *_ = bench_pair(make_bundle("a"), make_bundle("b"), settings)
    assert a.throughput_fps > 0 and b.throughput_fps > 0


def test_a_call_is_measured_like_a_bundle(frames):
    result = bench_call(lambda shown: shown.max(), frames(2), "torch-fp32", QUICK)
    assert (result.bundle, result.target, result.batch) == ("torch-fp32", "torch-fp32", 2)
    assert result.device_samples_ms == result.host_samples_ms
    assert len(result.host_samples_ms) == 40
    assert "no clock of its own" in result.settings["device"]
    assert result.first_frame_ms > 0
    assert result.throughput_fps > 0
    assert result.valid == (not result.reasons)


def test_any_two_calls_can_be_compared():
    opened = []

    def busy(loops):
        def call():
            for _ in range(loops):
                pass

        @contextmanager
        def opener():
            opened.append(loops)
            yield call

        return opener

    samples_a, samples_b, ratio = compare(busy(40_000), busy(4_000), QUICK, names=("slow", "fast"))
    assert len(samples_a) == len(samples_b) == 40
    assert (ratio.a, ratio.b, ratio.openings, ratio.blocks) == ("slow", "fast", 5, 10)
    assert ratio.ratio > 3
    assert opened[:4] == [40_000, 4_000, 4_000, 40_000] and len(opened) == 10


def test_runs_are_rounded_up_over_the_blocks():
    settings = BenchSettings(warmup=0, min_runs=10, min_seconds=0.0, openings=2, blocks=3)
    samples, _, ratio = compare(
        lambda: nullcontext(time.perf_counter), lambda: nullcontext(time.perf_counter), settings
    )
    assert ratio.blocks == 4 and len(samples) == 12


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_runs": 0},
        {"blocks": 0},
        {"openings": 1},
        {"streams": 0},
        {"streams": 10**9},
        {"threads": 10**9},
        {"warmup": -1},
        {"warmup": 10**18},
        {"min_runs": 10**18},
        {"min_seconds": -1.0},
        {"min_seconds": 1e300},
        {"min_seconds": float("nan")},
    ],
)
def test_settings_that_measure_nothing_or_never_end_are_refused(make_bundle, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=rf"{name} is {re.escape(str(value))}\nexpected: from . to "):
        bench(make_bundle(), BenchSettings(**wrong))


def test_warnings_of_the_engine_stay_with_the_measurement(make_bundle):
    assert bench(make_bundle(), QUICK).notes == ("made on another CPU",)
