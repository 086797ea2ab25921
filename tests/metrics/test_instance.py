"""Mask AP as a metric: against faster-coco-eval, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import SIDE, boxes_of, found, things
from second_opinion import second_opinion

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import InputError
from edgeseg.metrics import mean_present
from edgeseg.metrics.matching import SIZES
from edgeseg.metrics.tasks import metric_of


def task(classes=3, threshold=0.5):
    return metric_of(
        ModelSpec(
            name="net",
            source=Source(kind="onnx", ref="net.onnx"),
            task="instance",
            input_size=(32, 32),
            classes=default_classes(classes),
            postprocess=Postprocess(threshold=threshold),
        )
    )


def squares(*corners, labels=None, scores=None, side=10, size=SIDE):
    """Things of `side` pixels at (row, column)."""
    masks = np.zeros((len(corners), size, size), bool)
    for mask, (row, column) in zip(masks, corners, strict=True):
        mask[row : row + side, column : column + side] = True
    return Instances(
        boxes_of(masks),
        np.zeros(len(corners), np.int32) if labels is None else np.array(labels, np.int32),
        np.ones(len(corners), np.float32) if scores is None else np.array(scores, np.float32),
        masks,
    )


def kept_of(metric, pairs, *, full=False):
    return [metric.keep(truth, guess, full=full) for truth, guess in pairs]


def random_pairs(seed, classes, images=5, **more):
    rng = np.random.default_rng(seed)
    pairs = []
    for image in range(images):
        truth = things(rng, 0 if image == 1 else int(rng.integers(1, 9)), classes, crowds=0.25)
        if image == 2:  # the size of a thing is what its label says
            truth = truth._replace(area=rng.uniform(1, 1e4, len(truth.labels)))
        guess = found(rng, truth, classes, **more)
        pairs.append((truth, guess.where(np.zeros(0, int)) if image == 3 else guess))
    return pairs


def require_equal(metric, pairs, classes):
    figures = metric.figures(kept_of(metric, pairs, full=True))
    by_masks, by_boxes = (second_opinion(pairs, classes, masks) for masks in (True, False))

    def means(values):
        return float(mean_present(values.mean(0)))

    expected = {
        "AP50": float(mean_present(by_masks[0, :, 0])),
        "AP75": float(mean_present(by_masks[5, :, 0])),
        **{f"AP {size}": means(by_masks[..., at]) for at, size in enumerate(SIZES) if at},
        "box AP": means(by_boxes[..., 0]),
    }
    assert figures.means == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert figures.value == pytest.approx(means(by_masks[..., 0]), abs=1e-6)
    np.testing.assert_allclose(figures.classes, by_masks[..., 0].mean(0), atol=1e-6)
    np.testing.assert_allclose(figures.tables["AP50"], by_masks[0, :, 0], atol=1e-6)
    np.testing.assert_allclose(figures.tables["box AP"], by_boxes[..., 0].mean(0), atol=1e-6)
    return figures


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_faster_coco_eval_says(seed):
    pairs = random_pairs(seed, 3, wrong=seed % 5, equal=seed % 4 == 1)
    assert require_equal(task(), pairs, 3).value > 0.01


def test_eighty_classes_most_of_them_not_shown():
    figures = require_equal(task(80), random_pairs(3, 80, images=8), 80)
    shown = ~np.isnan(figures.classes)
    assert 5 < shown.sum() < 40
    assert set(figures.tables) == {"recall", "precision", "AP50", "AP75", "box AP"}


def test_more_things_than_count():
    """What is found beyond a hundred of a class in an image is forgotten, at the working point too."""
    rng = np.random.default_rng(1)
    truth = things(rng, 40, 1)
    guess = found(rng, truth, 1, wrong=120, most=3)
    assert len(guess.labels) > 130
    pairs = [(truth, guess), *random_pairs(8, 1)]
    require_equal(task(1), pairs, 1)
    alone = task(1, 0.001).figures(kept_of(task(1, 0.001), pairs[:1]))
    right = alone.tables["precision"][0] * 100
    assert alone.tables["recall"][0] * 40 == pytest.approx(right) and right == pytest.approx(round(right))


def test_things_of_one_pixel():
    corners = [(0, 0), (5, 7), (SIDE - 1, SIDE - 1), (80, 80)]
    truth = squares(*corners, side=1)
    guess = squares(*corners[:3], (80, 81), side=1, scores=[0.9, 0.8, 0.7, 0.6])
    figures = require_equal(task(1), [(truth, guess)], 1)
    assert figures.value == figures.means["AP small"] == pytest.approx(76 / 101)
    assert np.isnan([figures.means["AP medium"], figures.means["AP large"]]).all()
    assert figures.tables["recall"] == figures.tables["precision"] == [0.75]


def test_no_thing_in_the_label_nor_in_the_result():
    metric, none = task(2), squares()
    kept = kept_of(metric, [(none, none), (none, none)], full=True)
    figures = metric.figures(kept)
    assert np.isnan([figures.value, *figures.classes, *figures.means.values()]).all()
    assert all(np.isnan(values).all() for values in figures.tables.values())
    assert np.isnan(metric.each(kept)).all() and np.isnan(metric.drop(kept, kept).drop)
    assert metric.equal(none, none) == (0, 0)


def test_things_that_are_missed_and_things_that_are_not_there():
    metric, none = task(2), squares()
    missed = metric.figures([metric.keep(squares((0, 0)), none)])
    assert (missed.value, missed.tables["recall"][0]) == (0.0, 0.0)
    assert np.isnan([missed.tables["precision"][0], missed.classes[1]]).all()
    assert np.isnan(metric.figures([metric.keep(none, squares((0, 0)))]).value)


def test_recall_and_precision_are_those_of_the_working_point():
    truth = squares((0, 0), (0, 40), (0, 80))
    guess = squares((0, 0), (0, 40), (0, 120), (0, 80), scores=[0.9, 0.7, 0.6, 0.3])
    low, usual, high = (task(1, at) for at in (0.1, 0.5, 0.8))
    tables = [metric.figures([metric.keep(truth, guess)]).tables for metric in (low, usual, high)]
    assert [table["recall"][0] for table in tables] == pytest.approx([1, 2 / 3, 1 / 3])
    assert [table["precision"][0] for table in tables] == pytest.approx([3 / 4, 2 / 3, 1])
    each = task(2, (0.8, 0.1))
    mixed = each.figures(
        [each.keep(*(side._replace(labels=np.arange(n) % 2) for side, n in ((truth, 3), (guess, 4))))]
    )
    assert mixed.tables["recall"] == pytest.approx([1 / 2, 1])


def test_a_score_that_is_the_threshold_is_there():
    metric = task(1, 0.7)
    guess = squares((0, 0), scores=[0.7])
    assert metric.figures([metric.keep(squares((0, 0)), guess)]).tables["recall"] == [1.0]


def test_a_crowd_is_neither_found_nor_missed():
    truth = squares((0, 0), (40, 40))._replace(crowd=np.array([False, True]))
    guess = squares((0, 0), (40, 40), (42, 42), scores=[0.9, 0.8, 0.7])
    found_of = task(1).figures([task(1).keep(truth, guess)])
    assert found_of.value == pytest.approx(1.0)
    assert found_of.tables["recall"] == found_of.tables["precision"] == [1.0]


def test_a_result_is_a_label_at_the_working_point():
    """A planner compares engines with the FP32 network, without labels."""
    metric = task(2)
    first = squares((0, 0), (0, 40), (0, 80), labels=[0, 1, 0], scores=[0.9, 0.6, 0.4])
    assert metric.figures([metric.keep(first, first)]).value == pytest.approx(1.0)
    other = first.where(np.array([0]))
    figures = metric.figures([metric.keep(first, other)])
    assert figures.classes.tolist() == pytest.approx([1.0, 0.0])


def test_each_image_alone():
    metric = task(3)
    right, wrong = squares((0, 0)), squares((0, 40), labels=[1], scores=[0.9])
    pairs = [
        (right, right),
        (right, squares()),
        (squares(), squares((0, 0), scores=[0.9])),  # of a class that another label shows
        (squares(), squares((0, 0), scores=[0.2])),  # not at the working point
        (squares(), wrong),  # of a class that no label shows
        (squares((0, 0), (0, 40), labels=[0, 2]), right),
    ]
    found_of = metric.each(kept_of(metric, pairs))
    assert found_of == pytest.approx([1.0, 0.0, 0.0, np.nan, np.nan, 0.5], nan_ok=True)


def test_images_together_are_worth_what_they_are_worth_apart():
    metric = task()
    kept = kept_of(metric, random_pairs(5, 3), full=True)
    joined = metric.figures([metric.together(kept[:2]), metric.together(kept[2:])])
    for apart, one in zip(metric.figures(kept).tables.values(), joined.tables.values(), strict=True):
        np.testing.assert_array_equal(apart, one)
    assert metric.together(kept_of(metric, random_pairs(5, 3))).boxes is None


def test_what_is_not_asked_for_is_not_told():
    metric = task()
    brief = metric.figures(kept_of(metric, random_pairs(6, 3)))
    assert set(brief.means) == {"AP50", "AP75"} and "box AP" not in brief.tables
    assert brief.value == metric.figures(kept_of(metric, random_pairs(6, 3), full=True)).value


def test_the_drop_is_paired():
    metric = task()
    pairs = random_pairs(7, 3, images=10)
    worse = [(truth, guess.where(np.arange(0, len(guess.labels), 2))) for truth, guess in pairs]
    before, after = kept_of(metric, pairs), kept_of(metric, worse)
    interval = metric.drop(before, after, [str(n // 2) for n in range(10)])
    assert interval.drop == pytest.approx(100 * (metric.figures(before).value - metric.figures(after).value))
    assert interval.low < interval.drop < interval.high
    assert (interval.images, interval.sequences) == (10, 5)


def test_what_two_results_both_say():
    a = squares((0, 0), (0, 40), (0, 80), (60, 0), labels=[0, 0, 1, 0], scores=[0.9, 0.8, 0.7, 0.4])
    b = squares((0, 2), (0, 47), (0, 80), labels=[0, 0, 0], scores=[0.9, 0.8, 0.7])
    # The first share 80 of 120 pixels, the next 30 of 170, the third are of two classes; the fourth of A is
    # below the working point.
    assert task(2).equal(a, b) == task(2).equal(b, a) == (1, 5)
    assert task(2).equal(a, a) == (3, 3)
    assert task(2).differs(a, b) is None


def test_a_thing_is_the_same_as_one_other_at_most():
    """The best pairs come first, whatever the scores."""
    a = squares((0, 0), (0, 1), scores=[0.6, 0.9])
    assert task(1).equal(a, squares((0, 0), scores=[0.9])) == (1, 2)
    near = squares((0, 1), (0, 2), (0, 4), scores=[0.9, 0.8, 0.7])
    assert task(1).equal(a, near) == task(1).equal(near, a) == (2, 3)


def test_results_that_do_not_belong_together_are_refused():
    metric, one = task(1), squares((0, 0))
    with pytest.raises(InputError, match="the label has boxes alone"):
        metric.keep(one._replace(masks=None), one)
    small = squares((0, 0), size=20)
    with pytest.raises(InputError, match=r"the first result has masks of .*, the second of \[20, 20\]"):
        metric.equal(one, small)
    with pytest.raises(InputError, match=r"the label has masks of \[160, 160\] pixels, the prediction"):
        metric.keep(one, small)
    with pytest.raises(InputError, match="the second"):
        metric.equal(one, one._replace(labels=np.array([1], np.int32)))
