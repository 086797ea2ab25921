"""From the user's words to a network in PyTorch: zoo, checkpoints, Python files, exported programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.bundle import Bundle
from edgeseg.core.formats import refuse_format
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo, ModelSpec
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import MissingDependency, ModelError
from edgeseg.models import MODELS, family
from edgeseg.models._common import Held, Loaded

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Loaded", "open_network", "rebuild", "resolve"]


def resolve(
    choice: ModelChoice,
    *,
    classes: tuple[ClassInfo, ...] | None = None,
    ignore_index: int | None = None,
    trust_file: bool = False,
    frame: Frame | None = None,
) -> Loaded:
    """Build the network a user named, with its weights. First weights are the same in every run.

    Args:
        classes: of the data or of `--classes`; None: as many as the weights have, else 19.
        trust_file: a `.pt2` file, which can run code, may be opened.
        frame: what the images of the data are. The network reads such frames unless others are stated, or it
            or its weights take another number of channels: then the frames are theirs.

    Raises:
        ModelError: unknown name or option, an ONNX file, a network that fails, a wrong input size.
        CheckpointError: weights that are missing, broken or of another network.
        MissingDependency: torch, segmentation-models-pytorch or timm is not installed.
    """
    if choice.ref.kind == "onnx":
        raise ModelError(
            f"{choice.name} is an ONNX file", expected="a network in PyTorch: a zoo name or a factory"
        )
    _require_torch(choice.name)
    held = Held(classes, ignore_index, frame)
    if choice.ref.kind == "pt2":
        from edgeseg.models.foreign import from_program

        return from_program(choice, held, trust_file)
    if choice.ref.kind == "python":
        from edgeseg.models.foreign import from_python

        return from_python(choice, held)
    if choice.name not in MODELS.names():
        refuse_format(Path(choice.name), error=ModelError)
    from edgeseg.models.zoo import from_zoo

    return from_zoo(choice, held)


def open_network(bundle: Bundle, *, trusted: ModelChoice | None = None) -> nn.Module:
    """The network of a bundle of kind `torch`, in evaluation mode. See `rebuild`."""
    return rebuild(bundle.manifest.model, bundle.file(bundle.manifest.weights), trusted=trusted)


def rebuild(spec: ModelSpec, weights_path: Path | str, *, trusted: ModelChoice | None = None) -> nn.Module:
    """The network a ModelSpec describes, pruned as it says, with weights that `write_safetensors` wrote.

    Args:
        trusted: the network that the user named, whose file may run: a bundle names the code of its network,
            and does not hold it.

    Raises:
        ModelError: the network is the user's own code (`.py`, `.pt2`) and `trusted` is None, or not
            what the network came from; or the pruning history does not fit it.
        CheckpointError: the weights do not fit.
    """
    import torch

    from edgeseg.models.checkpoint import head_channels, load_into, read_state_dict

    state = read_state_dict(weights_path)
    with torch.inference_mode(False):
        network = _built(spec, head_channels(state), trusted)
        if spec.source.pruning:
            from edgeseg.models.pruning import replay

            replay(network, spec.source.pruning, spec.input_shape)
    load_into(network, state, weights_path)
    return network.eval()


def _built(spec: ModelSpec, scores: int | None, trusted: ModelChoice | None) -> nn.Module:
    if spec.source.kind == "zoo":
        count, channels = scores or len(spec.classes), spec.preprocess.channels
        network: nn.Module = family(spec.source.ref).network(
            count, channels, spec.input_size, spec.source.options
        )
        return network
    from edgeseg.models.foreign import rebuild_foreign

    return rebuild_foreign(spec, trusted)


def _require_torch(name: str) -> None:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as fault:
        raise MissingDependency(fault.name or "torch", "train", needed_for=f"the network '{name}'") from fault
