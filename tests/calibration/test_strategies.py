"""Which images the strategies take first."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from edgeseg.calibration.strategies import k_centre_order, random_order, stratified_order

RANKINGS = {
    "random": lambda: random_order(12, 3),
    "stratified": lambda: stratified_order(np.random.default_rng(0).random((12, 4)), 3),
    "k-centre": lambda: k_centre_order(np.random.default_rng(0).random((12, 5))),
}


@pytest.mark.parametrize("name", RANKINGS)
def test_every_image_is_ranked_once_and_always_the_same_way(name):
    ranking = list(RANKINGS[name]())
    assert sorted(ranking) == list(range(12))
    assert ranking == list(RANKINGS[name]())


def test_the_seed_decides_a_random_choice():
    assert list(random_order(50, 0)) != list(random_order(50, 1))


def test_a_rare_class_is_covered_at_once():
    shares = np.tile([0.7, 0.3, 0.0], (100, 1))
    shares[37] = [0.7, 0.29, 0.01]
    assert next(stratified_order(shares, 0)) == 37


def test_a_class_that_is_nowhere_disturbs_nothing():
    shares = np.tile([1.0, 0.0], (4, 1))
    assert sorted(stratified_order(shares, 0)) == [0, 1, 2, 3]


def test_k_centre_takes_one_image_of_each_cluster_first():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    points = np.concatenate([centre + 0.1 * rng.random((8, 2)) for centre in centres])
    assert {i // 8 for i in islice(k_centre_order(points), 4)} == {0, 1, 2, 3}


def test_images_without_any_difference_are_ranked_too():
    assert sorted(k_centre_order(np.ones((3, 2)))) == [0, 1, 2]
