"""What can be told of a network, its pixels and its output folder before any work: by `plan`, and by every
command that would else find out after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.core.documents import convert
from edgeseg.core.formats import refuse_format
from edgeseg.core.layouts import multiples
from edgeseg.core.model_spec import DEFAULT_TASK
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess, Size, stated_preprocess
from edgeseg.core.recipe import ModelChoice, Recipe
from edgeseg.core.tiles import Tiles
from edgeseg.devices import Device
from edgeseg.errors import InputError, ModelError
from edgeseg.models import MODELS, family
from edgeseg.models.instances import TASK as INSTANCES
from edgeseg.runtime.tasks import task_named
from edgeseg.steps import STEPS, Foreseeing, Outlook

if TYPE_CHECKING:
    from onnx import ModelProto

    from edgeseg.core.plan import Plan, PlannedTarget
    from edgeseg.flow.data import Data


def require_network(choice: ModelChoice) -> None:
    """
    Raises:
        InputError: a pixel contract that makes no sense, options that do not belong to an ONNX file.
        ModelError: a file in a format that edgeseg does not read, no such network in the zoo, or options that
            it does not have.
    """
    stated_preprocess(choice.preprocess)
    convert(choice.postprocess, Postprocess, where="postprocess")
    if choice.name not in MODELS.names():
        refuse_format(Path(choice.name), error=ModelError)
    if choice.ref.kind == "onnx":
        _require_bare(choice)
    elif choice.ref.kind == "zoo":
        from edgeseg.models.options import checked

        entry = family(choice.name)
        checked(entry.name, choice.options, entry.options)


def _require_bare(choice: ModelChoice) -> None:
    for option, text in (("--weights", choice.weights), ("--weights-key", choice.weights_key)):
        if text:
            raise InputError(
                f"{option} {text} with {choice.name}", expected="an ONNX file holds its own weights"
            )
    if choice.options:
        raise InputError(
            f"--option {next(iter(choice.options))} with {choice.name}",
            expected="no option: the network of an ONNX file is as it was exported",
        )


def require_fit(choice: ModelChoice, camera: Size | None, data: Data) -> None:
    """
    Args:
        camera: (height, width) of frames, or of their tiles.

    Raises:
        InputError: frames that the pixel contract does not lay into the input, or a region of none.
        ModelError: no such task, or more classes than its outputs hold.
    """
    count = choice.classes if isinstance(choice.classes, int) else len(data.classes or ())
    task_named(known_task(choice) or DEFAULT_TASK).require_classes(f"'{choice.ref.name}'", count)
    known = contract(choice)
    if camera is None and known.region:
        raise InputError(
            f"region is {','.join(map(str, known.region))}, and nothing tells the size of the frames",
            expected="the size that the camera delivers: --camera-size HxW, or --data",
        )
    if camera is not None:
        known.seen(camera)
    if camera is not None and choice.input_size is not None:
        known.place(camera, choice.input_size)


def known_task(choice: ModelChoice) -> str | None:
    """What the network decides, as far as it is known before it is loaded."""
    if choice.task is None and choice.ref.kind == "zoo" and family(choice.name).instances:
        return INSTANCES
    return choice.task


def require_tiles(contract: Preprocess, tiles: Tiles | None) -> None:
    """Raise InputError for frames that cannot be cut so: those of a region, or where pixels share colours."""
    if tiles is None:
        return
    layout = contract.frame.layout
    if any(side % step for side, step in zip(tiles.size, multiples(layout))):
        raise InputError(
            f"tiles are {tiles.size[0]}x{tiles.size[1]} (height x width), the frames are {layout}",
            expected=f"an even {'width' if layout == 'yuyv' else 'height and an even width'}",
        )
    if contract.region:
        raise InputError(
            f"region is {','.join(map(str, contract.region))}, and frames are cut into tiles",
            expected="a region or tiles",
            hint="cut the part out in the program, or leave --tile out",
        )


def contract(choice: ModelChoice) -> Preprocess:
    """The pixel contract of a network, as far as it is known before it is loaded."""
    if choice.ref.kind == "zoo" and not {"resize", "region"} <= choice.preprocess.keys():
        from edgeseg.models.zoo import known_contract

        return known_contract(choice)
    return stated_preprocess(choice.preprocess)


def require_steps(plan: Plan, data: Data, device: Device) -> None:
    """Each step with what it will find. Raises what `Foreseeing.require` raises."""
    labelled = data.dataset is not None and bool(data.dataset.classes)
    kind = "onnx" if plan.model.ref.kind == "onnx" else "torch"
    for planned in (*plan.steps, *(plan.int8_steps if plan.calibrates else ())):
        step = STEPS.load(planned.use).step(planned.use)
        settings = msgspec.convert(planned.settings, step.settings)
        if isinstance(step, Foreseeing):
            size, task = plan.model.input_size, known_task(plan.model) or DEFAULT_TASK
            outlook = Outlook(kind, data.dataset is not None, labelled, size, device, task)
            step.require(settings, outlook)
        kind = planned.produces


def require_graph(plan: Plan, device: Device) -> None:
    """Read the ONNX file of a plan as its steps will.

    Raises:
        GraphError: a file that cannot be used.
        UnsupportedOperator: see `require_operators`.
        InputError: frames that do not fit its input.
    """
    from edgeseg.graph.fold import fold
    from edgeseg.graph.onnx_file import about, read_onnx
    from edgeseg.graph.simplify import simplify
    from edgeseg.graph.source import make_static

    choice = plan.model
    with about(Path(choice.name)):
        file = make_static(read_onnx(choice.name), input_size=choice.input_size, batch=plan.recipe.batch)
    dims = file.graph.input[0].type.tensor_type.shape.dim
    if plan.window is not None:
        contract(choice).place(plan.window, (dims[2].dim_value, dims[3].dim_value))
    output = choice.postprocess.get("output", "")
    known = bool(output) or len(file.graph.output) == 1
    prunes = any(step.use == "prune" for step in plan.steps)
    require_operators(
        fold(simplify(file)),
        tuple(target.target for target in plan.targets),
        device,
        trained=known and (prunes or plan.trains_int8),
        output=output,
    )


def require_operators(
    network: ModelProto, targets: Sequence[str], device: Device, *, trained: bool, output: str = ""
) -> None:
    """Ask for every operator before anything is calibrated, trained or built.

    Args:
        network: static, float32.
        targets: of engines that may be installed on the device.
        trained: the network will be lifted to torch; `output`: the one that counts.

    Raises:
        UnsupportedOperator: names operators and nodes.
    """
    from edgeseg.graph.accepted import require_accepted

    require_accepted(network, targets, device.backend)
    if trained:
        from edgeseg.quantization.qat.module import lift_outputs

        lift_outputs(network, [output] if output else [])


def unanswered(recipe: Recipe, data: Data, targets: tuple[PlannedTarget, ...]) -> tuple[str, ...]:
    """Limits of the budget that nothing will be measured for here, one sentence each."""
    budget = recipe.budget
    found = []
    if budget.needs_labels and not (data.dataset is not None and data.dataset.classes):
        found.append("the budget has limits that need labels, and there are no labels")
    if budget.max_p99_ms is not None and not recipe.bench:
        found.append("the budget limits p99, and bench = false measures no latency")
    limited = budget.needs_labels or budget.max_p99_ms is not None
    absent = [t.target for t in targets if limited and not t.availability.run and t.unmeasured == "refuse"]
    if absent:
        found.append(f"the budget has limits that cannot be measured here on {', '.join(absent)}")
    if not found or all(t.unmeasured == "allow" for t in targets):
        return ()
    return (*found, 'so the run will end with exit code 4; a target may say unmeasured = "allow"')


def require_folder(path: Path) -> None:
    """Raise InputError when no folder can be made at `path`; nothing is made."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        why = "no folder may be made there" if place.is_dir() else f"{place} is no folder"
        raise InputError(f"no files can be made in {path}: {why}", expected="a folder to write to")
