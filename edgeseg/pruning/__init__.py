"""Structured channel pruning of torch networks, on Torch-Pruning's dependency graph.

`find_units` says which channels can only go together, `score` how much each of them matters, `shrink` which
ones to take so that MACs, parameters or measured milliseconds come down to a limit. The result is a history,
plain data that `edgeseg.models.pruning.replay` carries out, here and whenever the network is loaded again.
"""

from __future__ import annotations

from edgeseg.pruning.cost import Costs
from edgeseg.pruning.importance import score
from edgeseg.pruning.search import shrink
from edgeseg.pruning.settings import PruneSettings
from edgeseg.pruning.staircase import measure_staircase, snap, treads
from edgeseg.pruning.units import Unit, find_units

__all__ = [
    "Costs",
    "PruneSettings",
    "Unit",
    "find_units",
    "measure_staircase",
    "score",
    "shrink",
    "snap",
    "treads",
]
