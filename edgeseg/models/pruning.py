"""Which layers depend on which channels, and pruning done again from its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.core.model_spec import Pruned
from edgeseg.core.preprocess import Size
from edgeseg.errors import MissingDependency, ModelError

if TYPE_CHECKING:
    from torch import nn


def dependency_graph(module: nn.Module, input_size: Size) -> Any:
    """The dependency graph of a network (DepGraph, Fang et al. 2023, arXiv:2301.12900), by Torch-Pruning.

    Traced by one forward pass of zeros [1,3,height,width]; leaves `module` in evaluation mode.

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
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else "cpu"
    try:
        with torch.inference_mode(False), torch.enable_grad():
            image = torch.zeros((1, 3, *input_size), device=device)
            return DependencyGraph().build_dependency(module, image, verbose=False)
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError, AssertionError) as fault:
        raise ModelError(
            f"the channels of the network cannot be traced: {fault}",
            expected="a network of torch modules that takes one image tensor",
        ) from fault


def take_channels(graph: Any, layer: nn.Module, channels: Sequence[int]) -> None:
    """Remove output channels of `layer` and everything in the network that depends on them."""
    pruner = graph.get_pruner_of_module(layer)
    group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(channels))
    group.prune(record_history=False)


def replay(module: nn.Module, history: Iterable[Pruned], input_size: Size) -> None:
    """Prune `module` in place as `history` says. The weights that remain are those it has.

    Raises:
        ModelError: a layer or channel of the history is not in the network.
    """
    graph = dependency_graph(module, input_size)
    layers = dict(module.named_modules())
    for entry in history:
        layer = layers.get(entry.layer)
        width = graph.get_out_channels(layer) if layer in graph.module2node else None
        channels = entry.indices()
        if layer is None or width is None or channels[-1] >= width or len(channels) >= width:
            raise ModelError(
                f"the pruning history takes the channels {entry.channels} from '{entry.layer}', "
                + (f"which has {width}" if width else "which the network does not have"),
                hint="the network was changed after the bundle was made: prune it again",
            )
        take_channels(graph, layer, channels)
