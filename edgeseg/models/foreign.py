"""Networks from the user's own code: Python factories and exported programs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import nn

from edgeseg.core.bundle import file_sha256
from edgeseg.core.model_ref import ModelRef
from edgeseg.core.model_spec import ModelSpec, Source, Weights, with_ignored
from edgeseg.core.preprocess import Preprocess, assumed_frame, assumed_normalisation
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.models._common import (
    DEFAULT_INPUT_SIZE,
    NO_WEIGHTS,
    Held,
    Loaded,
    checkpoint_of,
    class_count,
    postprocess_of,
    require_file,
    seeded,
    settle_classes,
    weights_of,
)
from edgeseg.models.adopted import adopt, readopt
from edgeseg.models.checkpoint import Checkpoint, State, aligned, head_channels, load_into, require_finite
from edgeseg.models.feeding import Feeding
from edgeseg.models.first_convolution import fitted
from edgeseg.models.framing import candidates, preprocess_of, stated_frame
from edgeseg.models.instances import is_mask_rcnn
from edgeseg.models.options import plain
from edgeseg.models.outputs import one_output
from edgeseg.models.user_code import (
    call_factory,
    classes_for,
    load_factory,
    load_program,
    split_ref,
)
from edgeseg.runtime.activation import activation_of
from edgeseg.runtime.score_map import settled_task


def from_python(choice: ModelChoice, held: Held) -> Loaded:
    path, name = split_ref(choice.name)
    checkpoint = checkpoint_of(choice)
    factory = load_factory(choice.name)
    options = {k: plain(k, v) for k, v in choice.options.items()}
    if "classes" not in options:
        count = class_count(choice, held.classes) or (head_channels(checkpoint.state) if checkpoint else None)
        options |= classes_for(factory, count)

    def create() -> nn.Module:
        return call_factory(choice.name, factory, options)

    network = seeded(create).eval()
    source = Source(kind="python", ref=f"{path.name}:{name}", options=options, sha256=file_sha256(path))
    weights: Weights | None = None
    notes: tuple[str, ...] = ()
    if checkpoint:
        state, adaptation = _adapted(choice, network, checkpoint)
        load_into(network, state, checkpoint.file, factory=f"{name} in {path.name}")
        weights = weights_of(checkpoint.file, choice.weights_key)
        notes = (*checkpoint.notes, *adaptation)
    elif _same_values(network, seeded(create, seed=1)):
        weights = Weights(file=path.name, sha256=source.sha256)
    else:
        notes = (NO_WEIGHTS,)
    if is_mask_rcnn(network):
        return adopt(choice, network, source, weights, held, notes)
    fed = Feeding(candidates(stated_frame(choice), held.frame), choice.input_size or DEFAULT_INPUT_SIZE)
    return _foreign(choice, network, source, weights, fed, held, notes)


def from_program(choice: ModelChoice, held: Held, trust_file: bool) -> Loaded:
    path = Path(choice.name).resolve()
    digest = require_file(path, "an exported program (.pt2)")
    if not trust_file:
        raise ModelError(
            f"{path} is an exported program: opening it can run code that is inside",
            expected="a safetensors file with a zoo name or factory, or an ONNX file",
            hint="if you trust the file, add --trust-file",
        )
    if choice.weights or choice.weights_key or choice.options:
        raise ModelError(f"weights or options were given with {path}", expected="a .pt2 file holds its own")
    network, shape = load_program(path)
    takes, size = (shape[0], shape[1:]) if shape else (None, DEFAULT_INPUT_SIZE)
    source = Source(kind="pt2", ref=path.name, sha256=digest)
    weights = Weights(file=path.name, sha256=digest)
    frames = candidates(stated_frame(choice), held.frame, takes)
    fed = Feeding(frames, choice.input_size or size, takes)
    return _foreign(choice, network, source, weights, fed, held, ())


def _adapted(
    choice: ModelChoice, network: nn.Module, checkpoint: Checkpoint
) -> tuple[State, tuple[str, ...]]:
    """The weights of a checkpoint, for the channels of the frame that the user states."""
    state = checkpoint.state
    if "frame" not in choice.preprocess:
        return state, ()
    return fitted(network, aligned(network, state, checkpoint.file), preprocess_of(choice, Preprocess()))


def _same_values(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks drawn from different seeds are equal: then the factory loads its own weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values())
    return one is not other and all(torch.equal(a, b) for a, b in pairs)


def _foreign(
    choice: ModelChoice,
    network: nn.Module,
    source: Source,
    weights: Weights | None,
    fed: Feeding,
    held: Held,
    notes: tuple[str, ...],
) -> Loaded:
    """A network whose output contract is found out by running it."""
    contract = postprocess_of(choice)
    require_finite(network.state_dict(), source.ref)
    assert choice.ref.path is not None
    read = f"{source.ref} with {weights.file}" if weights else source.ref
    frame, path, runs = fed.run(network, choice.ref.path.resolve(), contract, read)
    known = "activation" in choice.postprocess
    activation = contract.activation if known else activation_of(runs)
    contract = msgspec.structs.replace(contract, output="", activation=activation)
    channels = runs[0].shape[1]
    task = settled_task(choice.task, contract, channels, read)
    classes = with_ignored(held.classes, held.ignore_index, channels)
    _, classes = settle_classes(choice, classes, None, task=task, channels=channels)
    if weights:
        notes = (*assumed_normalisation(choice.preprocess), *notes)
    pixels = preprocess_of(choice, Preprocess(), frame)
    notes = (*notes, *assumed_frame(choice.preprocess, pixels))
    spec = ModelSpec(
        name=ModelRef.parse(source.ref).name,
        source=msgspec.structs.replace(source, output=path),
        weights=weights,
        task=task,
        input_size=fed.size,
        classes=classes,
        ignore_index=held.ignore_index,
        preprocess=pixels,
        postprocess=contract,
    )
    module = one_output(network, path, frozen=source.kind == "pt2")
    return Loaded(spec, module, notes=(*notes, _describe(path, runs[0].shape, activation, known)))


def rebuild_foreign(spec: ModelSpec, trusted: ModelChoice | None) -> nn.Module:
    source = spec.source
    if source.kind not in ("python", "pt2"):
        raise ModelError(f"'{spec.name}' comes from {source.kind}: there is no torch network to build")
    if trusted is None or trusted.ref.path is None:
        raise ModelError(
            f"the network '{spec.name}' is code in {source.ref}, which the bundle cannot carry",
            hint="if you trust that file, add --trust-file",
        )
    path = trusted.ref.path
    if require_file(path, "the file the bundle was made from") != source.sha256:
        raise ModelError(
            f"the bundle's network is the code {source.ref}, and {path} is not that file, or was changed",
            hint="export it again",
        )
    if source.kind == "pt2":
        network, _ = load_program(path)
    else:
        _require_call(source, trusted)
        network = call_factory(trusted.name, load_factory(trusted.name), source.options).eval()
    if is_mask_rcnn(network):
        return readopt(network, spec, path.resolve())
    return one_output(network, source.output, frozen=source.kind == "pt2")


def _require_call(source: Source, trusted: ModelChoice) -> None:
    """Raise ModelError unless a bundle calls what the user named, with what he gave."""
    given = {name: plain(name, value) for name, value in trusted.options.items()}
    told = {name: value for name, value in source.options.items() if name in given or name != "classes"}
    if source.ref.rpartition(":")[2] != trusted.ref.factory or told != given:
        raise ModelError(
            f"the bundle's network is {source.ref} called with {told}",
            expected=f"what was named: {trusted.ref.factory} with {given}",
            hint="remove that bundle: edgeseg did not make it for this network",
        )


def _describe(path: str, shape: tuple[int, ...], activation: str, stated: bool) -> str:
    output = f"output '{path}'" if path else "the only output"
    _, channels, height, width = shape
    how = (
        "as stated"
        if stated
        else "judged by its values on random images; state another with --set activation=..."
    )
    return f"{output} counts: {channels} channel(s) at {height}x{width}, {activation} ({how})"
