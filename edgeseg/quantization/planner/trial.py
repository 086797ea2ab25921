"""Plans of one network, built for one target, timed and scored: the `Evaluator` behind a real plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property

from edgeseg.core.recipe import Budget
from edgeseg.core.target import Target
from edgeseg.device.timing import PLANNING, PLANNING_BRIEFLY
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.graph.engine_graph import Deployment, engine_graph
from edgeseg.quantization.planner.evaluator import FloatNodes, Timed
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.tables import Loss
from edgeseg.quantization.planner.trial_engine import Built, Simulated, TrialEngine, in_turn
from edgeseg.quantization.ptq import Calibrated, apply

KEPT_ENGINES = 8


class TargetEvaluator:
    """Times on the target's engine, scores the class maps that it returns. Where the target cannot run here
    the Q/DQ graphs are run by ONNX Runtime, and nothing is timed. Closes its engines on exit.

    Args:
        keep: nodes that are float in every plan.
        profile: time layers too.
        device: where the target is.
    """

    def __init__(
        self,
        calibrated: Calibrated,
        held_out: HeldOut,
        target: Target,
        *,
        keep: FloatNodes = frozenset(),
        profile: bool = True,
        device: Device = LOCAL,
    ) -> None:
        self.calibrated = calibrated
        self.held_out = held_out
        self.target = target
        self.times = device.backend(target).availability(target).run
        self.device = device
        self._keep = keep
        self._profile = profile
        self._groups = [node for group in calibrated.groups for node in group.nodes]
        self._engines: OrderedDict[FloatNodes, TrialEngine] = OrderedDict()
        self._losses: dict[tuple[FloatNodes, bool], Loss] = {}

    def like(self, calibrated: Calibrated) -> TargetEvaluator:
        """An evaluator for the same network with other ranges."""
        return TargetEvaluator(
            calibrated,
            self.held_out,
            self.target,
            keep=self._keep,
            profile=self._profile,
            device=self.device,
        )

    def __enter__(self) -> TargetEvaluator:
        return self

    def __exit__(self, *fault: object) -> None:
        while self._engines:
            self._engines.popitem()[1].close()

    def race(self, plans: Sequence[FloatNodes], *, brief: bool = False) -> Sequence[Timed]:
        """Raises what building and opening an engine of the target raise."""
        engines = [self.engine(plan, keep=len(plans)) for plan in plans]
        rounds = PLANNING_BRIEFLY if brief else PLANNING
        names = self._groups if self._profile else ()
        return in_turn(engines, self.held_out.frames[0], names, rounds=rounds, device=self.device)

    def loss(self, plan: FloatNodes, *, quick: bool = False, within: Budget | None = None) -> Loss:
        if (plan, quick) not in self._losses:
            found = self.held_out.loss(self.engine(plan).found, quick=quick, within=within)
            if found.kept:
                return found
            self._losses[plan, quick] = found
        return self._losses[plan, quick]

    def loss_of(self, calibrated: Calibrated) -> float:
        """`Loss.changed` of int8 everywhere, by other ranges."""
        with self.like(calibrated) as other:
            return other.loss(frozenset()).changed

    def engine(self, plan: FloatNodes, keep: int = 1) -> TrialEngine:
        """The engine of a plan, kept while there is room."""
        if plan not in self._engines:
            while len(self._engines) >= max(KEPT_ENGINES, keep):
                self._engines.popitem(last=False)[1].close()
            self._engines[plan] = self._open(plan)
        self._engines.move_to_end(plan)
        return self._engines[plan]

    def _open(self, plan: FloatNodes) -> TrialEngine:
        made = apply(self.calibrated, dict.fromkeys(plan | self._keep, "float"))
        spec, camera = self.held_out.spec, self.held_out.camera
        deployment = Deployment(spec, camera, score_grid=made.scores)
        if not self.times:
            return Simulated(deployment.around(made.model), spec, camera)
        backend, rest = self.device.backend(self.target), self.calibrated.scheme.rest
        graph = engine_graph(made.model, backend, rest, deployment, maxima=lambda _: self._maxima)
        return Built(graph.model, spec, camera, self.target, self.device)

    @cached_property
    def _maxima(self) -> Mapping[str, float]:
        return self.held_out.maxima(self.calibrated.model)
