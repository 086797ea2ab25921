"""In which order images are taken. Each strategy ranks all of them; a prefix of the ranking is the choice.

An image that is passed over as a near-duplicate counts as taken: what it shows is in the list.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeseg.core.ports import Array

STRATEGIES = ("random", "stratified", "k-centre")


def random_order(count: int, seed: int) -> Iterator[int]:
    """A permutation of 0..count-1 that the seed alone decides."""
    yield from (int(i) for i in np.random.Generator(np.random.PCG64(seed)).permutation(count))


def stratified_order(shares: Array, seed: int) -> Iterator[int]:
    """Greedy cover of the classes.

    The next image is the one that adds most to the sum over classes of log(1 + amount / usual amount): the
    first pixels of a rare class weigh more than more road. Greedy choice is within 1 - 1/e of the best for
    such sums (Nemhauser, Wolsey and Fisher, 1978). The seed decides ties.

    Args:
        shares: float [images, classes], share of the pixels of each image.
    """
    present = shares > 0
    usual = shares.sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    amounts = np.divide(shares, usual, out=np.zeros_like(shares), where=usual > 0)
    left = list(random_order(len(shares), seed))
    taken = np.zeros(shares.shape[1])
    while left:
        gains = np.log1p(taken + amounts[left]).sum(axis=1)
        best = left.pop(int(gains.argmax()))
        taken += amounts[best]
        yield best


def k_centre_order(features: Array) -> Iterator[int]:
    """Farthest-first traversal (Gonzalez, 1985): at most twice the best covering radius.

    It starts with the image nearest to the mean; then always the one farthest from all taken.

    Args:
        features: float [images, features].
    """
    spread = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    distance = np.full(len(points), np.inf)
    best = int(np.linalg.norm(points, axis=1).argmin())
    for _ in range(len(points)):
        yield best
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
        distance[best] = -np.inf
        best = int(distance.argmax())
