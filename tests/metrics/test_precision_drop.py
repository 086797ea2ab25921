from __future__ import annotations

import numpy as np
import pytest
from scenes import found, things
from scipy.stats import t

from edgeseg.errors import InputError
from edgeseg.metrics import matches, mean_present, precision_drop, precision_tables
from edgeseg.metrics.average_precision import together

CLASSES = 2


@pytest.fixture(scope="module")
def kept():
    """What two networks find in 12 images; the second finds worse."""
    rng = np.random.default_rng(3)
    pairs = []
    for _ in range(12):
        truth = things(rng, 4, CLASSES)
        pairs.append(
            [matches(truth, found(rng, truth, CLASSES, wrong=n), CLASSES, masks=False) for n in (0, 6)]
        )
    return list(zip(*pairs, strict=True))


def ap(kept):
    return mean_present(precision_tables(kept)["AP"])


def test_the_interval_is_t_standard_errors_of_drawn_images(kept):
    a, b = kept
    result = precision_drop(a, b, resamples=50, seed=4)
    draws = np.random.default_rng(4).multinomial(12, np.full(12, 1 / 12), 50)
    copies = [np.repeat(np.arange(12), draw) for draw in draws]
    drops = [100 * (ap([a[i] for i in drawn]) - ap([b[i] for i in drawn])) for drawn in copies]
    assert result.drop == pytest.approx(100 * (ap(a) - ap(b)))
    reach = t.ppf(0.975, 11) * np.std(drops, ddof=0) * np.sqrt(12 / 11)
    assert (result.low, result.high) == pytest.approx((result.drop - reach, result.drop + reach))
    assert (result.images, result.sequences, result.observation) == (12, 0, "image")


def test_classes_have_theirs(kept):
    a, b = kept
    result = precision_drop(a, b, resamples=200)
    expected = 100 * (precision_tables(a)["AP"] - precision_tables(b)["AP"])
    assert result.class_drop == pytest.approx(tuple(expected))
    assert all(
        low < drop < high for low, drop, high in zip(result.class_low, result.class_drop, result.class_high)
    )


def test_a_network_loses_nothing_against_itself(kept):
    result = precision_drop(kept[0], kept[0])
    assert (result.drop, result.low, result.high) == (0.0, 0.0, 0.0)


def test_the_images_of_a_sequence_are_drawn_together(kept):
    a, b = kept
    names = [f"drive {image // 3}" for image in range(12)]
    joined = [[together(side[at : at + 3]) for at in range(0, 12, 3)] for side in (a, b)]
    result, expected = precision_drop(a, b, names), precision_drop(*joined)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert (result.images, result.sequences, result.observation) == (12, 4, "sequence")
    assert result.caveat == "only 4 sequences: rough"


def test_one_image_has_a_drop_and_no_interval(kept):
    result = precision_drop(kept[0][:1], kept[1][:1])
    assert result.drop == pytest.approx(100 * (ap(kept[0][:1]) - ap(kept[1][:1])))
    assert np.isnan([result.low, result.high, *result.class_low]).all()


def test_a_class_without_a_thing_has_no_drop(kept):
    a, b = (
        [image._replace(truths=np.pad(image.truths, [(0, 0), (0, 1)])) for image in side[:4]] for side in kept
    )
    result = precision_drop(a, b)
    assert np.isnan([result.class_drop[2], result.class_low[2]]).all() and not np.isnan(result.low)


def test_it_is_the_same_on_each_call(kept):
    assert precision_drop(*kept) == precision_drop(*kept)


def test_other_images_are_refused(kept):
    a, b = kept
    for given in ((a, b[:5]), ([], []), (a, b[::-1]), (a, b, ["one"])):
        with pytest.raises(InputError, match="cannot be paired"):
            precision_drop(*given)
