"""Which channels to take to bring a cost down to a limit: one ranking over all layers, limits per layer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgeseg.core.model_spec import Pruned
from edgeseg.errors import InputError
from edgeseg.pruning.cost import Removal
from edgeseg.pruning.importance import Scores
from edgeseg.pruning.staircase import multiples, nearest
from edgeseg.pruning.units import Unit

PLENTY = 1 << 16


def shrink(
    units: Sequence[Unit],
    scores: Mapping[str, Scores],
    cost: Callable[[Removal], float],
    limit: float,
    *,
    floors: Mapping[str, int],
    multiple: int = 8,
    steps: Sequence[int] = (),
    tries: int = PLENTY,
    what: str = "the cost",
) -> tuple[Pruned, ...]:
    """The fewest channels of least importance whose removal brings `cost` to `limit` or below.

    Args:
        scores: importance by unit; a unit without scores stays whole.
        cost: of the network after a removal; larger removals never cost more, up to measurement noise.
        floors: channels every unit keeps at least, by layer.
        multiple: widths are multiples of this, or
        steps: one of these, or the width the unit has.
        tries: how finely the ranking is searched; `cost` is called about log2(tries) times.

    Returns:
        A history for `edgeseg.models.pruning.replay`.

    Raises:
        InputError: the limit cannot be reached; names what can.
    """
    folded = {u.layer: scores[u.layer].reshape(u.groups, -1).mean(axis=0) for u in units if u.layer in scores}
    movable = [u for u in units if u.layer in folded]
    widths = {u.layer: _widths(u, floors.get(u.layer, 1), multiple, steps) for u in movable}
    ranking = np.sort(np.concatenate([np.zeros(0), *(np.repeat(folded[u.layer], u.groups) for u in movable)]))

    def removal(taken: int) -> Removal:
        threshold = ranking[taken] if taken < len(ranking) else np.inf
        return {u.layer: _lowest(u, folded[u.layer], threshold, widths[u.layer]) for u in movable}

    grid = np.unique(np.linspace(0, len(ranking), min(tries, len(ranking)) + 1).astype(int))
    least = cost(removal(len(ranking)))
    if least > limit:
        raise InputError(
            f"pruning cannot bring {what} down to {limit:.4g}",
            expected=f"at least {least:.4g}: what the limits per layer and the protected layers leave",
            hint="raise keep, lower layer_keep or multiple, or protect fewer layers",
        )
    first = bisect_left(grid, True, key=lambda taken: cost(removal(int(taken))) <= limit)
    return history_of(removal(int(grid[min(first, len(grid) - 1)])))


def history_of(removal: Removal) -> tuple[Pruned, ...]:
    """The removal as `edgeseg.models.pruning.replay` carries it out."""
    return tuple(Pruned.of(layer, map(int, gone)) for layer, gone in removal.items() if len(gone))


def _widths(unit: Unit, floor: int, multiple: int, steps: Sequence[int]) -> tuple[int, ...]:
    """The widths a unit may have."""
    choices = steps or multiples(unit.width, multiple)
    return (*(w for w in choices if floor <= w < unit.width and w % unit.groups == 0), unit.width)


def _lowest(unit: Unit, folded: Scores, threshold: float, widths: Sequence[int]) -> np.ndarray:
    """Channels below the threshold, as many as the nearest allowed width takes."""
    wanted = int((folded >= threshold).sum()) * unit.groups
    positions = (unit.width - nearest(wanted, widths)) // unit.groups
    order = np.argsort(folded, kind="stable")[:positions]
    return np.concatenate([order + part * len(folded) for part in range(unit.groups)])
