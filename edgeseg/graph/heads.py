"""The part of a network of things that learns: its layers, without what compares, ranks and places boxes.

Heads are what the last layers say before anything is decided: objectness and deltas of each level, class
scores and deltas of each box, mask logits. Two networks can be compared by them where both are asked about
the same boxes, so what is decided between the heads (the boxes that are looked at again) may be given to the
graph as inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from onnx import ModelProto, ValueInfoProto

from edgeseg.core.deciding import Step, deciding, weighted
from edgeseg.errors import GraphError
from edgeseg.graph.deciding import steps_of
from edgeseg.graph.editor import Editor


class Heads(NamedTuple):
    """
    Attributes:
        said: tensors that the last layers make, in the order of the graph.
        decided: tensors that are made of them and read by layers before other heads: boxes, and the level of
            the pyramid that each belongs to.
    """

    said: tuple[str, ...]
    decided: tuple[str, ...]


def heads_of(model: ModelProto) -> Heads:
    """Heads of a simplified graph, float or with Q/DQ pairs; empty where nothing is ranked or placed."""
    editor = Editor(model)
    steps = {step.name: step for step in steps_of(editor)}
    inner = {name for name in deciding(steps.values()) if steps[name].kind != "sampler"}
    if not inner:
        return Heads((), ())
    layers = weighted(steps.values())
    stops = layers | {step.name for step in steps.values() if step.kind == "sampler"}
    said = layers & _before((o.name for o in model.graph.output), steps, stops)
    learns = _before(said, steps, inner, inclusive=False)
    decided: dict[str, None] = {}
    for node in editor.graph.node:
        if node.output[0] in learns:
            read = [name for name in node.input if name in editor.producer]
            decided.update((name, None) for name in read if editor.producer[name].output[0] in inner)
    return Heads(tuple(name for name in steps if name in said), tuple(decided))


def returning(model: ModelProto, outputs: Sequence[str], inputs: Sequence[str] = ()) -> ModelProto:
    """The graph with these tensors as outputs, and these as inputs behind its own ones.

    Raises:
        GraphError: the graph has no such tensor, or its type is not known.
    """
    editor = Editor(model)
    graph = editor.graph
    known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    missing = [name for name in (*outputs, *inputs) if name not in known]
    if missing:
        raise GraphError(f"the graph has no tensor '{missing[0]}', or its shape is not known")
    chosen = [_copy(known[name]) for name in outputs]
    given = [_copy(known[name]) for name in inputs]
    del graph.output[:]
    graph.output.extend(chosen)
    graph.input.extend(given)
    cut = set(inputs)
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in cut:
                node.output[index] = editor.unique(f"{name}/before")
    editor.refresh()
    return editor.finish()


def _before(
    names: Iterable[str], steps: Mapping[str, Step], stops: Collection[str], *, inclusive: bool = True
) -> set[str]:
    """What these steps are made of, themselves among it, back to the first that stop."""
    found: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name in found or (name in stops and not inclusive):
            continue
        found.add(name)
        if name not in stops:
            ahead.extend(steps[name].reads)
    return found


def _copy(value: ValueInfoProto) -> ValueInfoProto:
    copied = ValueInfoProto()
    copied.CopyFrom(value)
    return copied
