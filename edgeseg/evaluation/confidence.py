"""Does the confidence of an engine say how often it is right? Beside that of its reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.ports import Array
from edgeseg.core.recipe import Budget
from edgeseg.core.verdict import Verdict
from edgeseg.errors import InputError
from edgeseg.evaluation.scoring import told
from edgeseg.evaluation.verification import CalibrationError, Drop
from edgeseg.metrics import (
    are_probabilities,
    calibration_error,
    calibration_sums,
    class_calibration_error,
    known,
    paired_rise,
)
from edgeseg.metrics.tasks import metric_of

Sure = tuple[Array, Array | None]
"""Class ids [H,W] and the probability of each, float32 [H,W]; None: it is not told."""
UNTOLD = "no labelled pixel tells it, or the confidence is no probability"
"""Why an engine that returns a confidence has no calibration error."""


class Confidences:
    """Of an engine and of its reference, over the same frames."""

    def __init__(self, names: Sequence[str], ignore_index: int | None) -> None:
        self._names = tuple(names)
        self._engine, self._reference = (_Side(len(self._names), ignore_index) for _ in range(2))

    def add(self, label: Array, found: Sure, expected: Sure) -> None:
        """Count one frame: its class ids [H,W], what the engine and what the reference returned for it."""
        self._engine.add(label, found)
        self._reference.add(label, expected)

    def errors(
        self, sequences: Sequence[str] = ()
    ) -> tuple[CalibrationError | None, dict[str, CalibrationError]]:
        """Of all labelled pixels (None: the engine has none), and of those it took for each class.

        Args:
            sequences: the video that each frame comes from; empty: nothing tells.
        """
        engine, classes = self._engine.errors()
        reference, reference_classes = self._reference.errors()
        rise: Drop | None = None
        class_rise: dict[str, Drop] = {}
        if not (self._engine.fault or self._reference.fault):
            rises = paired_rise(self._reference.sums(), self._engine.sums(), sequences)
            rise, class_rise = told(rises, self._names)
        if engine is None:
            return None, {}
        return CalibrationError(engine=engine, reference=reference, rise=rise), {
            name: CalibrationError(engine=one, reference=other, rise=class_rise.get(name))
            for name, one, other in zip(self._names, classes, reference_classes)
        }

    def notes(self) -> tuple[str, ...]:
        """Why a side has no calibration error."""
        sides = {"engine": self._engine, "reference": self._reference}
        return tuple(
            f"no calibration error of the {name}: {side.fault}" for name, side in sides.items() if side.fault
        )


class _Side:
    """What one of the two returned: sums per frame, until it returns no confidence.

    Attributes:
        fault: why there is none; empty: there is one.
    """

    def __init__(self, classes: int, ignore_index: int | None) -> None:
        self._classes, self._ignore = classes, ignore_index
        self._sums: list[Array] = []
        self.fault = ""

    def add(self, label: Array, found: Sure) -> None:
        if self.fault:
            return
        class_map, confidence = found
        if confidence is None:
            self.fault = "it returns no confidence"
        elif not are_probabilities(confidence):
            self.fault = "its confidence holds values that are no probabilities"
        else:
            self._sums.append(calibration_sums(label, class_map, confidence, self._classes, self._ignore))

    def sums(self) -> Array:
        """[frames, ...] as `calibration_sums`."""
        return np.stack(self._sums)

    def errors(self) -> tuple[float | None, list[float | None]]:
        """In points, of all pixels and per class."""
        if self.fault:
            return None, [None] * self._classes
        total = self.sums().sum(axis=0)
        return known(100 * calibration_error(total)), list(map(known, 100 * class_calibration_error(total)))


def require_confidence(budget: Budget, bundle: Bundle) -> None:
    """Raise InputError for a limit on the calibration error of an engine that returns no confidence.

    What a deferred bundle will return is not known; the limit has no answer before it is built.
    """
    if budget.max_calibration_error is None:
        return
    spec = bundle.manifest.model
    if not metric_of(spec).one_decision:
        raise InputError(
            f"--max-calibration-error was given, and {bundle.path} is a {spec.task} network",
            expected="a network that decides for one class per pixel, whose probability its confidence is",
            hint="leave the limit out",
        )
    if bundle.manifest.kind != "engine":
        return
    if not bundle.engine.returns_confidence:
        raise InputError(
            f"--max-calibration-error was given, and the engine of {bundle.path} returns no confidence",
            expected="a bundle that was exported with its confidence",
            hint="export it again with --confidence (in a recipe: confidence = true)",
        )


def calibration_verdict(
    found: CalibrationError | None, budget: Budget, missing: str = UNTOLD
) -> tuple[Verdict, ...]:
    """The calibration error of the engine against its limit; nothing where there is no limit.

    Args:
        missing: why there is none, where there is none.
    """
    limit = budget.max_calibration_error
    if limit is None:
        return ()
    if found is None or found.engine is None:
        reason = f"calibration error: the budget limits it to {limit:g} points, but {missing}"
        return (Verdict(status="unjudged", reasons=(reason,)),)
    beside = "" if found.reference is None else f" ({found.reference:.2f} in the reference)"
    reason = f"calibration error {found.engine:.2f} points{beside}, the budget is {limit:g}"
    return (Verdict(status="fail" if found.engine > limit else "pass", reasons=(reason,)),)
