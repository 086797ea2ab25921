"""Scores that nobody sees are not computed: the crop of a padded frame moves into a transposed convolution.

A frame laid into a larger input gives scores of which only its own part counts. Layer by layer from the
scores back, this finds the window that part needs; a transposed convolution writes just that window, by
larger pads, and the convolutions behind it get smaller maps. The values inside the window stay the same.
"""

from __future__ import annotations

from onnx import NodeProto

from edgeseg.graph.editor import Editor, attribute, ints, set_attribute

Window = tuple[tuple[int, int], tuple[int, int]]
"""(first, end) of rows and of columns."""

_POINTWISE = {
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus"),
    *("Add", "Sub", "Mul", "Div", "BatchNormalization", "Cast", "Identity"),
    *("QuantizeLinear", "DequantizeLinear"),
}
"""Each output pixel comes from the same pixel of the first input; the other inputs must be constant."""


def crop(editor: Editor, scores: str, window: Window, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Let the graph compute only a window of `scores`; False, and nothing changed, where it cannot.

    Args:
        scores: [N,C,H,W], read by no node.
        shapes: of all tensors.
    """
    name, pads = scores, []
    while (node := editor.producer.get(name)) is not None:
        if name != scores and editor.only_consumer(name) is None:
            return False
        size = shapes[name][2:]
        if node.op_type == "ConvTranspose" and _plain(node) and not attribute(node, "output_shape"):
            pads.append((node, _wider(ints(node, "pads", (0, 0, 0, 0)), window, size)))
            for changed, value in pads:
                set_attribute(changed, "pads", value)
            return True
        if node.op_type == "Conv" and _plain(node) and set(ints(node, "strides", (1, 1))) == {1}:
            window, own = _behind(node, window, shapes[node.input[0]][2:], shapes[node.input[1]][2:])
            pads.append((node, own))
        elif node.op_type not in _POINTWISE or not _constants(editor, node):
            return False
        name = node.input[0]
    return False


def _plain(node: NodeProto) -> bool:
    return attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", "NOTSET")


def _constants(editor: Editor, node: NodeProto) -> bool:
    """Whether the inputs after the first are constants that are the same for all pixels."""
    found = [editor.constant(name) for name in node.input[1:] if name]
    return all(c is not None and (c.ndim < 2 or c.shape[-2:] == (1, 1)) for c in found)


def _wider(pads: list[int], window: Window, size: tuple[int, ...]) -> list[int]:
    """Pads of a transposed convolution that writes only `window` of the `size` it wrote."""
    (top, bottom), (left, right) = window
    return [pads[0] + top, pads[1] + left, pads[2] + size[0] - bottom, pads[3] + size[1] - right]


def _behind(
    node: NodeProto, window: Window, size: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[Window, list[int]]:
    """The window of its input that a convolution of stride 1 needs, and its pads around that."""
    pads, dilations = ints(node, "pads", (0, 0, 0, 0)), ints(node, "dilations", (1, 1))
    needed, before, after = [], [], []
    for axis, (first, end) in enumerate(window):
        start = first - pads[axis]
        stop = end - pads[axis] + dilations[axis] * (kernel[axis] - 1)
        needed.append((max(0, start), min(size[axis], stop)))
        before.append(max(0, -start))
        after.append(max(0, stop - size[axis]))
    return (needed[0], needed[1]), [*before, *after]
