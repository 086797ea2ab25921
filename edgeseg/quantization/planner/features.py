"""Inner maps in which a quantised network is compared with the float one."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, NodeProto
from torch import nn

from edgeseg.core.plugins import unknown
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor
from edgeseg.graph.lift import LiftedModule

COUNT = 6


def choose_features(original: ModelProto, quantized: ModelProto, count: int = COUNT) -> tuple[str, ...]:
    """Names of nodes whose outputs are worth comparing: what Concats join (the ends of encoder stages and
    the decoder maps beside them in a U-Net), else what residual Adds give; at most `count`, evenly spread.

    Cross-layer equalisation leaves these as they are.

    Args:
        original: the float graph, before upsampling is merged.
        quantized: the Q/DQ graph; nodes it does not have are not chosen.
    """
    editor = Editor(original)
    known = {node.name for node in quantized.graph.node}
    for kind in ("Concat", "Add"):
        found: dict[str, None] = {}
        for node in editor.graph.node:
            if node.op_type == kind:
                made = [_source(editor, name) for name in node.input] if kind == "Concat" else [node]
                found.update((m.name, None) for m in made if m is not None and m.name in known)
        if len(found) > 1:
            names = list(found)
            kept = min(count, len(names))
            return tuple(names[(i * len(names)) // kept] for i in range(kept))
    return ()


def tap(module: LiftedModule, names: Sequence[str]) -> tuple[str, ...]:
    """Put an `nn.Identity` behind each of these ONNX nodes, so that a hook can read its output. Returns their
    paths, the same for every network that is given the same names.

    Raises:
        GraphError: the network has no such node.
    """
    last = {theirs: ours for ours, theirs in module.onnx_names.items()}
    nodes = {node.name: node for node in module.graph.nodes}
    paths = []
    for index, name in enumerate(names):
        if last.get(name) not in nodes:
            raise unknown(name, last, noun="node", listing="edgeseg inspect BUNDLE --json", error=GraphError)
        path, node = f"feature_{index}", nodes[last[name]]
        module.add_module(path, nn.Identity())
        with module.graph.inserting_after(node):
            made = module.graph.call_module(path, (node,))
        node.replace_all_uses_with(made, delete_user_cb=lambda user, made=made: user is not made)
        paths.append(path)
    module.recompile()
    return tuple(paths)


def _source(editor: Editor, tensor: str) -> NodeProto | None:
    """The node that makes a tensor, or what a Resize makes it of."""
    node = editor.producer.get(tensor)
    while node is not None and node.op_type == "Resize":
        node = editor.producer.get(node.input[0])
    return node
