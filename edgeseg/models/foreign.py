"""Networks from the user's own code: Python factories and exported programs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import nn

from edgeseg.core.bundle import file_sha256
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, Weights, with_ignored
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models._common import (
    DEFAULT_INPUT_SIZE,
    NO_WEIGHTS,
    Loaded,
    class_count,
    postprocess_of,
    preprocess_of,
    require_file,
    seeded,
    settle_classes,
    weights_of,
)
from edgeseg.models.checkpoint import head_channels, load_into, read_state_dict
from edgeseg.models.options import plain
from edgeseg.models.outputs import activation, with_one_output
from edgeseg.models.user_code import (
    call_factory,
    classes_for,
    load_factory,
    load_program,
    split_ref,
    users_code,
)


def from_python(
    choice: ModelChoice, classes: tuple[ClassInfo, ...] | None, ignore_index: int | None
) -> Loaded:
    path, name = split_ref(choice.name)
    file = Path(choice.weights) if choice.weights else None
    state = read_state_dict(file) if file else None
    factory = load_factory(choice.name)
    options = {k: plain(k, v) for k, v in choice.options.items()}
    if "classes" not in options:
        count = class_count(choice, classes) or (head_channels(state) if state else None)
        options |= classes_for(factory, count)

    def create() -> nn.Module:
        return call_factory(choice.name, factory, options)

    network = seeded(create).eval()
    source = Source(kind="python", ref=f"{path}:{name}", options=options, sha256=file_sha256(path))
    weights = weights_of(file)
    if state is not None and file is not None:
        load_into(network, state, file)
    elif _same_values(network, seeded(create, seed=1)):
        weights = Weights(file=path.name, sha256=source.sha256)
    notes = () if weights else (NO_WEIGHTS,)
    size = choice.input_size or DEFAULT_INPUT_SIZE
    return _foreign(choice, network, source, weights, size, classes, ignore_index, notes)


def from_program(
    choice: ModelChoice, classes: tuple[ClassInfo, ...] | None, ignore_index: int | None, trust_file: bool
) -> Loaded:
    path = Path(choice.name).resolve()
    digest = require_file(path, "an exported program (.pt2)")
    if not trust_file:
        raise ModelError(
            f"{path} is an exported program: opening it can run code that is inside",
            expected="a safetensors file with a zoo name or factory, or an ONNX file",
            hint="if you trust the file, add --trust-file",
        )
    if choice.weights or choice.options:
        raise ModelError(f"weights or options were given with {path}", expected="a .pt2 file holds its own")
    network, size = load_program(path)
    size = choice.input_size or size or DEFAULT_INPUT_SIZE
    source = Source(kind="pt2", ref=str(path), sha256=digest)
    weights = Weights(file=path.name, sha256=digest)
    return _foreign(choice, network, source, weights, size, classes, ignore_index, ())


def _same_values(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks drawn from different seeds are equal: then the factory loads its own weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values())
    return one is not other and all(torch.equal(a, b) for a, b in pairs)


def _foreign(
    choice: ModelChoice,
    network: nn.Module,
    source: Source,
    weights: Weights | None,
    size: Size,
    classes: tuple[ClassInfo, ...] | None,
    ignore_index: int | None,
    notes: tuple[str, ...],
) -> Loaded:
    """A network whose output contract is found out by running it."""
    stated = postprocess_of(choice)
    module, path, scores = _one_output(network, source, size, stated.output)
    detected = activation(scores)
    if "activation" not in choice.postprocess:
        stated = msgspec.structs.replace(stated, activation=detected)
    found = _describe(path, scores, stated.activation, "activation" in choice.postprocess)
    classes = with_ignored(classes, ignore_index, scores.shape[1])
    _, classes = settle_classes(choice, classes, None, channels=scores.shape[1])
    spec = ModelSpec(
        name=Path(source.ref.rpartition(":")[0] or source.ref).stem,
        source=msgspec.structs.replace(source, output=path),
        weights=weights,
        task=choice.task,
        input_size=size,
        classes=classes,
        ignore_index=ignore_index,
        preprocess=preprocess_of(choice, Preprocess()),
        postprocess=msgspec.structs.replace(stated, output=""),
    )
    return Loaded(spec, module, notes=(*notes, found))


def rebuild_foreign(spec: ModelSpec, trust_file: bool) -> nn.Module:
    source = spec.source
    path = Path(source.ref.rpartition(":")[0] if source.kind == "python" else source.ref)
    if source.kind not in ("python", "pt2"):
        raise ModelError(f"'{spec.name}' comes from {source.kind}: there is no torch network to build")
    if not trust_file:
        raise ModelError(
            f"the network '{spec.name}' is code in {path}, which the bundle cannot carry",
            hint="if you trust that file, add --trust-file",
        )
    if require_file(path, "the file the bundle was made from") != source.sha256:
        raise ModelError(f"{path} was changed after the bundle was made", hint="export it again")
    if source.kind == "pt2":
        network, _ = load_program(path)
    else:
        network = call_factory(source.ref, load_factory(source.ref), source.options).eval()
    return _one_output(network, source, spec.input_size, source.output)[0]


def _one_output(
    network: nn.Module, source: Source, size: Size, output: str
) -> tuple[nn.Module, str, torch.Tensor]:
    frozen = source.kind == "pt2"
    path = Path(source.ref if frozen else source.ref.rpartition(":")[0])
    taken = f"a network that takes what edgeseg feeds: float32 [1, 3, {size[0]}, {size[1]}]"
    with torch.inference_mode(), users_code(path, taken):
        return with_one_output(network, size, output, frozen=frozen)


def _describe(path: str, scores: torch.Tensor, activation: str, stated: bool) -> str:
    output = f"output '{path}'" if path else "the only output"
    _, channels, height, width = scores.shape
    how = (
        "as stated"
        if stated
        else "judged by its values on random images; state another with --set activation=..."
    )
    return f"{output} counts: {channels} channel(s) at {height}x{width}, {activation} ({how})"
