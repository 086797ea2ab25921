"""Is the engine that ships still right? Scores what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import Budget
from edgeseg.core.verdict import Verdict, combine
from edgeseg.datasets.framed import as_picture, framed_split
from edgeseg.datasets.hashing import Fingerprint, pixel_sha256
from edgeseg.datasets.images import image_files, unlabelled
from edgeseg.datasets.resizing import Call, Resizing, chunks, told_by, unsure
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import InputError, MissingDependency, MissingDevice
from edgeseg.evaluation import worst as pictures
from edgeseg.evaluation.confidence import Confidences, calibration_verdict, require_confidence
from edgeseg.evaluation.flicker import FlickerCounts
from edgeseg.evaluation.labels import labelled_split, spec_notes
from edgeseg.evaluation.reference import NAME as OWN
from edgeseg.evaluation.reference import open_reference, session_on
from edgeseg.evaluation.scoring import Comparison, Tally
from edgeseg.evaluation.slices import read_tags, slices
from edgeseg.evaluation.verification import (
    IDLE,
    Agreement,
    Drop,
    Scores,
    Verification,
    WorstFrame,
    check_budget,
    drop_verdicts,
    fallen,
    floor_verdicts,
    require_labels,
    require_tags,
    size_verdict,
    slice_verdicts,
    trust_verdict,
    worst_slice,
)
from edgeseg.metrics.tasks import metric_of
from edgeseg.runtime.session import Session

if TYPE_CHECKING:
    from edgeseg.datasets import Dataset, Split

__all__ = ["Agreement", "Drop", "Scores", "Verification", "WorstFrame", "verify", "verify_call"]

NO_LIMITS = Budget()


class Images(Protocol):
    """What labelled splits and folders of images have in common."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    @property
    def sequences(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Array: ...


def verify(
    bundle_path: Path,
    *,
    dataset: Dataset | None = None,
    split: str = "val",
    images: Path | None = None,
    limit: int = 0,
    budget: Budget = NO_LIMITS,
    tags: Path | None = None,
    threads: int | None = None,
    worst: int = 6,
    output: Path | None = None,
    reference: Path | None = None,
    device: Device = LOCAL,
    reference_device: Device | None = None,
    progress: Progress = silent,
) -> Verification:
    """Score a bundle's engine against labels, or its agreement with FP32 on images without labels.

    An engine that cannot run here or computes nothing, and random weights, give the verdict `unmeasured`,
    with a limit `unjudged`; never a pass.

    Args:
        dataset, split: labelled images, or
        images: a folder of images without labels.
        limit: only the first N frames; 0: all.
        budget: limits on drops and size; latency is judged elsewhere.
        tags: a CSV file of images and their tags (`slices.read_tags`); the worst of them is in the verdict.
        threads: inference threads on a CPU; None: as the bundle says.
        worst: how many of the worst frames to name, and to save as pictures in `output`.
        reference: another engine bundle to compare with instead of the bundle's own FP32 graph.
        device: where the engines run; the FP32 graph runs here. `reference_device`: that of `reference`.

    Raises:
        InputError: an unknown class in the budget, a limit that needs labels, tags or a confidence where
            there are none, labels of another task, or not exactly one of `dataset` and `images`.
        DataError: images or labels that cannot be read, or classes that are not the network's.
        BundleError, EngineMismatch: a bundle that is broken, without engine, or made for another device.
        MissingDependency: the FP32 reference needs a package that is not installed.
    """
    if (dataset is None) == (images is None):
        raise InputError("verify got both or neither of dataset and images", expected="exactly one of them")
    has_labels = dataset is not None and bool(dataset.classes)
    if tags is not None and not has_labels:
        raise InputError(
            f"--tags {tags} was given, and there are no labels to score its slices with",
            expected="labelled images: --data NAME[=ROOT]",
        )
    require_labels(budget, labelled=has_labels, where=str(images or "this data"))
    require_tags(budget, tagged=tags is not None)
    bundle = Bundle.open(bundle_path)
    record, spec = bundle.engine, bundle.manifest.model
    check_budget(budget, spec)
    labelled = None if dataset is None else labelled_split(dataset, split, limit, spec)
    require_confidence(budget, bundle)
    confidence = labelled is not None and record.returns_confidence and metric_of(spec).one_decision
    samples: Images = labelled if labelled is not None else _unlabelled(_given(images), limit, spec)
    tagged = read_tags(tags, samples.ids) if tags else {}
    size_mb = bundle.engine_size() / 1e6 if record.entry else None
    base = Verification(
        bundle=bundle.manifest.name,
        bundle_id=bundle.id,
        target=record.target,
        engine_version=record.engine_version,
        data=str(images) if labelled is None else f"{labelled.dataset}/{labelled.name}",
        labelled=labelled is not None,
        reference=str(reference) if reference else OWN,
        reference_id=Bundle.open(reference, check_files=False).id if reference else "",
        metric=metric_of(spec).metric,
        limit=limit,
        size_mb=size_mb,
        budget=budget,
        verdict=Verdict(status="unmeasured"),
        notes=spec_notes(spec, labelled),
    )
    with ExitStack() as stack:
        session, reason = _open(bundle, threads, device)
        if session is None:
            absent = Verdict(status="unmeasured", reasons=(reason,))
            limits = (
                *drop_verdicts(base.metric, None, {}, budget, IDLE),
                *slice_verdicts(base.metric, {}, budget, IDLE),
                *floor_verdicts(None, budget, IDLE),
                *calibration_verdict(None, budget, IDLE),
                *size_verdict(size_mb, budget),
            )
            return msgspec.structs.replace(base, verdict=combine((absent, *limits)))
        stack.enter_context(session)
        proof = _Proof(
            engine=Resizing(told_by(session), spec, record.fixed_size),
            reference=open_reference(
                bundle, reference, threads, stack, reference_device or device, confidence=confidence
            ),
            spec=spec,
            batch=record.frames_at_once,
            samples=samples,
            labelled=labelled,
            tags=tagged,
            confidence=confidence,
            progress=progress,
        )
        result, frame_scores = proof.score(base)
        notes = (*result.notes, *session.notes, *proof.engine.notes())
        ranked = pictures.rank(frame_scores, samples.ids, worst)
        saved = proof.save_worst(ranked, output) if output is not None else ranked
        result = msgspec.structs.replace(result, worst=saved, notes=notes)
        return msgspec.structs.replace(result, verdict=_judged(bundle, result, budget))


def verify_call(
    call: Call, spec: ModelSpec, camera_size: Size | None, split: Split, *, progress: Progress = silent
) -> float | None:
    """The metric (0-1) of any function from frames to results on a split; None if nothing is labelled.

    Args:
        call: frames [N,...] at `camera_size` to N results; None: of any size.
        split: of images as the network's frames, see `framed`.
    """
    resizing = Resizing(unsure(call), spec, camera_size)
    tally = Tally(spec, split.ignore_index)
    for index in range(len(split)):
        progress("scoring", index, len(split))
        found = resizing([split.image(index)])[0]
        tally.add(resizing.label(split.label(index)), found, full=False)
    progress("scoring", len(split), len(split))
    return tally.value()


@dataclass(frozen=True)
class _Proof:
    """The engine, what it is compared with, and the frames both see."""

    engine: Resizing
    reference: Resizing
    spec: ModelSpec
    batch: int
    samples: Images
    labelled: Split | None
    tags: Mapping[str, Sequence[int]]
    confidence: bool
    progress: Progress

    @property
    def ignore_index(self) -> int | None:
        return self.labelled.ignore_index if self.labelled is not None else None

    def score(self, base: Verification) -> tuple[Verification, list[float]]:
        """Run both sides over all frames once, holding one batch of pixels; also the score of each frame."""
        engine, fp32 = (Tally(self.spec, self.ignore_index) for _ in range(2))
        comparison, flicker = Comparison(self.spec), FlickerCounts(self.spec)
        confidences = Confidences(self.spec.class_names, self.ignore_index) if self.confidence else None
        sequences = self.samples.sequences
        fingerprint = Fingerprint(self.labelled.meaning if self.labelled is not None else "")
        for index, image, given, wanted in self._frames():
            (found, _), (expected, _) = given, wanted
            label = self.labelled.label(index) if self.labelled is not None else None
            content = self.labelled.marks.content(label) if self.labelled is not None else b""
            fingerprint.add(self.samples.ids[index], pixel_sha256(image), content)
            comparison.add(expected, found)
            seen = self.engine.image(image)
            flicker.add(sequences[index] if sequences else "", seen, found, expected)
            if label is not None:
                label = self.engine.label(label)
                engine.add(label, found)
                fp32.add(label, expected)
            if label is not None and confidences is not None:
                confidences.add(label, given, wanted)
        result = msgspec.structs.replace(
            base,
            frames=len(self.samples),
            sample_list=fingerprint.hexdigest(),
            agreement=comparison.agreement(),
            flicker=flicker.result(),
        )
        if self.labelled is None:
            return result, comparison.frame_scores
        drop, class_drop = fp32.drops(engine, sequences)
        calibration, class_calibration = confidences.errors(sequences) if confidences else (None, {})
        untold = confidences.notes() if confidences else ()
        rough = (f"* 95% intervals of {drop.caveat}",) if drop and drop.caveat else ()
        result = msgspec.structs.replace(
            result,
            engine=engine.scores(),
            fp32=fp32.scores(),
            drop=drop,
            class_drop=class_drop,
            slices=slices(fp32, engine, sequences, self.tags),
            calibration_error=calibration,
            class_calibration_error=class_calibration,
            sequences=len(set(sequences)),
            notes=(*result.notes, *engine.notes(), *untold, *rough),
        )
        return result, engine.frame_scores()

    def _frames(self) -> Iterator[tuple[int, Array, tuple[Any, Any], tuple[Any, Any]]]:
        """(index, image, what the engine finds and how sure it is, the same of the reference)."""
        count = len(self.samples)
        for indexes in chunks(range(count), self.batch):
            self.progress("scoring", indexes[0], count)
            images = [self.samples.image(i) for i in indexes]
            yield from zip(indexes, images, self.engine.predict(images), self.reference.predict(images))
        self.progress("scoring", count, count)

    def save_worst(self, ranked: tuple[WorstFrame, ...], folder: Path) -> tuple[WorstFrame, ...]:
        """Run the worst frames once more and save them as pictures."""
        saved = []
        for place, frame in enumerate(ranked, start=1):
            self.progress("saving the worst frames", place, len(ranked))
            image = self.samples.image(frame.frame)
            given = self.engine([image])[0]
            expected = self._expected(frame.frame, image)
            shown = as_picture(self.engine.image(image), self.spec.preprocess.frame)
            drawn = pictures.picture(shown, expected, given, self.spec, self.ignore_index)
            saved.append(pictures.save(folder, place, frame, drawn))
        return tuple(saved)

    def _expected(self, index: int, image: Array) -> Any:
        """The label, or what the reference finds where there are no labels."""
        if self.labelled is None:
            return self.reference([image])[0]
        return self.engine.label(self.labelled.label(index))


def _unlabelled(source: Path, limit: int, spec: ModelSpec) -> Images:
    files = image_files(source, limit)
    split = unlabelled(str(source), "images", files.ids, files.read)
    return framed_split(split, spec.preprocess.frame)


def _judged(bundle: Bundle, result: Verification, budget: Budget) -> Verdict:
    without = ("no budget was given: nothing was held against a limit",) if budget == NO_LIMITS else ()
    verdicts = (
        *trust_verdict(bundle, budget),
        *drop_verdicts(result.metric, result.drop, result.class_drop, budget),
        *slice_verdicts(result.metric, result.slices, budget),
        *floor_verdicts(result.engine, budget),
        *calibration_verdict(result.calibration_error, budget),
        *size_verdict(result.size_mb, budget),
    )
    judged = combine(verdicts or (Verdict(status="pass", reasons=without),))
    named = (*fallen(result.class_drop, budget), *worst_slice(result.metric, result.slices, budget))
    return msgspec.structs.replace(judged, reasons=(*judged.reasons, *named))


def _open(bundle: Bundle, threads: int | None, device: Device) -> tuple[Session | None, str]:
    """The session, or why it cannot be had here."""
    target = bundle.engine.target
    if bundle.manifest.kind == "deferred":
        return None, f"{target}: not built yet; finish it on the device with `edgeseg build {bundle.path}`"
    try:
        return session_on(device, bundle, threads), ""
    except (MissingDevice, MissingDependency) as missing:
        fix = f"; to fix: {missing.hint}" if missing.hint else ""
        return None, f"{target} cannot run here: {missing.message}{fix}"


def _given(images: Path | None) -> Path:
    assert images is not None
    return images
