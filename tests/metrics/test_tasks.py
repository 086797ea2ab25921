"""Metrics of tasks, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.errors import InputError
from edgeseg.metrics import paired_drop
from edgeseg.metrics.confusion import confusion
from edgeseg.metrics.counts import counts_of
from edgeseg.metrics.tasks import METRICS


def task(name, classes, ignore=None):
    source = Source(kind="onnx", ref="net.onnx")
    spec = ModelSpec(
        name="net", source=source, task=name, input_size=(32, 32), classes=default_classes(classes)
    )
    return METRICS.load(name).task(spec, ignore)


def bits(*values):
    """uint8 [1,W,1]."""
    return np.array([values], np.uint8)[..., None]


def test_dice_of_overlapping_classes():
    dice = task("multilabel", 3)
    kept = dice.keep(bits(0b11, 0b01, 0b00, 0b10), bits(0b11, 0b11, 0b00, 0b00))
    assert kept.tolist() == [[2, 1, 0], [2, 2, 0], [2, 2, 0]]
    found = dice.figures([kept])
    assert found.classes[:2].tolist() == [1.0, 0.5] and np.isnan(found.classes[2])
    assert (dice.metric, found.value) == ("mean Dice", 0.75)
    assert found.tables["recall"][1] == found.tables["precision"][1] == 0.5
    assert found.tables["IoU"][1] == pytest.approx(1 / 3) and found.means["IoU"] == pytest.approx(2 / 3)


def test_dice_is_of_all_images_together_and_each_alone():
    dice = task("multilabel", 1)
    kept = [dice.keep(bits(1, 1), bits(1, 0)), dice.keep(bits(1, 0), bits(1, 0))]
    assert dice.figures(kept).value == pytest.approx(2 * 2 / (3 + 2))
    assert dice.each(kept) == [pytest.approx(2 / 3), 1.0]
    assert dice.together(kept).tolist() == [[2], [3], [2]]


def test_pixels_with_the_ignored_bit_do_not_count():
    label = np.array([[[0b1], [0b101], [0b100]]], np.uint8)
    assert task("multilabel", 2, 2).keep(label, bits(0b1, 0b0, 0b11)).tolist() == [[1, 0], [1, 0], [1, 0]]
    wide = np.zeros((1, 2, 2), np.uint8)
    wide[0, 0] = (0xFF, 0)
    wide[0, 1] = (0xFF, 1)
    assert task("multilabel", 8, 8).keep(wide, bits(0xFF, 0)).tolist() == [[1] * 8] * 3


def test_29_classes():
    rng = np.random.default_rng(0)
    truth, guess = rng.random((2, 6, 7, 29)) < 0.4
    kept = task("multilabel", 29).keep(*(np.packbits(m, axis=-1, bitorder="little") for m in (truth, guess)))
    expected = [(truth & guess).sum((0, 1)), truth.sum((0, 1)), guess.sum((0, 1))]
    assert np.array_equal(kept, expected)


def test_a_class_that_is_only_found_is_no_term_of_the_mean():
    dice = task("multilabel", 2)
    found = dice.figures([dice.keep(bits(1, 1), bits(3, 1))])
    assert found.value == 1.0 and np.isnan(found.classes[1])


def test_what_differs_and_how_much_is_equal():
    dice = task("multilabel", 2)
    a, b = bits(0, 1, 2, 3), bits(0, 1, 3, 0b111)
    assert dice.differs(a, b).tolist() == [[False, False, True, False]], "other bits are of no class"
    assert dice.equal(a, b) == (3, 4)
    assert task("semantic", 3).equal(np.array([[0, 1]]), np.array([[0, 2]])) == (1, 2)


def test_masks_that_are_too_narrow_are_refused():
    with pytest.raises(InputError, match=r"uint8 \[1, 4, 1\]\nexpected: uint8 \[H,W,2\], for 9 classes"):
        task("multilabel", 9).keep(bits(0, 0, 0, 0), bits(0, 0, 0, 0))


@pytest.fixture
def maps():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (8, 20, 20))
    return labels, [np.where(rng.random(labels.shape) < share, labels, 0) for share in (0.9, 0.8)]


def test_miou_is_what_confusion_matrices_say(maps):
    labels, sides = maps
    miou = task("semantic", 4)
    kept = [[miou.keep(a, b) for a, b in zip(labels, side)] for side in sides]
    matrices = [np.stack([confusion(a, b, 4) for a, b in zip(labels, side)]) for side in sides]
    assert np.array_equal(np.stack(kept[0]), counts_of(matrices[0]))
    assert miou.drop(*kept) == paired_drop(*matrices)


def test_the_drop_of_dice_is_paired(maps):
    labels, sides = maps
    dice = task("multilabel", 4)
    one_hot = [(np.uint8(1) << side.astype(np.uint8))[..., None] for side in (labels, *sides)]
    kept = [[dice.keep(a, b) for a, b in zip(one_hot[0], side)] for side in one_hot[1:]]
    found = dice.drop(*kept)
    assert found.drop == pytest.approx(100 * (dice.figures(kept[0]).value - dice.figures(kept[1]).value))
    assert found.low < found.drop < found.high and len(found.class_drop) == 4


def test_ids_beyond_a_byte():
    miou = task("semantic", 1000, 999)
    label, found = np.array([[0, 300, 998, 999]], np.int32), np.array([[0, 300, 0, 7]], np.int32)
    kept = miou.keep(label, found, full=True)
    assert kept.shape == (5, 1000) and kept[0].sum() == 2 and kept[1].sum() == 3
    assert miou.figures([kept]).value == pytest.approx((0.5 + 1 + 0) / 3)
