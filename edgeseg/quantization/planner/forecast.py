"""Time and loss of every plan over a few blocks, from measurements of a few of them. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Plans = NDArray[np.bool_]
"""[plans, blocks]: True where a block is int8."""
Floats = NDArray[np.float64]


def all_plans(blocks: int) -> Plans:
    """All 2^blocks plans."""
    return (np.arange(2**blocks)[:, None] >> np.arange(blocks) & 1).astype(bool)


def forecast_times(plans: Plans, seen: Plans, block_ms: Floats, near: Sequence[Sequence[int]]) -> Floats:
    """Milliseconds of each plan: the sum over its blocks of the time that block took in those of the measured
    plans where it had the same precision and most of its neighbours had theirs.

    So the price of a border between precisions is learnt wherever one was seen.

    Args:
        seen: plans that were measured: the all-int8 and the all-float one must be there.
        block_ms: time of each block in them, the shape of `seen`.
        near: neighbours of each block.
    """
    total = np.zeros(len(plans))
    for block, others in enumerate(near):
        differ = (plans[:, None, others] != seen[None, :, others]).sum(axis=-1)
        differ = differ + (plans[:, None, block] != seen[None, :, block]) * (len(near) + 1)
        best = differ == differ.min(axis=1, keepdims=True)
        total += (best @ block_ms[:, block]) / best.sum(axis=1)
    return total


def forecast_losses(plans: Plans, alone: Floats, scale: Floats) -> Floats:
    """Drop of each plan for each limit, [plans, limits]: losses of int8 blocks add up.

    Args:
        alone: [limits, blocks]: what each block alone changes.
        scale: [limits]: points of drop for each of these.
    """
    found: Floats = plans @ (alone * scale[:, None]).T
    return found


def fastest(
    plans: Plans, times: Floats, losses: Floats, limits: Floats, count: int, skip: Plans
) -> list[int]:
    """Indexes of the `count` fastest plans within all limits, without those of `skip`; ties go to the
    smaller loss."""
    within = np.all(losses <= limits + 1e-9, axis=1) & _new(plans, skip)
    order = np.lexsort((losses.max(axis=1), times))
    return [int(index) for index in order[within[order]][:count]]


def gentlest(
    plans: Plans, times: Floats, losses: Floats, limits: Floats, count: int, skip: Plans
) -> list[int]:
    """Indexes of the `count` plans that miss the limits least, without those of `skip`; ties go to the
    faster."""
    order = np.lexsort((times, (losses - limits).max(axis=1)))
    return [int(index) for index in order[_new(plans, skip)[order]][:count]]


def _new(plans: Plans, skip: Plans) -> Plans:
    bits = 1 << np.arange(plans.shape[1])
    return np.isin(plans @ bits, skip @ bits, invert=True)
