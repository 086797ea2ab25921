"""The plain float32 graph of a network in ONNX Runtime: what it sees, and what its tensors hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import cache_folder
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.core.recipe import DataChoice, ModelChoice, Recipe
from edgeseg.core.region import Part
from edgeseg.datasets.choice import parse_data
from edgeseg.datasets.framed import framed_split
from edgeseg.datasets.pictures import resize_frame, to_camera
from edgeseg.datasets.tiles import middles
from edgeseg.errors import BundleError, DataError, InputError, MissingDependency
from edgeseg.runtime.preprocess import preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

    from edgeseg.datasets import Split

POINTWISE = 1
"""Maps of this size are not maps: pooled context, squeeze-and-excitation."""
FEW = 8
"""Maps with fewer channels are scores or colours, taken only where there are no others."""


@dataclass(frozen=True)
class Network:
    """
    Attributes:
        graph: float NCHW in, scores out, static shapes.
        camera_size: frames are resized to it first, as `verify` does. Of an engine for tiles, that of a tile:
            the middle of each image stands for it.
        notes: what the user should know of it, one sentence each.
    """

    spec: ModelSpec
    graph: ModelProto
    camera_size: Size
    tiled: bool = False
    notes: tuple[str, ...] = ()

    def seen(self, split: Split) -> Split:
        """Images as the frames of the network."""
        seen = framed_split(split, self.spec.preprocess.frame)
        return middles(seen, self.camera_size) if self.tiled else seen

    def part(self, size: Size) -> Part | None:
        """What it sees of an image of (height, width), in pixels of the image; None: all."""
        return self.spec.preprocess.part_of(size, self.camera_size)

    def feed(self, image: Array, contract: Preprocess | None = None) -> dict[str, Array]:
        """An image [H,W,C] of `seen` to the input of the graph; a batch is filled with the same image."""
        contract = contract or self.spec.preprocess
        frame = to_camera([resize_frame(image, self.camera_size)], contract.frame)
        pixels = preprocess(frame, contract, self.spec.input_size)
        source = self.graph.graph.input[0]
        batch = source.type.tensor_type.shape.dim[0].dim_value
        return {source.name: np.repeat(pixels, batch, axis=0)}


def open_network(
    bundle: str, model: ModelChoice | None, data: str, camera: Size, *, trust_file: bool, progress: Progress
) -> Network | None:
    """The network of a bundle, or of `--model`; None when neither was given.

    Args:
        data: labelled images in the words of `--data`: they name the classes of a new network.
        camera: (height, width) of the images, for a network that states no camera.

    Raises:
        InputError: both were given. BundleError: a bundle without its plain graph.
        MissingDependency: no `onnx`.
    """
    if bundle and model:
        raise InputError("calibrate got both --bundle and --model", expected="one of them")
    if not bundle and not model:
        return None
    try:
        import onnx
    except ImportError:
        raise MissingDependency("onnx", "train", needed_for="looking into a network") from None
    opened = Bundle.open(Path(bundle)) if bundle else None
    if opened is None:
        assert model is not None
        opened = _made(model, data, camera, trust_file, progress)
    manifest = opened.manifest
    if not manifest.graph:
        raise BundleError(
            f"{opened.path} keeps no plain graph",
            expected="a bundle made by `edgeseg export`",
            hint="name the network itself with --model",
        )
    record = manifest.engine
    size, tiled = (record.window, record.tiles is not None) if record else (camera, False)
    manifest.model.preprocess.place(size, manifest.model.input_size)
    graph = onnx.load(str(opened.file(manifest.graph)))
    return Network(manifest.model, graph, size, tiled, manifest.notes)


def _made(choice: ModelChoice, data: str, camera: Size, trust_file: bool, progress: Progress) -> Bundle:
    from edgeseg.flow.make import REFERENCE, Maker
    from edgeseg.flow.plan import make_plan

    recipe = Recipe(
        schema_version=Recipe.SCHEMA_VERSION,
        name="calibrate",
        model=choice,
        data=parse_data(data) if data else DataChoice(name=""),
        targets=(REFERENCE,),
        camera_size=camera,
    )
    plan, opened = make_plan(recipe, Path.cwd())
    return Maker(plan, opened, cache_folder() / "steps", trust_file=trust_file, progress=progress).graph()


def deepest(model: ModelProto) -> str:
    """The tensor that says most about what an image shows: the last of the smallest maps.

    That is the end of the encoder in a U-Net and of the atrous pyramid in DeepLab; of two maps of the same
    size the later counts, unless it is a side output of a few channels. A network without inner maps gives
    its input.

    Raises:
        DataError: the graph has no map at all.
    """
    from edgeseg.graph.shapes import static_shapes

    shapes = static_shapes(model)
    outputs = {o.name for o in model.graph.output}
    maps = [
        name
        for node in model.graph.node
        for name in node.output
        if len(shapes.get(name, ())) == 4 and min(shapes[name][2:]) > POINTWISE and name not in outputs
    ]
    if not maps:
        source = model.graph.input[0].name
        if len(shapes.get(source, ())) == 4:
            return source
        raise DataError("the network has no feature maps", expected="tensors of the shape [N,C,H,W]")
    return min(reversed(maps), key=lambda n: (shapes[n][1] < FEW, shapes[n][2] * shapes[n][3]))


def features(split: Split, network: Network, progress: Progress) -> Array:
    """float32 [images, channels]: the deepest map of each image, averaged over its pixels."""
    from onnx import TensorProto, helper

    from edgeseg.graph.editor import Editor
    from edgeseg.graph.reference import run, session

    name, split = deepest(network.graph), network.seen(split)
    if name == network.graph.graph.input[0].name:
        return np.stack([split.image(i).mean(axis=(0, 1)) for i in range(len(split))])
    editor = Editor(network.graph)
    del editor.graph.output[:]
    editor.graph.node.append(helper.make_node("GlobalAveragePool", [name], ["calibrate/pooled"]))
    editor.graph.output.append(helper.make_tensor_value_info("calibrate/pooled", TensorProto.FLOAT, None))
    opened = session(editor.finish(), keep=True)
    rows = []
    for index in range(len(split)):
        progress("looking at the images with the network", index, len(split))
        pooled = run(opened, network.feed(split.image(index)))["calibrate/pooled"]
        rows.append(pooled[0].reshape(-1))
    return np.stack(rows)
