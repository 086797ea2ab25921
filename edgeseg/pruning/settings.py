"""What a network is pruned with."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseg.core.target import Target
from edgeseg.errors import InputError

Importance = Literal["l1", "bn", "taylor", "random"]
Basis = Literal["macs", "parameters", "latency"]


class PruneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        keep: share of MACs, parameters or latency that may remain; `by` says of which.
        target: the engine that is measured, as in `openvino-fp32`; for `by = "latency"` and `staircase`.
        importance: `l1`: norm of the filters (Li et al. 2017, arXiv:1608.08710); `bn`: BatchNorm scale (Liu
            et al. 2017, arXiv:1708.06519); `taylor`: first-order effect on the loss (Molchanov et al. 2019,
            arXiv:1906.10771), from `images` labelled images; `random`: the control.
        rounds: the network is pruned (and fine-tuned) in this many equal factors.
        layer_keep: share of its channels that every layer keeps at least.
        multiple: widths are multiples of this, or stay as they were.
        staircase: widths are those where the latency of a convolution, measured on `target`, takes a step;
            instead of `multiple`.
        protect: layers whose output channels stay, by name; a name covers what is inside. The last layer
            always stays.
        images: labelled images for `taylor`.
        seed: of `random`.
    """

    keep: float = 0.5
    by: Basis = "macs"
    target: str = ""
    importance: Importance = "l1"
    rounds: int = 1
    layer_keep: float = 0.1
    multiple: int = 8
    staircase: bool = False
    protect: tuple[str, ...] = ()
    images: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        _require("keep", self.keep, 0.0 < self.keep < 1.0, "above 0 and below 1")
        _require("layer_keep", self.layer_keep, 0.0 < self.layer_keep <= 1.0, "above 0, at most 1")
        for name in ("rounds", "multiple", "images"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require("seed", self.seed, self.seed >= 0, "0 or more")
        if self.measures:
            _require(
                "target",
                self.target or "empty",
                bool(self.target),
                "an engine to measure, as in openvino-fp32",
            )
            Target.parse(self.target)

    @property
    def measures(self) -> bool:
        """Whether pruning needs an engine to measure on."""
        return self.by == "latency" or self.staircase


def _require(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise InputError(
            f"{name} of the pruning is {value}", expected=expected, hint="change it in the step's settings"
        )
