"""The weights within a checkpoint: plain, under the keys trainers use, several beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Keys under which trainers put the state dict, in the order they are tried."""
MOST_MAPPINGS, MOST_DEPTH = 10_000, 32


def choose_weights(content: Any, key: str, file: object) -> tuple[State, tuple[str, ...]]:
    """The state dict at `key`; without a key the one under the usual keys, averaged weights last.

    Returns:
        It, and what the user should know: which other weights are there.

    Raises:
        CheckpointError: nothing at `key`, or no weights under a usual key.
    """
    groups = dict(_groups(content, file))
    if key:
        return _at(groups, key, file), ()
    averaged = [path for path in groups if _averaged(path)]
    raw = [path for path in groups if path not in averaged]
    taken = _usual(raw)
    if taken is None and len(averaged) == 1:
        return groups[averaged[0]], ()
    if taken is None:
        found = (
            ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        )
        raise CheckpointError(
            f"{file} holds no weights under a usual key; found: {found}",
            expected=f"a state dict, plain or under one of the keys {', '.join(WRAPPINGS)}",
            hint=f"choose with --weights-key: {_names(groups)}" if groups else "",
        )
    if not averaged:
        return groups[taken], ()
    return groups[taken], (
        f"WARNING: the checkpoint holds averaged weights (EMA) beside the raw ones: {_names(averaged)}; "
        f"the raw ones are taken; --weights-key {averaged[0]} takes the others",
    )


def _at(groups: Mapping[str, State], key: str, file: object) -> State:
    """The weights under a path, or those whose names begin with it."""
    under = [path for path in groups if f"{path}.".startswith(f"{key}.")]
    named = under or [path for path in groups if path.endswith(f".{key}")]
    taken = _usual(under, key) if len(named) > 1 else next(iter(named), None)
    if taken is not None:
        return groups[taken]
    for path, state in groups.items():
        prefix = key.removeprefix(f"{path}.") + "."
        if inner := {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}:
            return inner
    raise CheckpointError(
        f"{file} holds no weights at '{key}'", expected=f"--weights-key with {_names(groups)}"
    )


def _groups(content: Any, file: object) -> Iterator[tuple[str, State]]:
    """Every mapping of names to tensors, by its keys joined by dots; what contains itself is entered once.

    What optimisers keep is under numbers, and is left out.

    Raises:
        CheckpointError: more mappings in each other than any trainer writes.
    """
    waiting: list[tuple[str, Any, tuple[int, ...]]] = [("", content, ())]
    for _ in range(MOST_MAPPINGS):
        if not waiting:
            return
        path, mapping, around = waiting.pop()
        if not isinstance(mapping, Mapping) or id(mapping) in around:
            continue
        if len(around) == MOST_DEPTH:
            break
        yield from _group(mapping, path)
        inner = [(k, v) for k, v in mapping.items() if isinstance(k, str) and isinstance(v, Mapping)]
        around = (*around, id(mapping))
        waiting += [(_join(path, k), v, around) for k, v in reversed(inner)]
    raise CheckpointError(
        f"{file} holds mappings in each other over and over",
        expected=f"at most {MOST_MAPPINGS}, and {MOST_DEPTH} in each other",
        hint="save the state_dict() alone",
    )


def _group(content: Mapping[Any, Any], path: str) -> Iterator[tuple[str, State]]:
    """The tensors right inside a mapping: one group, and averaged ones beside them."""
    import torch

    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    for first, own in _averaged_among(tensors):
        tensors = {k: v for k, v in tensors.items() if k not in own}
        yield _join(path, first), {k[len(first) + 1 :]: v for k, v in own.items()}
    if tensors:
        yield path, tensors


def _averaged_among(state: State) -> Iterator[tuple[str, State]]:
    """Averaged weights in the same dict as the raw ones: `ema_model.conv.weight` beside `model.conv.weight`.

    The raw ones have the same names but for their beginning, the same shapes, and are not many more: a block
    of the network may be called `ema` too.
    """
    for first in sorted({k.partition(".")[0] for k in state if "." in k}):
        if not _averaged(first):
            continue
        own = {k: v for k, v in state.items() if k.startswith(f"{first}.")}
        raw = {k: v for k, v in state.items() if k not in own}
        ends = {(k[at:], v.shape) for k, v in raw.items() for at in _starts(k)[:3]}
        mirrored = all(any((k[at:], v.shape) in ends for at in _starts(k)[1:3]) for k, v in own.items())
        if mirrored and 2 * len(own) >= len(raw):
            yield first, own


def _starts(key: str) -> list[int]:
    """Where the parts of a dotted name begin."""
    return [0, *(dot.end() for dot in re.finditer(r"\.", key))]


def _usual(paths: Sequence[str], root: str = "") -> str | None:
    """Of the paths under `root` that consist of `WRAPPINGS` alone the first in their order, the innermost."""
    ranked = {}
    for path in paths:
        keys = path[len(root) :].strip(".").split(".")
        if keys == [""] or all(k in WRAPPINGS for k in keys):
            ranked[path] = [WRAPPINGS.index(k) for k in keys if k] + [len(WRAPPINGS)]
    return min(ranked, key=lambda path: ranked[path], default=None)


def _averaged(path: str) -> bool:
    """Whether a key names a running average of weights: `ema`, `model_ema`, `ModelEMA`, `swa_model`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", path)
    return any(word.lower() in ("ema", "swa") for word in words)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _names(groups: Iterable[str]) -> str:
    return ", ".join(repr(path) for path in groups if path) or "none"
