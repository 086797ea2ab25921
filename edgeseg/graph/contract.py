"""Which output of a graph counts and what the network already applied to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto

from edgeseg.core.ports import Array
from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError
from edgeseg.graph._edit import Editor, attribute, shape_of
from edgeseg.graph._run import run, session
from edgeseg.runtime.activation import Activation, activation_of

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
_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "HardSigmoid": "sigmoid", "Softmax": "softmax"}


class OutputContract(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        activation: what the network applied to it.
        evidence: how that was found: the node, or the range of values on random images.
        score_map: float [N,C,H,W].
    """

    name: str
    shape: tuple[int | str, ...]
    activation: Activation
    evidence: str
    score_map: bool


def detect(model: ModelProto, inputs: Mapping[str, Array] | None = None) -> list[OutputContract]:
    """All outputs of a static graph, in its order.

    The node an output comes from decides; where that is no activation, the values on `inputs`
    (random images if None), see `activation_of`.
    """
    editor = Editor(model)
    found = {o.name: _structural(editor, o.name) for o in model.graph.output}
    values = {} if all(found.values()) else _values(model, inputs)
    contracts = []
    for output in model.graph.output:
        shape = shape_of(output)
        is_map = output.type.tensor_type.elem_type == TensorProto.FLOAT and len(shape) == 4
        activation, evidence = found[output.name] or _numeric(values[output.name])
        contracts.append(
            OutputContract(
                name=output.name,
                shape=shape,
                activation=activation,
                evidence=evidence,
                score_map=is_map,
            )
        )
    return contracts


def resolve_output(
    model: ModelProto,
    postprocess: Postprocess,
    *,
    given: Collection[str] = (),
    inputs: Mapping[str, Array] | None = None,
) -> tuple[Postprocess, int, tuple[str, ...]]:
    """Fill in what the user did not state.

    Args:
        model: static.
        given: fields of `postprocess` the user stated; they are kept.

    Returns:
        The contract with the name of the output; its channels; what was assumed, one sentence each.

    Raises:
        GraphError: the stated output does not exist, or no output is a float score map.
    """
    outputs = detect(model, inputs)
    listing = ", ".join(f"{o.name} [{', '.join(map(str, o.shape))}]" for o in outputs)
    maps = [o for o in outputs if o.score_map]
    if "output" in given and postprocess.output:
        chosen = next((o for o in outputs if o.name == postprocess.output), None)
        if chosen is None or not chosen.score_map:
            state = "is no score map" if chosen else "does not exist"
            raise GraphError(
                f"the output '{postprocess.output}' {state}",
                expected=f"a float output [N,C,H,W] out of {listing}",
            )
    elif not maps:
        raise GraphError(
            f"no output of the network is a score map: {listing}",
            expected="a float output [N,C,H,W] with one channel per class",
            hint="export the network without its own argmax",
        )
    else:
        chosen = max(maps, key=lambda o: int(o.shape[2]) * int(o.shape[3]))
    notes = []
    if len(outputs) > 1 and "output" not in given:
        notes.append(
            f"of {len(outputs)} outputs ({listing}) '{chosen.name}' counts; state another as `output`"
        )
    activation = postprocess.activation if "activation" in given else chosen.activation
    if "activation" not in given:
        notes.append(f"the output '{chosen.name}' is taken as {activation}: {chosen.evidence}")
    result = msgspec.structs.replace(postprocess, output=chosen.name, activation=activation)
    return result, int(chosen.shape[1]), tuple(notes)


def _structural(editor: Editor, name: str) -> tuple[Activation, str] | None:
    """Walk up through operators that only move values to the activation they come from."""
    while (node := editor.producer.get(name)) is not None:
        if node.op_type in _ACTIVATIONS:
            activation = _ACTIVATIONS[node.op_type]
            over_channels = attribute(node, "axis", -1) in (1, -3)
            if activation == "softmax" and not over_channels:
                return None
            return activation, f"it comes from {node.op_type} '{node.name or node.output[0]}'"
        if node.op_type not in _KEEPS_VALUES or (node.op_type == "Concat" and len(set(node.input)) > 1):
            return None
        name = node.input[0]
    return None


def _values(model: ModelProto, inputs: Mapping[str, Array] | None) -> dict[str, Array]:
    if inputs is None:
        source = model.graph.input[0]
        noise = np.random.default_rng(0).standard_normal([int(d) for d in shape_of(source)], np.float32)
        inputs = {source.name: noise}
    return run(session(model), inputs)


def _numeric(scores: Array) -> tuple[Activation, str]:
    activation = activation_of(scores)
    seen = f"values between {float(scores.min()):.3g} and {float(scores.max()):.3g}"
    return activation, f"{seen} that sum to 1 over the channels" if activation == "softmax" else seen
