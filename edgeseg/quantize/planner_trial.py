"""Plans of one network, built for one target, timed and scored: the `Lab` behind a real plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, BuildSettings, Engine, Layer, OpenSettings, Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.target import Target
from edgeseg.datasets.pictures import resize_class_map, resize_frame, to_frame_color
from edgeseg.datasets.split import Split
from edgeseg.device.build import make_engine
from edgeseg.graph._edit import shape_of
from edgeseg.graph._run import run, session
from edgeseg.graph.deploy import CLASS_MAP, FRAMES, compose
from edgeseg.graph.typed import MAXIMA_FRAMES, frame_maxima, typed
from edgeseg.metrics import confusion
from edgeseg.metrics.scores import mean_present
from edgeseg.quantize.planner_lab import FloatNodes, Timed
from edgeseg.quantize.planner_tables import Loss
from edgeseg.quantize.ptq import Calibrated, apply

QUICK_IMAGES = 12
TURNS, RUNS = 10, 4
"""Plans take turns; each turn is one run that is not counted and RUNS that are."""
PROFILED = 8
KEPT_ENGINES = 8


class TargetLab:
    """Times on the target's engine, scores the class maps that it returns. Where the target cannot run here
    the Q/DQ graphs are run by ONNX Runtime, and nothing is timed.

    Holds the held-out frames in memory, at camera size. Closes its engines on exit.

    Args:
        images: held out: neither calibration nor validation images. Labels count if they are there.
        keep: nodes that are float in every plan.
        profile: time layers too.
    """

    def __init__(
        self,
        calibrated: Calibrated,
        spec: ModelSpec,
        camera: Size,
        images: Split,
        target: Target,
        *,
        keep: FloatNodes = frozenset(),
        profile: bool = True,
        progress: Progress = silent,
    ) -> None:
        self.calibrated = calibrated
        self.spec = spec
        self.camera = camera
        self.target = target
        self.labelled = bool(images.classes) and spec.task == "semantic"
        self.times = backend_for(target).availability(target).run
        self._images = images
        self._keep = keep
        self._progress = progress
        self._profile = profile
        self._batch = int(shape_of(calibrated.model.graph.input[0])[0])
        self._groups = [node for group in calibrated.groups for node in group.nodes]
        self._engines: OrderedDict[FloatNodes, _Trial] = OrderedDict()
        self._losses: dict[tuple[FloatNodes, bool], Loss] = {}

    def like(self, calibrated: Calibrated) -> TargetLab:
        """A lab for the same network with other ranges, which reads no image again."""
        other = TargetLab(
            calibrated,
            self.spec,
            self.camera,
            self._images,
            self.target,
            keep=self._keep,
            profile=self._profile,
            progress=self._progress,
        )
        shared = {"_frames": self._frames, "_masks": self._masks}
        other.__dict__.update(shared | ({"_labels": self._labels} if self.labelled else {}))
        return other

    def __enter__(self) -> TargetLab:
        return self

    def __exit__(self, *fault: object) -> None:
        while self._engines:
            self._engines.popitem()[1].close()

    def race(self, plans: Sequence[FloatNodes]) -> Sequence[Timed]:
        """Raises what building and opening an engine of the target raise."""
        trials = [self._trial(plan, keep=len(plans)) for plan in plans]
        blocks: list[list[list[float]]] = [[] for _ in plans]
        for turn in range(TURNS):
            order = range(len(trials)) if turn % 2 == 0 else reversed(range(len(trials)))
            for index in order:
                trials[index].execute()
                blocks[index].append([trials[index].execute() for _ in range(RUNS)])
        return [
            Timed(blocks=taken, node_ms=trial.node_ms(self._groups)) for taken, trial in zip(blocks, trials)
        ]

    def loss(self, plan: FloatNodes, *, quick: bool = False) -> Loss:
        if (plan, quick) not in self._losses:
            chosen = self._quick if quick else range(len(self._frames))
            trial = self._trial(plan)
            found = [trial.class_map(self._frames[i]) for i in chosen]
            self._losses[plan, quick] = self._compare(found, chosen)
        return self._losses[plan, quick]

    def loss_of(self, calibrated: Calibrated) -> float:
        """`Loss.changed` of int8 everywhere, by other ranges."""
        with self.like(calibrated) as other:
            return other.loss(frozenset()).changed

    @cached_property
    def _frames(self) -> list[Array]:
        """uint8 [H,W,3] each, at camera size and in the camera's channel order."""
        found = []
        for index in range(len(self._images)):
            self._progress("reading the held-out images", index, len(self._images))
            image = resize_frame(self._images.image(index), self.camera)
            found.append(to_frame_color([image], self.spec.preprocess)[0])
        return found

    @cached_property
    def _labels(self) -> list[Array]:
        """Class ids at camera size."""
        return [resize_class_map(self._images.label(i), self.camera) for i in range(len(self._images))]

    @cached_property
    def _masks(self) -> list[Array]:
        """Class maps of the FP32 network."""
        reference = _Simulated(compose(self.calibrated.model, self.spec, self.camera), self._batch)
        found = []
        for index, frame in enumerate(self._frames):
            self._progress("the FP32 network on the held-out images", index, len(self._frames))
            found.append(reference.class_map(frame))
        return found

    @property
    def _quick(self) -> Sequence[int]:
        step = max(1, len(self._frames) // QUICK_IMAGES)
        return range(0, len(self._frames), step)[:QUICK_IMAGES]

    def _compare(self, found: Sequence[Array], chosen: Sequence[int]) -> Loss:
        masks = [self._masks[i] for i in chosen]
        changed = 1.0 - self._iou(masks, found, None)
        if not self.labelled:
            return _loss(self.spec, changed, float(mean_present(changed)), changed)
        labels, ignore = [self._labels[i] for i in chosen], self._images.ignore_index
        before, after = (self._iou(labels, maps, ignore) for maps in (masks, found))
        return _loss(self.spec, before - after, float(mean_present(before) - mean_present(after)), changed)

    def _iou(
        self, expected: Sequence[Array], found: Sequence[Array], ignore: int | None
    ) -> NDArray[np.float64]:
        """Per class over all images, 0-1; NaN for a class that is in neither."""
        count = len(self.spec.classes)
        if self.spec.task == "semantic":
            total = np.sum([confusion(a, b, count, ignore) for a, b in zip(expected, found)], axis=0)
            both = np.diagonal(total).astype(np.float64)
            union = total.sum(axis=0) + total.sum(axis=1) - both
        else:
            bits = 1 << np.arange(count, dtype=np.uint8)
            pairs = [((a[..., None] & bits) > 0, (b[..., None] & bits) > 0) for a, b in zip(expected, found)]
            both = np.sum([(a & b).sum(axis=(0, 1)) for a, b in pairs], axis=0).astype(np.float64)
            union = np.sum([(a | b).sum(axis=(0, 1)) for a, b in pairs], axis=0)
        return np.divide(both, union, out=np.full(count, np.nan), where=union > 0)

    def _trial(self, plan: FloatNodes, keep: int = 1) -> _Trial:
        """The engine of a plan, kept while there is room."""
        if plan not in self._engines:
            while len(self._engines) >= max(KEPT_ENGINES, keep):
                self._engines.popitem(last=False)[1].close()
            self._engines[plan] = self._open(plan)
        self._engines.move_to_end(plan)
        return self._engines[plan]

    def _open(self, plan: FloatNodes) -> _Trial:
        graph = apply(self.calibrated, dict.fromkeys(plan | self._keep, "float")).model
        deploy = compose(graph, self.spec, self.camera)
        if not self.times:
            return _Simulated(deploy, self._batch)
        backend = backend_for(self.target)
        deploy, _ = typed(deploy, backend, self.calibrated.scheme.rest, lambda: self._maxima)
        return _Built(deploy, self.target, self._frames[0], self._batch, self._profile)

    @cached_property
    def _maxima(self) -> Mapping[str, float]:
        deploy = compose(self.calibrated.model, self.spec, self.camera)
        return frame_maxima(deploy, np.stack(self._frames[:MAXIMA_FRAMES]))


class _Trial:
    """A plan that can be run. The base cannot be timed."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def class_map(self, frame: Array) -> Array:
        """uint8 [H,W,3] to uint8 [H,W]."""
        raise NotImplementedError

    def execute(self) -> float:
        raise NotImplementedError

    def node_ms(self, names: Sequence[str]) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """Free the engine."""


class _Simulated(_Trial):
    """A deploy graph in ONNX Runtime, in float32 arithmetic between its Q/DQ pairs."""

    def __init__(self, deploy: ModelProto, batch: int) -> None:
        super().__init__(batch)
        self._session = session(deploy)

    def class_map(self, frame: Array) -> Array:
        return run(self._session, {FRAMES: np.stack([frame] * self.batch)})[CLASS_MAP][0]


class _Built(_Trial):
    """An engine of the target in a temporary folder."""

    def __init__(self, deploy: ModelProto, target: Target, frame: Array, batch: int, profile: bool) -> None:
        super().__init__(batch)
        self._profile = profile
        self._node_ms: dict[str, float] | None = None
        self._folder = TemporaryDirectory(prefix="edgeseg-plan-")
        place = Path(self._folder.name)
        onnx.save(deploy, str(place / "deploy.onnx"))
        record = EngineRecord(
            target=str(target), graph="deploy.onnx", batch=batch, camera_size=(frame.shape[0], frame.shape[1])
        )
        try:
            record, _ = make_engine(record, place, BuildSettings())
            self._engine: Engine = backend_for(target).open(
                place / record.entry, record, OpenSettings(profile=profile)
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self._request = self._engine.request()
        self._write(frame)

    def class_map(self, frame: Array) -> Array:
        self._write(frame)
        self._request.execute()
        return self._request.read()[CLASS_MAP][0]

    def execute(self) -> float:
        return self._request.execute()

    def node_ms(self, names: Sequence[str]) -> dict[str, float]:
        """The least of a few runs for every layer: a busy machine only adds. Measured once."""
        if not self._profile:
            return {}
        if self._node_ms is None:
            self._node_ms = self._profiled(names)
        return self._node_ms

    def _profiled(self, names: Sequence[str]) -> dict[str, float]:
        least: list[float] = []
        for _ in range(PROFILED):
            self._request.execute()
            layers = self._engine.layers()
            taken = [layer.milliseconds or 0.0 for layer in layers]
            least = [min(pair) for pair in zip(least, taken)] if least else taken
        return by_node(layers, least, names)

    def close(self) -> None:
        self._engine.close()
        self._folder.cleanup()

    def _write(self, frame: Array) -> None:
        self._request.write({FRAMES: np.stack([frame] * self.batch)})


def by_node(layers: Sequence[Layer], taken: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Milliseconds of weighted nodes. A layer without one counts for the last node before it, as the sums,
    conversions and activations behind a convolution do; empty where the engine does not name its layers."""
    known = set(names)
    found: dict[str, float] = {}
    current, before = "", 0.0
    for layer, milliseconds in zip(layers, taken):
        own = next((name for name in (*layer.nodes, layer.name) if name in known), "")
        current = own or current
        if current:
            found[current] = found.get(current, 0.0) + milliseconds + before
            before = 0.0
        else:
            before += milliseconds
    return found if 2 * len(found) >= len(known) else {}


def _loss(spec: ModelSpec, classes: NDArray[np.float64], drop: float, changed: NDArray[np.float64]) -> Loss:
    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return {n: 100 * float(v) for n, v in zip(spec.class_names, values) if not np.isnan(v)}

    return Loss(
        drop=100 * drop,
        class_drop=named(classes),
        changed=100 * float(mean_present(changed)),
        class_changed=named(changed),
    )
