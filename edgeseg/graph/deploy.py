"""The deploy graph: camera frames in, what the task decides out, around the plain network.

    frames [N,H,W,C] -> Cast, region, layout to channels, order of channels, Resize, normalise, Pad
      -> plain network -> the tail of its task (`graph/tasks`), as in class_map uint8 [N,H,W]

It equals `runtime.preprocess` -> plain network -> `RuntimeTask.decode`. The forms chosen here are
those measured fastest on OpenVINO that TensorRT also reads.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.preprocess import Placement, Preprocess, Size
from edgeseg.core.quantization import ScoreGrid
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor, opset_of, shape_of
from edgeseg.graph.frame_layouts import write_unpacked
from edgeseg.graph.shapes import with_shapes
from edgeseg.graph.tasks import tail_of
from edgeseg.graph.writer import Writer
from edgeseg.runtime.tasks import task_of

FRAMES = "frames"
PREPROCESS, POSTPROCESS = "preprocess/", "postprocess/"
"""How the names of the nodes added here begin."""
OLDEST_OPSET = 13
FRAME_TYPES = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}


def compose(
    plain: ModelProto,
    spec: ModelSpec,
    camera_size: Size,
    *,
    confidence: bool = False,
    score_grid: ScoreGrid | None = None,
    tiled: bool = False,
) -> ModelProto:
    """Build the deploy graph in the opset of the plain one.

    Args:
        plain: static; float [N,C,*spec.input_size] in, out what the task reads, maybe among others.
        camera_size: (height, width) of the frames.
        confidence: also return the probability of what was decided, float32; for multi-label networks of
            the most probable class.
        score_grid: uint8 levels of the scores, read by an ArgMax right behind them where no confidence is
            asked for.
        tiled: `camera_size` is that of tiles, and what comes out is read by `RuntimeTask.merge`.

    Raises:
        GraphError: the graph does not fit `spec`, or opset < 13.
        ModelError: there is no such task.
        InputError: as `Preprocess.place`.
    """
    editor = Editor(plain)
    batch = _check(plain, spec)
    place = spec.preprocess.place(camera_size, spec.input_size)
    source = editor.graph.input[0]
    after = Writer(editor, POSTPROCESS)
    if tiled:
        outputs = tail_of(spec).write_tile(after, plain, spec, place)
    else:
        tail_of(spec).write(after, plain, spec, place, confidence=confidence, score_grid=score_grid)
        outputs = task_of(spec).outputs(spec, batch, camera_size, confidence=confidence)

    before = Writer(editor, PREPROCESS)
    image = _preprocess(before, spec.preprocess, place)
    image = before.cast(image, source.type.tensor_type.elem_type, only_from=TensorProto.FLOAT)
    before.nodes[-1].output[0] = source.name

    frame = spec.preprocess.frame
    frames = helper.make_tensor_value_info(FRAMES, FRAME_TYPES[frame.dtype], frame.shape(batch, *camera_size))
    del editor.graph.input[:], editor.graph.output[:]
    editor.graph.input.append(frames)
    for info in outputs:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype))
        editor.graph.output.append(helper.make_tensor_value_info(info.name, dtype, info.shape))
    editor.keep_nodes([*before.nodes, *editor.graph.node, *after.nodes])
    result = with_shapes(editor.finish())
    onnx.checker.check_model(result)
    return result


def _check(plain: ModelProto, spec: ModelSpec) -> int:
    """The batch of the network."""
    if opset_of(plain) < OLDEST_OPSET:
        raise GraphError(
            f"the graph is opset {opset_of(plain)}",
            expected=f"opset {OLDEST_OPSET} or newer",
            hint="see make_static",
        )
    size = shape_of(plain.graph.input[0])
    if size[1:] != (spec.preprocess.channels, *spec.input_size):
        raise GraphError(
            f"the graph takes {list(size)}, '{spec.name}' says "
            f"{[size[0], spec.preprocess.channels, *spec.input_size]}",
            expected="a graph made for this input size",
        )
    if not all(isinstance(d, int) for d in size):
        raise GraphError(f"the graph takes {list(size)}", expected="fixed sizes")
    return int(size[0])


def _preprocess(write: Writer, contract: Preprocess, place: Placement) -> str:
    """Frames to the network input, float32. The last node written makes it."""
    tensor = write.cast(FRAMES, TensorProto.FLOAT, only_from=FRAME_TYPES[contract.frame.dtype], label="float")
    batch = int(shape_of(write.editor.graph.input[0])[0])
    packed = contract.frame.layout == "packed"
    if place.part and packed:  # behind the Cast: TensorRT slices no uint8
        tensor = write.cut(tensor, place.part, 1)
    tensor = write_unpacked(write, tensor, contract.frame, batch, place.frame if packed else place.camera)
    if place.part and not packed:
        tensor = write.cut(tensor, place.part, 2)
    if contract.permuted:
        order = write.integers("channel_order", contract.permutation)
        tensor = write.op("Gather", "order_channels", [tensor, order], axis=1)
    if place.resized:
        tensor = write.bilinear(tensor, (batch, contract.channels), place.scaled, "resize")
    if place.padded and contract.pad_space == "pixel":
        tensor = _pad(write, tensor, contract, place)
    multiplier, offset = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in contract.affine())
    tensor = write.op("Mul", "scale", [tensor, write.constant("multiplier", multiplier)])
    tensor = write.op("Add", "shift", [tensor, write.constant("offset", offset)])
    if place.padded and contract.pad_space == "normalized":
        tensor = _pad(write, tensor, contract, place)
    return tensor


def _pad(write: Writer, tensor: str, contract: Preprocess, place: Placement) -> str:
    """`pad_value` is one number in the space it is stated in, and Pad writes one number."""
    top, left, bottom, right = place.padding
    pads = write.integers("pads", [0, 0, top, left, 0, 0, bottom, right])
    value = write.constant("pad_value", np.array(contract.pad_value, np.float32))
    return write.op("Pad", "pad", [tensor, pads, value], mode="constant")
