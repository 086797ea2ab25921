"""Times of an engine's layers, as times of the nodes of the graph it was built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeseg.core.ports import Layer


def by_node(layers: Sequence[Layer], taken: Sequence[float], names: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds of weighted nodes. A layer without one counts for the last node before it, as the sums,
    conversions and activations behind a convolution do; empty where the engine does not name its layers.

    Args:
        names: what the engine may call a node, to the name of the node.
    """
    found: dict[str, float] = {}
    current, before = "", 0.0
    for layer, milliseconds in zip(layers, taken):
        own = next((names[name] for name in (*layer.nodes, layer.name) if name in names), "")
        current = own or current
        if current:
            found[current] = found.get(current, 0.0) + milliseconds + before
            before = 0.0
        else:
            before += milliseconds
    return found if 2 * len(found) >= len(set(names.values())) else {}
