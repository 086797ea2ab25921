"""Weights in and out: state dicts in the usual wrappings, safetensors; never a pickled module."""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.files import require_file
from edgeseg.core.formats import content_of
from edgeseg.core.whole import replacing
from edgeseg.errors import CheckpointError
from edgeseg.models.wrappings import choose_weights
from edgeseg.runtime.finite import broken

if TYPE_CHECKING:
    from torch import Tensor, nn

State = dict[str, "Tensor"]

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
"""What DataParallel, Lightning and torch.compile put before every key."""

_SHOWN = 4
MOST_EXPANDED = 1 << 24
"""Numbers of a tensor that was expanded; some networks have small ones."""
LEGACY_PICKLES = 4
"""Magic number, version, system and content; behind them stand the values."""
_FP16_MAX = 65504.0
_COUNTER = "num_batches_tracked"
_SIGNS = (
    ("decoder.aspp", "deeplabv3plus-mobile"),
    ("encoder.features.0.0.weight", "mobile-unet"),
    ("encoder.model.conv_stem.weight", "eff-unet"),
    ("encoder._conv_stem.weight", "eff-unet with encoder=efficientnet-b0"),
    ("encoder.layer1.0.conv1.weight", "unet"),
)
"""A key that gives an architecture away, and its name in the zoo."""


@dataclass(frozen=True)
class Checkpoint:
    """
    Attributes:
        notes: what the user should know, one sentence each.
    """

    file: Path
    state: State
    notes: tuple[str, ...] = ()


def read_state_dict(path: Path | str) -> State:
    """The tensors of `read_checkpoint`."""
    return read_checkpoint(Path(path)).state


def read_checkpoint(path: Path, key: str = "") -> Checkpoint:
    """Tensors by name from `.safetensors`, or from a `torch.save` file of any other ending.

    Wrappings and prefixes common to all keys are removed. Pickles are read with
    `weights_only=True`: anything but tensors and plain data is refused, nothing is executed.

    Args:
        key: which weights of a file that holds several, see `choose_weights`.

    Raises:
        CheckpointError: the file is missing, truncated, no checkpoint, holds other objects, no weights at
            `key`, or weights that are NaN or infinite.
    """
    size = require_file(
        path, "the checkpoint", expected="a .pt, .pth or .safetensors file", error=CheckpointError
    )
    if size == 0:
        raise CheckpointError(f"the checkpoint {path} is empty", hint="copy it again")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state, notes = choose_weights(content, key, path)
    state = _strip(state)
    require_plain(state, path)
    require_finite(state, path)
    return Checkpoint(path, state, notes)


