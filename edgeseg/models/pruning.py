"""Which layers depend on which channels, and pruning done again from its history and checked."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_spec import Pruned
from edgeseg.core.preprocess import Shape
from edgeseg.errors import MissingDependency, ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgeseg.models._removed import Removed


def device_of(module: nn.Module) -> torch.device | str:
    """Where its parameters lie. The class is asked: a network may have an attribute called `parameters`."""
    from torch import nn

    parameter = next(nn.Module.parameters(module), None)
    return parameter.device if parameter is not None else "cpu"


def dependency_graph(module: nn.Module, shape: Shape) -> Any:
    """The dependency graph of a network (DepGraph, Fang et al. 2023, arXiv:2301.12900), by Torch-Pruning.

    Traced by one forward pass of zeros [1,*shape]; leaves `module` in evaluation mode. Layers that
    run and whose output is not returned (auxiliary heads) are traced too.

    Raises:
        ModelError: the network cannot be traced.
        MissingDependency: torch-pruning is not installed.
    """
    try:
        import torch
        from torch_pruning import DependencyGraph
    except ModuleNotFoundError as fault:
        raise MissingDependency(
            fault.name or "torch-pruning", "train", needed_for="a pruned network"
        ) from fault
    from edgeseg.models._traced import Traced

    try:
        with torch.inference_mode(False), torch.enable_grad():
            image = torch.zeros((1, *shape), device=device_of(module))
            graph = DependencyGraph().build_dependency(
                Traced(module), image, forward_fn=lambda network, given: network(given), verbose=False
            )
            _bound(graph)
            return graph
    except Exception as fault:  # what the network and Torch-Pruning raise has no common base
        raise ModelError(
            f"the channels of the network cannot be traced: {fault}",
            expected="a network of torch modules that takes one image tensor",
        ) from fault


def _bound(graph: Any) -> None:
    """Let no index pass the widest layer: Torch-Pruning would follow a reshape round a cycle for ever."""
    nodes = graph.module2node.values()
    widths = [
        w for n in nodes for w in (graph.get_out_channels(n), graph.get_in_channels(n)) if w is not None
    ]
    widest = max(widths, default=0)

    def require(indices: Any) -> Any:
        if len(indices) > widest or any(not 0 <= i.idx < widest for i in indices):
            raise IndexError(f"a channel of a network whose widest layer has {widest}")
        return indices

    for node in nodes:
        for link in node.dependencies:
            link.index_mapping.append(require)


def replay(module: nn.Module, history: Iterable[Pruned], shape: Shape) -> None:
    """Prune `module` in place as `history` says. The weights that remain are those it has.

    One forward pass is compared with the network before, see `Pruner.prune`.

    Raises:
        ModelError: a layer or channel of the history is not in the network, or the pruned network is not the
            one before without these channels; names the first layer that cannot be pruned so, and leaves
            `module` whole.
    """
    entries = tuple(history)
    pruner = Pruner(module, shape)
    if not pruner.prune(entries):
        shorter = range(1, len(entries))
        first = bisect_left(shorter, True, key=lambda count: not pruner.can_prune(entries[:count]))
        pruner.undo()
        raise ModelError(
            f"pruning the channels {entries[first].channels} of '{entries[first].layer}' would change more "
            "than these channels",
            expected="scores as with zeros in the place of the channels",
            hint="name the layer in 'protect' of the step 'prune', and prune again",
        )


class Pruner:
    """Prunes a network in place, as often as wished: each time it is the one that was given."""

    def __init__(self, module: nn.Module, shape: Shape) -> None:
        self._module, self._shape = module, shape
        self._before = copy.deepcopy(module).cpu()
        self._graph = dependency_graph(module, shape)
        self._layers = dict(module.named_modules())
        self._names = {layer: name for name, layer in self._layers.items()}
        self._whole = [(part, _copied(vars(part))) for part in _parts(self._graph)]

    def prune(self, history: Iterable[Pruned]) -> bool:
        """Take the channels of `history` from the network.

        Returns:
            Whether one forward pass of random numbers gives what the network before gives when the layers
            that read removed channels read zeros instead, and when norms over channels skip them.

        Raises:
            ModelError: a layer or channel of the history is not in the network.
        """
        from edgeseg.models._removed import Removed

        self.undo()
        removed = Removed()
        for entry in history:
            self._require(entry)
            try:
                self._take(entry, removed)
            except Exception:  # Torch-Pruning uses the indices it traced, right or wrong
                return False
        return removed.explains(self._before, self._module, self._shape)

    def can_prune(self, history: Iterable[Pruned]) -> bool:
        """As `prune`, which is undone."""
        try:
            return self.prune(history)
        finally:
            self.undo()

    def undo(self) -> None:
        for part, state in self._whole:
            vars(part).update(_copied(state))

    def _require(self, entry: Pruned) -> None:
        layer, channels = self._layers.get(entry.layer), entry.indices()
        width = self._graph.get_out_channels(layer) if layer in self._graph.module2node else None
        if layer is None or width is None or channels[-1] >= width or len(channels) >= width:
            raise ModelError(
                f"the pruning history takes the channels {entry.channels} from '{entry.layer}', "
                + (f"which has {width}" if width else "which the network does not have"),
                hint="the network was changed after the bundle was made: prune it again",
            )

    def _take(self, entry: Pruned, removed: Removed) -> None:
        """Remove output channels of a layer and everything in the network that depends on them."""
        graph, layer = self._graph, self._layers[entry.layer]
        pruner = graph.get_pruner_of_module(layer)
        group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(entry.indices()))
        for item in group:
            module = item.dep.target.module
            if module in self._names:
                out = graph.is_out_channel_pruning_fn(item.dep.handler)
                removed.add(self._names[module], module, out=out, channels=item.idxs)
        group.prune(record_history=False)


def _parts(graph: Any) -> Iterator[Any]:
    """What Torch-Pruning changes when it prunes: layers, its own nodes, the links between them."""
    from torch import nn

    for node in graph.module2node.values():
        if isinstance(node.module, nn.Module):
            yield node.module
        yield from node.dependencies


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes, and copies of the containers that pruning writes into."""
    inside = ("_parameters", "_buffers")
    return {k: copy.copy(v) if isinstance(v, list) or k in inside else v for k, v in state.items()}
