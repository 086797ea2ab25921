"""Which nodes of a network decide about things in the picture: what compares, ranks and places boxes.

They stay float32 where the rest is computed in 16 bits: fp16 tells pixels from 1024 on apart by whole ones,
bf16 from 256 on by two. One rule for all formats that a graph is written in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Kind = Literal["input", "layer", "product", "sampler", "order", "mover", "other"]


class Step(NamedTuple):
    """A node as the rule sees it.

    Attributes:
        name: unique.
        kind: `input` of the graph; `layer` with weights of its own; `product` of two tensors; `sampler`,
            which reads a map at coordinates; `order`, which ranks or suppresses; `mover`, which gives values
            that it reads; `other`.
        reads: names of the steps whose results it reads; constants are left out.
        values: those of `reads` that count: coordinates of a sampler, what a mover moves (none if it moves
            constants); of others all.
        constant: a tensor that it reads is constant.
    """

    name: str
    kind: Kind
    reads: tuple[str, ...]
    values: tuple[str, ...]
    constant: bool = False


def deciding(steps: Iterable[Step]) -> frozenset[str]:
    """Names of the steps that stay float32.

    They are found by the structure of the graph alone. From everything that orders (TopK, NMS) and from the
    coordinates of everything that samples (RoiAlign, GridSample) the rule walks back to the layers with
    weights, which do not belong to it: from the last one on, a network computes boxes and scores. What then
    reads nothing but these belongs to it too (boxes that are picked last), and so do the samplers: they take
    map and coordinates in one type. A mover whose values come from a layer does not: they can be widened
    behind it.

    Args:
        steps: each behind those that it reads.
    """
    known = {step.name: step for step in steps}
    computed = _computed(known)
    ends = _weighted(known, computed) | {s.name for s in known.values() if s.kind in ("sampler", "input")}
    found: set[str] = set()
    samplers = {s.name for s in known.values() if s.kind == "sampler" and computed.intersection(s.values)}
    ahead = [step.name for step in known.values() if step.kind == "order"]
    ahead += [name for sampler in samplers for name in known[sampler].values]
    while ahead:
        step = known[ahead.pop()]
        if step.name not in found and step.name in computed and step.name not in ends:
            found.add(step.name)
            ahead.extend(step.reads)
    if not found:
        return frozenset()
    for step in known.values():
        read = computed.intersection(step.reads)
        if read and read <= found and step.name not in ends:
            found.add(step.name)
    for step in known.values():
        if step.kind == "mover" and step.values and not found.intersection(step.values):
            found.discard(step.name)
    return frozenset(found | samplers)


def weighted(steps: Iterable[Step]) -> frozenset[str]:
    """Names of the layers: those with weights of their own, and products of a tensor and a constant."""
    known = {step.name: step for step in steps}
    return _weighted(known, _computed(known))


def _computed(known: Mapping[str, Step]) -> set[str]:
    """Steps whose results depend on an input."""
    found: set[str] = set()
    for step in known.values():
        if step.kind == "input" or found.intersection(step.reads):
            found.add(step.name)
    return found


def _weighted(known: Mapping[str, Step], computed: set[str]) -> frozenset[str]:
    return frozenset(
        s.name
        for s in known.values()
        if s.kind == "layer" or (s.kind == "product" and (s.constant or not computed.issuperset(s.reads)))
    )