def require_finite(state: State, file: Path | str) -> None:
    """Raise CheckpointError for the first weight that is NaN or infinite, see `broken`."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and (fault := broken(tensor.detach().cpu().float().numpy())):
            raise CheckpointError(
                f"the weight '{name}' in {file} holds {fault}",
                expected="finite numbers",
                hint="use a checkpoint from before training diverged",
            )


def require_plain(state: State, file: Path | str) -> None:
    """Raise CheckpointError for the first weight that is no dense array of numbers, all of them stored.

    A tensor that was expanded before it was saved claims a shape of any size and stores a single number.
    """
    import torch

    for name, tensor in state.items():
        kind = "sparse" if tensor.layout != torch.strided else "on no device" if tensor.is_meta else ""
        kind = kind or ("quantised" if tensor.is_quantized else "complex" if tensor.is_complex() else "")
        if not kind and tensor.numel() > MOST_EXPANDED:
            stored = tensor.untyped_storage().nbytes() // tensor.element_size()
            kind = f"{list(tensor.shape)} and stores {stored} numbers" if stored < tensor.numel() else ""
        if kind:
            raise CheckpointError(
                f"the weight '{name}' in {file} is {kind}",
                expected="dense tensors of real numbers, stored whole",
                hint="save tensor.contiguous() of each, or the state_dict() of the float network",
            )


def load_into(
    module: nn.Module, state: State, file: Path | str, *, ignore_extra: bool = False, factory: str = ""
) -> None:
    """Copy `state` into `module`, strictly: every key and every shape must fit.

    A prefix is added or removed where that makes the keys fit, also where it stands before most keys only.
    `num_batches_tracked` counters may be missing.

    Args:
        file: where the state came from, for the error.
        ignore_extra: keys the module does not have are left out (encoder weights with a classifier).
        factory: the user's own function that built the module; empty: it is of the zoo.

    Raises:
        CheckpointError: names the first differing keys and shapes and what they suggest.
    """
    own = module.state_dict()
    state = _align(state, own, file)
    missing = [k for k in own if k not in state and not k.endswith(_COUNTER)]
    extra = [k for k in state if k not in own and not k.endswith(_COUNTER)]
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or shapes or (extra and not ignore_extra):
        raise _mismatch(state, own, missing, [] if ignore_extra else extra, shapes, file, factory)
    module.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


def aligned(module: nn.Module, state: State, file: Path | str) -> State:
    """`state` under the names of `module`, as `load_into` finds them."""
    return _align(state, module.state_dict(), file)


def head_channels(state: State) -> int | None:
    """Output channels of the segmentation head, or of the last convolution in the state; of torchvision's
    heads of instances the classes, without the background."""
    for name, weight in state.items():
        if f".{name}".endswith(".box_predictor.cls_score.weight"):
            return int(weight.shape[0]) - 1
    kernels = {k: v for k, v in state.items() if v.ndim == 4}
    heads = [v for k, v in kernels.items() if f".{k}".endswith(".segmentation_head.0.weight")]
    head = next(iter(heads or reversed(list(kernels.values()))), None)
    return None if head is None else int(head.shape[0])


def write_safetensors(path: Path | str, module: nn.Module, half: bool = False) -> None:
    """Write all weights and buffers, whole or not at all.

    Args:
        half: store float32 as float16, except tensors that would overflow.

    Raises:
        CheckpointError: the file cannot be written.
    """
    state = {name: stored(tensor, half) for name, tensor in module.state_dict().items()}
    write_tensors(Path(path), state)


def write_tensors(path: Path, state: State, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors that share no memory whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with replacing(path) as new:
            save_file(state, str(new), metadata=dict(metadata or {}))
    except (OSError, SafetensorError) as fault:
        raise CheckpointError(
            f"{path} could not be written: {fault}", hint="free space or choose another folder"
        ) from fault


def stored(tensor: Tensor, half: bool) -> Tensor:
    """A copy on the CPU, in the dtype `write_safetensors` stores."""
    import torch

    copy = tensor.detach().to("cpu", copy=True).contiguous()
    if half and copy.dtype == torch.float32 and not (copy.abs() > _FP16_MAX).any():
        return copy.half()
    return copy


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as fault:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file: {fault}", hint="copy or download it again"
        ) from fault


def _read_torch(path: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals(_plain_data()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as fault:
        raise _refused(path, str(fault)) from None
    except Exception as fault:  # torch fails anywhere for files that are cut off, damaged or something else
        raise CheckpointError(
            f"{path} is truncated, corrupt or no PyTorch checkpoint: {_first_line(fault)}",
            hint=_again(path),
        ) from fault


def _plain_data() -> list[Any]:
    """Harmless classes that trainers store beside the weights: NumPy numbers, argparse settings."""
    import argparse

    import numpy as np

    dtypes = [type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    scalar = np.float64(0).__reduce__()[0]
    names = [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    return [argparse.Namespace, np.dtype, *dtypes, *names]


def _refused(path: Path, reason: str) -> CheckpointError:
    found = re.search(r"(?:GLOBAL|global|class|function) ([\w.]+\.[\w.]+)", reason)
    if not _is_pickle(path) or _is_cut(path) or ("Unsupported" not in reason and found is None):
        return CheckpointError(f"{path} is truncated, corrupt or no PyTorch checkpoint", hint=_again(path))
    what = f": {found.group(1)}" if found else ""
    return CheckpointError(
        f"{path} is a pickle that holds more than tensors{what}; it was refused and nothing in it was run",
        expected="a state dict of tensors",
        hint="where you trust the file, save its state_dict() again, best as safetensors",
    )


def _is_cut(path: Path) -> bool:
    """Whether a file that is no zip archive ends within one of the pickles it starts with. Nothing is run."""
    with path.open("rb") as stream:
        if stream.read(2) == b"PK":
            return False
        stream.seek(0)
        try:
            for _ in range(LEGACY_PICKLES):
                if not stream.peek(1):
                    return False
                for _ in pickletools.genops(stream):
                    pass
        except Exception:  # pickletools raises what it meets in damaged data
            return True
    return False


def _again(path: Path) -> str:
    known = content_of(path)
    return f"it is {known.name}: {known.hint}" if known else "copy or download it again"


def _is_pickle(path: Path) -> bool:
    """Whether a file starts like a zip archive or a pickle of protocol 2, the two that torch writes."""
    with path.open("rb") as stream:
        start = stream.read(2)
    return start == b"PK" or start[:1] == b"\x80"


def _strip(state: State) -> State:
    for _ in range(len(PREFIXES)):
        prefix = next((p for p in PREFIXES if state and all(k.startswith(p) for k in state)), None)
        if prefix is None:
            return state
        state = {k[len(prefix) :]: v for k, v in state.items()}
    return state


def _align(state: State, own: State, file: Path | str) -> State:
    """`state`, with the prefix added or removed under which most keys fit the module.

    Keys without a prefix that most keys have (`criterion.weight`) are left out.
    """
    candidates = [state]
    candidates += [{prefix + k: v for k, v in state.items()} for prefix in _prefixes(own, state)]
    inner = [
        (prefix, {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
        for prefix in _prefixes(state, own)
    ]
    inner = [(prefix, found) for prefix, found in inner if 2 * len(found) >= len(state)]
    whole = [prefix for prefix, found in inner if all(k in found or k.endswith(_COUNTER) for k in own)]
    if len(whole) > 1 and own:
        raise CheckpointError(
            f"{file} holds several sets of weights that fit the network: {', '.join(whole)}",
            expected="one of them",
            hint=f"choose with --weights-key {whole[0].strip('.')}",
        )
    candidates += [found for _, found in inner]
    return max(candidates, key=lambda c: sum(k in own for k in c))


def _prefixes(longer: State, shorter: State) -> list[str]:
    """What stands before the keys of `shorter` in `longer`, told by the first, last and longest of them."""
    keys = [k for k in shorter if not k.endswith(_COUNTER)]
    told = [keys[0], keys[-1], max(keys, key=len)] if keys else []
    return sorted({k[: -len(end)] for k in longer for end in told if k.endswith(f".{end}")})


def _mismatch(
    state: State,
    own: State,
    missing: list[str],
    extra: list[str],
    shapes: list[str],
    file: Path | str,
    factory: str,
) -> CheckpointError:
    lines = [f"{file} does not fit the network"]
    if missing:
        lines.append(f"  missing in the file ({len(missing)}): {_few(missing)}")
    if extra:
        lines.append(f"  not in the network ({len(extra)}): {_few(extra)}")
    if shapes:
        shown = [
            f"{k} is {list(state[k].shape)}, the network has {list(own[k].shape)}" for k in shapes[:_SHOWN]
        ]
        lines.append(f"  other shapes ({len(shapes)}): {'; '.join(shown)}")
    said, hint = _suggestion(state, own, bool(missing or extra), shapes, factory)
    if said:
        lines.append(said)
    return CheckpointError("\n".join(lines), hint=hint)


def _suggestion(
    state: State, own: State, other_keys: bool, shapes: list[str], factory: str
) -> tuple[str, str]:
    built = f"{factory} builds another network than the one that was trained: give it the same options "
    built += "(--option KEY=VALUE), or change it"
    if other_keys and factory:
        return "", built
    guess = next((name for sign, name in _SIGNS if any(k.startswith(sign) for k in state)), "")
    if other_keys and guess:
        return (
            "",
            f"the checkpoint looks like {guess}: choose that --model, with the encoder it was trained with",
        )
    if other_keys:
        return "", "choose the --model and encoder it was trained with"
    if len({k.rpartition(".")[0] for k in shapes}) == 1 and all(
        state[k].shape[1:] == own[k].shape[1:] for k in shapes
    ):
        stored, wanted = (int(tensors[shapes[0]].shape[0]) for tensors in (state, own))
        said = f"the checkpoint has {stored} classes, --classes (or the data) says {wanted}"
        return said, f"use --classes {stored}, or a checkpoint with {wanted} classes"
    there, here = (tensors[shapes[0]].shape for tensors in (state, own))
    if len(shapes) == 1 and len(there) == len(here) == 4 and there[1] != here[1] and there[2:] == here[2:]:
        return "", (
            f"if '{shapes[0]}' reads the image, state what its {here[1]} channel(s) are, and the weights for "
            f"{there[1]} are adapted: --set frame=ORDER:DTYPE"
        )
    return "", built if factory else "choose the encoder and decoder_channels it was trained with"


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _first_line(fault: BaseException) -> str:
    return str(fault).strip().partition("\n")[0] or type(fault).__name__
