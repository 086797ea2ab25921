"""What decides about things in the picture stays float32 in OpenVINO, whatever precision it is opened with.

OpenVINO computes in bf16 or fp16 all that stands before the last layers with weights: anchors, IoU and the
boxes that RoIAlign reads too. The attribute `precise` of its IR excludes a layer.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from edgeseg.core.deciding import Kind, Step, deciding

_KINDS: dict[str, Kind] = {
    "Parameter": "input",
    "Convolution": "layer",
    "GroupConvolution": "layer",
    "ConvolutionBackpropData": "layer",
    "GroupConvolutionBackpropData": "layer",
    "LSTMSequence": "layer",
    "GRUSequence": "layer",
    "RNNSequence": "layer",
    "MatMul": "product",
    "ROIAlign": "sampler",
    "ROIPooling": "sampler",
    "GridSample": "sampler",
    "TopK": "order",
    "NonMaxSuppression": "order",
}
_MOVERS = frozenset(
    {
        "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Broadcast", "Slice", "StridedSlice", "Split", "Tile",
        "VariadicSplit", "Concat", "Gather", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth",
    }
)  # fmt: skip
_CONSTANTS = ("Const", "Constant")


def keep_exact(entry: Path) -> bool:
    """Mark the layers of an IR file that compare, rank and place boxes, and their constants, as precise.

    Returns:
        Whether there are any; else the file is left alone.
    """
    tree = ElementTree.parse(entry)
    layers = {layer.get("id", ""): layer for layer in tree.iter("layer")}
    sources = _sources(tree.getroot())
    found = deciding(_steps(layers, sources))
    read = {source for name in found for source in sources.get(name, {}).values()}
    for name in found | read:
        layer = layers[name]
        if name in found or layer.get("type") in _CONSTANTS:
            about = layer.find("rt_info")
            if about is None:
                about = Element("rt_info")
                layer.insert(0 if layer.find("data") is None else 1, about)
            about.append(Element("attribute", name="precise", version="0"))
    if found:
        tree.write(entry, encoding="utf-8", xml_declaration=True)
    return bool(found)


def _sources(root: Element) -> dict[str, dict[int, str]]:
    """Which layer each port of a layer reads."""
    found: dict[str, dict[int, str]] = {}
    for edge in root.iter("edge"):
        ports = found.setdefault(edge.get("to-layer", ""), {})
        ports[int(edge.get("to-port", 0))] = edge.get("from-layer", "")
    return found


def _steps(layers: dict[str, Element], sources: dict[str, dict[int, str]]) -> list[Step]:
    """The layers as steps; an IR file lists them in the order of computation."""
    constants = {name for name, layer in layers.items() if layer.get("type") in _CONSTANTS}
    steps = []
    for name, layer in layers.items():
        given = sources.get(name, {})
        reads = ["" if given[port] in constants else given[port] for port in sorted(given)]
        operator = "ArgMax" if _takes_one(layer) else layer.get("type", "")
        kind = _KINDS.get(operator, "mover" if operator in _MOVERS else "other")
        values = reads
        if kind == "sampler":
            values = reads[1:2]
        elif kind == "mover":
            moved = reads if operator == "Concat" else reads[:1]
            values = moved if all(moved) else []
        used = tuple(filter(None, reads))
        steps.append(Step(name, kind, used, tuple(filter(None, values)), constant="" in reads[:2]))
    return steps


def _takes_one(layer: Element) -> bool:
    """A TopK of one value: OpenVINO's form of ArgMax."""
    data, dims = layer.find("data"), layer.findall("output/port[1]/dim")
    if layer.get("type") != "TopK" or data is None or not dims:
        return False
    return dims[int(data.get("axis", -1))].text == "1"
