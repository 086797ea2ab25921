"""Engines and PyTorch in turn, in one process: `python -m _gpu.race TARGET... --work FOLDER ...`."""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from _gpu.plan import Rival, int8_pairs, on_gpu, rival_pairs, rivals
from _gpu.prove import DATA, place
from _gpu.record import Journal, Pair, Rivalry
from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import engine_cache
from edgeseg.datasets import open_dataset
from edgeseg.datasets.pictures import resize_frame, to_camera
from edgeseg.datasets.resizing import Resizing, unsure
from edgeseg.device.bench import BenchSettings, Opener, compare
from edgeseg.evaluation.reference import fp32_reference
from edgeseg.metrics import agreement
from edgeseg.runtime import load

Call = Callable[[np.ndarray], object]
COMPARED_FRAMES = 8
MIN_AGREEMENT = 0.98
"""Share of pixels equal to FP32's: what gives other class maps is no rival."""


class Race:
    """Runs the pairs in their order until the time is up.

    Args:
        until: when no more is begun, as `time.time()` counts.
    """

    def __init__(
        self, targets: tuple[str, ...], work: Path, journal: Journal, runs: int, until: float
    ) -> None:
        self._targets = targets
        self._work = work
        self._bundle = place(work, targets[0])
        self._journal = journal
        self._until = until
        self._settings = BenchSettings(min_runs=runs, min_seconds=0.0, blocks=12, warmup=5)
        about = Bundle.open(self._bundle)
        self._images = [open_dataset(DATA).split("val").image(i) for i in range(COMPARED_FRAMES)]
        self._spec, self._camera = about.manifest.model, about.engine.camera_size
        reference = fp32_reference(about)
        self._expected = self._class_maps(lambda frames: reference(frames)[0])
        self._frame = to_camera([resize_frame(self._images[0], self._camera)], self._spec.preprocess.frame)

    def run(self) -> None:
        """Engines are opened anew; PyTorch, which would compile anew, is the same in every opening."""
        engines = {target: partial(self._engine, target) for target in self._targets}
        self._pairs(int8_pairs(self._targets), engines)
        for rival in rivals(self._targets):
            call = self._rival(rival)
            if call is not None:
                rival_open = partial(nullcontext, partial(call, self._frame))
                self._pairs(rival_pairs(self._targets, rival), {**engines, rival.name: rival_open})

    @contextmanager
    def _engine(self, target: str) -> Iterator[Callable[[], object]]:
        with load(place(self._work, target), cache=engine_cache(), check=False) as session:
            yield partial(session, self._frame)

    def _rival(self, rival: Rival) -> Call | None:
        """The rival after its first class maps; None, with the reason in the journal, where it fails."""
        if time.time() > self._until:
            return None
        start = time.perf_counter()
        try:
            from _gpu.rivals import open_rival

            call = open_rival(rival, self._bundle, "cuda" if any(map(on_gpu, self._targets)) else "cpu")
            call(self._frame)
            seconds = time.perf_counter() - start
            agreed = agreement(self._class_maps(call), self._expected)
        except Exception as fault:
            missing = isinstance(fault, ModuleNotFoundError)
            status = "missing" if missing else "failed"
            self._journal.add(Rivalry(name=rival.name, status=status, reason=_reason(fault)))
            return None
        if agreed < MIN_AGREEMENT:
            reason = f"its class maps agree with FP32's on {agreed:.2%} of the pixels"
            self._journal.add(Rivalry(name=rival.name, status="failed", reason=reason, agreement=agreed))
            return None
        self._journal.add(Rivalry(name=rival.name, status="passed", seconds=seconds, agreement=agreed))
        return call

    def _pairs(self, pairs: tuple[tuple[str, str], ...], openers: Mapping[str, Opener]) -> None:
        for a, b in pairs:
            if time.time() > self._until:
                return
            try:
                a_ms, b_ms, ratio = compare(openers[a], openers[b], self._settings, names=(a, b))
            except Exception as fault:
                self._journal.add(Pair(a=a, b=b, status="failed", reason=_reason(fault)))
                continue
            found = Pair(a=a, b=b, status="passed", a_ms=median(a_ms), b_ms=median(b_ms), ratio=ratio)
            self._journal.add(found)

    def _class_maps(self, call: Call) -> np.ndarray:
        """One frame at a time: a compiled network has one shape."""
        resizing = Resizing(unsure(call), self._spec, self._camera)
        return np.stack([resizing([image])[0] for image in self._images])


def _reason(fault: Exception) -> str:
    return "".join(traceback.format_exception_only(fault)).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--until", type=float, required=True)
    given = parser.parse_args()
    Race(tuple(given.targets), given.work, Journal(given.journal), given.runs, given.until).run()


if __name__ == "__main__":
    main()
