from __future__ import annotations

import numpy as np

from edgeseg.quantization.planner.forecast import all_plans, fastest, forecast_losses, forecast_times


def test_all_plans() -> None:
    plans = all_plans(3)
    assert plans.shape == (8, 3) and len({tuple(p) for p in plans}) == 8


def test_borders_are_priced_where_they_were_seen() -> None:
    plans = all_plans(4)
    taken = np.where(plans, [1.0, 2.0, 1.5, 3.0], [4.0, 3.0, 2.0, 5.0])
    taken[:, 1:] += 0.25 * (plans[:, 1:] != plans[:, :-1])
    seen = [0, 15, 5, 10]  # all float, all int8, and every second block
    found = forecast_times(plans, plans[seen], taken[seen], [(1,), (0, 2), (1, 3), (2,)])
    assert np.allclose(found[seen], taken[seen].sum(axis=1))
    assert np.abs(found - taken.sum(axis=1)).max() <= 0.25


def test_a_block_takes_what_it_took_among_like_neighbours() -> None:
    seen = np.array([[0, 0], [1, 1], [1, 0]], bool)
    taken = np.array([[5.0, 5.0], [1.0, 1.0], [2.0, 7.0]])
    found = forecast_times(np.array([[0, 1]], bool), seen, taken, [(1,), (0,)])
    assert found == [5.0 + 1.0]  # never seen there: as near as there is


def test_losses_add_up_for_every_limit() -> None:
    alone = np.array([[1.0, 2.0], [0.0, 4.0]])
    found = forecast_losses(all_plans(2), alone, np.array([0.5, 1.0]))
    assert found.tolist() == [[0, 0], [0.5, 0], [1.0, 4.0], [1.5, 4.0]]


def test_the_fastest_within_all_limits() -> None:
    plans = all_plans(2)
    times = np.array([9.0, 3.0, 3.0, 1.0])
    losses = np.array([[0.0], [0.4], [0.2], [9.0]])
    limits = np.array([0.5])
    assert fastest(plans, times, losses, limits, 5, plans[:0]) == [2, 1, 0]
    assert fastest(plans, times, losses, limits, 1, plans[2:3]) == [1]
