"""Which output of a graph counts and what the network already applied to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from onnx import ModelProto, NodeProto

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor, attribute, shape_of
from edgeseg.graph.reference import run, session
from edgeseg.runtime.activation import Activation, activation_of
from edgeseg.runtime.score_map import find_score_map, listing, noise
from edgeseg.runtime.seen import Seen, seen

_KEEPS_VALUES = frozenset(
    {
        "Identity",
        "Cast",
        "Resize",
        "Upsample",
        "Slice",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Pad",
        "Concat",
    }
)
_DECISIONS = frozenset({"ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "HardSigmoid": "sigmoid", "Softmax": "softmax"}


def resolve_output(
    model: ModelProto, postprocess: Postprocess, *, given: Collection[str] = ()
) -> tuple[Postprocess, int, tuple[str, ...]]:
    """Fill in what the user did not state: the output that counts, see `find_score_map`, and its activation.

    The node an output comes from tells the activation; where that is no activation, its values on random
    images do, see `activation_of`.

    Args:
        model: static, batch 1.
        given: fields of `postprocess` the user stated; they are kept.

    Returns:
        The contract with the name of the output; its channels; what was assumed, one sentence each.

    Raises:
        GraphError: the stated output does not exist, an output that is no score map, or several that are
            equally large.
    """
    source = model.graph.input[0]
    shape = [int(d) for d in shape_of(source)]
    opened = session(model)
    runs = [
        {name: seen(value) for name, value in run(opened, {source.name: image}).items()}
        for image in noise(shape)
    ]
    editor = Editor(model)
    name = find_score_map(
        runs,
        (shape[2], shape[3]),
        stated=postprocess.output if "output" in given and postprocess.output else None,
        stretch=postprocess.stretch,
        labels=[output for output in runs[0] if _source(editor, output) in _DECISIONS],
        error=GraphError,
    )
    notes = []
    if len(runs[0]) > 1 and "output" not in given:
        notes.append(
            f"of {len(runs[0])} outputs ({listing(runs[0])}) '{name}' counts, the largest score map; state "
            "another with --set output=NAME"
        )
    activation = postprocess.activation
    if "activation" not in given:
        activation, evidence = _structural(editor, name) or _numeric([values[name] for values in runs])
        notes.append(f"the output '{name}' is taken as {activation}: {evidence}")
    result = msgspec.structs.replace(postprocess, output=name, activation=activation)
    return result, int(runs[0][name].shape[1]), tuple(notes)


def _structural(editor: Editor, name: str) -> tuple[Activation, str] | None:
    """The activation an output comes from, and its node."""
    node = _producer(editor, name)
    activation = _ACTIVATIONS.get(node.op_type) if node else None
    if node is None or activation is None:
        return None
    if activation == "softmax" and attribute(node, "axis", -1) not in (1, -3):
        return None
    return activation, f"it comes from {node.op_type} '{node.name or node.output[0]}'"


def _source(editor: Editor, name: str) -> str:
    """The operator that made the values of an output; empty for the input of the network."""
    node = _producer(editor, name)
    return node.op_type if node else ""


def _producer(editor: Editor, name: str) -> NodeProto | None:
    """Walk up from a tensor through operators that only move values."""
    while (node := editor.producer.get(name)) is not None:
        if node.op_type not in _KEEPS_VALUES or (node.op_type == "Concat" and len(set(node.input)) > 1):
            return node
        name = node.input[0]
    return None


def _numeric(runs: Sequence[Seen]) -> tuple[Activation, str]:
    activation = activation_of(runs)
    values = f"values between {min(run.low for run in runs):.3g} and {max(run.high for run in runs):.3g}"
    return activation, f"{values} that sum to 1 over the channels" if activation == "softmax" else values
