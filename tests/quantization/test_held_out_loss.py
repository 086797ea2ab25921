"""A loss within limits is scored on as many images as show it, and on no fewer than that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from patterns import Net

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import Budget
from edgeseg.core.region import Region
from edgeseg.datasets.pictures import seen_by
from edgeseg.datasets.split import Split
from edgeseg.datasets.zoomed_crops import with_zoomed_crops
from edgeseg.metrics import confusion, paired_drop
from edgeseg.quantization.planner.held_out_loss import FEWEST, LOOKS, HeldOut, Remembered

CAMERA, COUNT = (16, 16), 64
CLASSES = default_classes(3)
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, *CAMERA, 3), dtype=np.uint8)
READ: list[str] = []


def images(labels: bool = True, count: int = COUNT) -> Split:
    def read(name: str) -> np.ndarray:
        READ.append(name)
        return PIXELS[int(name)]

    READ.clear()
    return Split(
        dataset="noise",
        name="train",
        ids=tuple(map(str, range(count))),
        classes=CLASSES if labels else (),
        ignore_index=None,
        read_image=read,
        read_label=lambda name: PIXELS[int(name)].argmax(axis=2).astype(np.uint8),
    )


def held_out(split: Split, task: str = "semantic", region: Region | None = None) -> HeldOut:
    """The FP32 network finds the largest colour of each pixel, which is also the label."""
    net = Net()
    size = region[2:] if region else CAMERA
    model = net.model(net.op("Identity", "same", "image"), shape=(1, 3, *size))
    spec = ModelSpec(
        name="colours",
        source=Source(kind="zoo", ref="colours"),
        task=task,  # type: ignore[arg-type]
        input_size=size,
        classes=CLASSES,
        preprocess=Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), region=region),
    )
    return HeldOut(model, spec, CAMERA, seen_by(split, CAMERA, region))


def wrong(share: float, chosen: range = range(COUNT)):
    """A graph that is right but for a share of the pixels of some images."""
    rows = round(share * CAMERA[0])

    def class_map(frame: np.ndarray) -> np.ndarray:
        found = frame.argmax(axis=2).astype(np.uint8)
        number = int((frame == PIXELS).all(axis=(1, 2, 3)).argmax())
        if number in chosen:
            found[:rows] = (found[:rows] + 1) % 3
        return found

    return class_map


@pytest.mark.parametrize("labels", [True, False])
def test_a_graph_that_loses_nothing_is_known_after_the_first_look(labels: bool) -> None:
    loss = held_out(images(labels)).loss(wrong(0), within=Budget(max_drop=0.5))
    assert loss.kept and loss.drop == 0 and loss.images == COUNT // LOOKS
    assert len(set(READ)) == COUNT // LOOKS, "no other image is read"
    assert {int(name) % LOOKS for name in READ} == {0}, "spread over all of them"


@pytest.mark.parametrize("labels", [True, False])
def test_a_drop_near_the_limit_takes_all_images(labels: bool) -> None:
    some = held_out(images(labels))
    whole = some.loss(wrong(0.25, range(0, COUNT, 3)))
    near = some.loss(wrong(0.25, range(0, COUNT, 3)), within=Budget(max_drop=whole.drop + 0.5))
    assert not near.kept and near.images == COUNT and near.drop == whole.drop > 5


def test_a_drop_beyond_the_limit_is_never_kept() -> None:
    loss = held_out(images()).loss(wrong(0.5), within=Budget(max_drop=1.0))
    assert not loss.kept and loss.images == COUNT and loss.drop > 10


@pytest.mark.parametrize("labels", [True, False])
def test_a_region_is_judged_alone(labels: bool) -> None:
    some = held_out(images(labels), region=(4, 2, 8, 10))
    right = some.loss(lambda frame: wrong(0)(frame)[4:12, 2:12])
    half = some.loss(lambda frame: wrong(0.5)(frame)[4:12, 2:12])
    assert right.drop == 0 and half.drop > 10


def test_a_class_can_keep_scoring_going() -> None:
    some = held_out(images())
    name = CLASSES[0].name
    budget = Budget(max_drop=90.0, max_class_drop={name: 0.1})
    assert some.loss(wrong(0.1), within=Budget(max_drop=90.0)).kept
    assert not some.loss(wrong(0.1), within=budget).kept
    assert not some.loss(wrong(0.1), within=Budget(max_drop=90.0, any_class=0.1)).kept


def test_few_images_prove_nothing() -> None:
    loss = held_out(images(count=FEWEST - 1)).loss(wrong(0), within=Budget(max_drop=0.5))
    assert not loss.kept and loss.images == FEWEST - 1


def test_bit_masks_are_scored_by_mean_dice() -> None:
    some = held_out(replace(images(), classes=()), task="multilabel")
    none = some.loss(lambda frame: np.zeros((*CAMERA, 1), np.uint8), within=Budget(max_drop=99.0))
    assert not none.kept and none.images == COUNT and (none.metric, none.drop) == ("mean Dice", 100.0)
    every = some.loss(lambda frame: np.full((*CAMERA, 1), 0b111, np.uint8), within=Budget(max_drop=1.0))
    assert every.kept and every.images < COUNT and 0 < every.drop < 1


@pytest.mark.parametrize(("beside", "at_once"), [(0.01, True), (-0.01, False)])
def test_a_drop_is_kept_when_95_of_100_resamples_are(beside: float, at_once: bool) -> None:
    some, first = held_out(images()), range(0, COUNT, LOOKS)
    worse = wrong(0.25, range(0, COUNT, 3))
    labels = [PIXELS[i].argmax(axis=2).astype(np.uint8) for i in first]
    before = np.array([confusion(label, label, 3, None) for label in labels])
    after = np.array([confusion(label, worse(PIXELS[i]), 3, None) for label, i in zip(labels, first)])
    limit = paired_drop(before, after, confidence=0.9).high + beside
    assert limit < paired_drop(before, after).high
    loss = some.loss(worse, within=Budget(max_drop=limit))
    assert (loss.images == COUNT // LOOKS) == at_once


def test_frames_of_one_video_are_one_observation() -> None:
    """Each of 8 videos loses the same in its 8 frames: 16 frames of them prove no more than 8 videos do."""
    split = images()
    videos = replace(split, sequence=lambda name: str(int(name) % 8))
    worse = wrong(0.25, range(0, COUNT, 8))
    budget = Budget(max_drop=held_out(split).loss(worse).drop + 3.5)
    assert held_out(split).loss(worse, within=budget).kept
    assert not held_out(videos).loss(worse, within=budget).kept


def test_images_of_a_single_video_can_still_decide() -> None:
    video = replace(images(), sequence=lambda name: "drive")
    assert held_out(video).loss(wrong(0), within=Budget(max_drop=0.5)).kept


def test_an_image_and_its_enlarged_part_are_one_observation() -> None:
    some = held_out(with_zoomed_crops(images()))
    assert some._observations == tuple(map(str, range(COUNT))) * 2


@pytest.mark.parametrize("labels", [True, False])
def test_a_class_that_the_graph_invents_is_no_term_of_the_loss(labels: bool) -> None:
    """One wrong pixel of a class that is nowhere expected was a third of all mIoU."""
    split = images(labels)
    flat = replace(
        split,
        read_image=lambda name: np.minimum(PIXELS[int(name)], (255, 255, 0)).astype(np.uint8),
        read_label=lambda name: PIXELS[int(name)][..., :2].argmax(axis=2).astype(np.uint8),
    )

    def class_map(frame: np.ndarray) -> np.ndarray:
        found = frame.argmax(axis=2).astype(np.uint8)
        found[0, 0] = 2
        return found

    loss = held_out(flat).loss(class_map)
    assert 0 < loss.drop < 1 and 0 < loss.changed < 1
    assert CLASSES[2].name not in loss.class_drop and CLASSES[2].name not in loss.class_changed
    assert held_out(flat).loss(class_map, within=Budget(max_drop=1.0)).kept


def test_arrays_are_made_once_when_asked_for() -> None:
    made: list[int] = []

    def make(index: int) -> np.ndarray:
        made.append(index)
        return np.full(1, index)

    found = Remembered(3, make)
    assert found[2] == found[2] == 2 and made == [2]
    assert [int(v[0]) for v in found] == [0, 1, 2] and made == [2, 0, 1]
    with pytest.raises(IndexError):
        found[3]


def test_a_limited_class_that_no_image_showed_yet_keeps_scoring_going() -> None:
    only_two = lambda name: np.minimum(PIXELS[int(name)].argmax(axis=2), 1).astype(np.uint8)  # noqa: E731
    some = held_out(replace(images(), read_label=only_two))
    loss = some.loss(wrong(0), within=Budget(max_drop=90.0, max_class_drop={CLASSES[2].name: 1.0}))
    assert not loss.kept and loss.images == COUNT
