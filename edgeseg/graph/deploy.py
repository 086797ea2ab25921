"""The deploy graph: camera frames in, class map out, around the plain network.

    frames [N,H,W,C] -> Cast, layout to channels, order of channels, Resize, normalise, Pad
      -> plain network -> Resize, crop, Resize, decision -> class_map uint8 [N,H,W]

It equals `runtime.preprocess` -> plain network -> `runtime.postprocess`. The forms chosen here are
those measured fastest on OpenVINO that TensorRT also reads.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Placement, Preprocess, Size
from edgeseg.core.quantization import ScoreGrid
from edgeseg.errors import GraphError
from edgeseg.graph.cropping import crop
from edgeseg.graph.editor import Editor, opset_of, shape_of
from edgeseg.graph.frame_layouts import write_unpacked
from edgeseg.graph.shapes import static_shapes, with_shapes
from edgeseg.graph.writer import Writer
from edgeseg.runtime.postprocess import require_classes

FRAMES, CLASS_MAP, CONFIDENCE = "frames", "class_map", "confidence"
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
) -> ModelProto:
    """Build the deploy graph in the opset of the plain one.

    Args:
        plain: static; float [N,C,*spec.input_size] in, scores [N,C,h,w] out, maybe among others.
        camera_size: (height, width) of the frames.
        confidence: also return float32 [N,H,W], the probability of the class that was chosen; for
            multi-label networks of the most probable class.
        score_grid: uint8 levels of the scores, read by an ArgMax right behind them where no confidence is
            asked for.

    Raises:
        GraphError: the graph does not fit `spec`, more classes than a uint8 holds, or opset < 13.
        InputError: frames larger than the input with `resize="none"`.
    """
    editor = Editor(plain)
    size, scores, shape = _check(plain, spec)
    place = spec.preprocess.place(camera_size, spec.input_size)
    batch = size[0]
    at_input = place.padded and shape[2:] == place.input
    cropped = at_input and crop(editor, scores, place.window, static_shapes(plain))
    if cropped:
        shape = (*shape[:2], *place.scaled)
    source = editor.graph.input[0]
    kept = [o for o in editor.graph.output if o.name == scores]

    before = Writer(editor, PREPROCESS)
    image = _preprocess(before, spec.preprocess, place)
    image = before.cast(image, source.type.tensor_type.elem_type, only_from=TensorProto.FLOAT)
    before.nodes[-1].output[0] = source.name

    after = Writer(editor, POSTPROCESS)
    tensor = after.cast(scores, TensorProto.FLOAT, only_from=kept[0].type.tensor_type.elem_type)
    at_frame = cropped or shape[2:] == place.input
    if score_grid and not confidence and at_frame and _decides_at_once(spec, shape[1], place):
        tensor = after.quantize(tensor, score_grid)
    _postprocess(after, tensor, shape, spec, place, cropped=cropped, confidence=confidence)

    outputs = [helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, [batch, *camera_size])]
    if confidence:
        outputs.append(helper.make_tensor_value_info(CONFIDENCE, TensorProto.FLOAT, [batch, *camera_size]))
    frame = spec.preprocess.frame
    frames = helper.make_tensor_value_info(FRAMES, FRAME_TYPES[frame.dtype], frame.shape(batch, *camera_size))
    del editor.graph.input[:], editor.graph.output[:]
    editor.graph.input.append(frames)
    editor.graph.output.extend(outputs)
    editor.keep_nodes([*before.nodes, *editor.graph.node, *after.nodes])
    result = with_shapes(editor.finish())
    onnx.checker.check_model(result)
    return result


def _check(plain: ModelProto, spec: ModelSpec) -> tuple[tuple[int, ...], str, tuple[int, ...]]:
    """Shape of the network input, name and shape of the scores."""
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
    names = [o.name for o in plain.graph.output]
    wanted = spec.postprocess.output or (names[0] if len(names) == 1 else "")
    if wanted not in names:
        raise GraphError(
            f"the network has no output '{wanted}'" if wanted else f"the network has {len(names)} outputs",
            expected=f"the one that counts as postprocess.output: one of {', '.join(names)}",
        )
    shape = shape_of(plain.graph.output[names.index(wanted)])
    if len(shape) != 4 or not all(isinstance(d, int) for d in (*shape, *size)):
        raise GraphError(
            f"the output '{wanted}' has the shape {list(shape)}", expected="[N,C,H,W], all of them fixed"
        )
    require_classes(f"'{spec.name}'", spec.task, int(shape[1]), GraphError)
    return tuple(int(d) for d in size), wanted, tuple(int(d) for d in shape)


def _preprocess(write: Writer, contract: Preprocess, place: Placement) -> str:
    """Frames to the network input, float32. The last node written makes it."""
    tensor = write.cast(FRAMES, TensorProto.FLOAT, only_from=FRAME_TYPES[contract.frame.dtype], label="float")
    batch = int(shape_of(write.editor.graph.input[0])[0])
    tensor = write_unpacked(write, tensor, contract.frame, batch, place.frame)
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


def _decides_at_once(spec: ModelSpec, channels: int, place: Placement) -> bool:
    """Whether an ArgMax reads scores of the size of the input, not interpolated to that of the camera."""
    resized = place.resized and spec.postprocess.upsample == "scores"
    return spec.task == "semantic" and channels > 1 and not resized


def _postprocess(
    write: Writer,
    scores: str,
    shape: tuple[int, ...],
    spec: ModelSpec,
    place: Placement,
    *,
    cropped: bool,
    confidence: bool,
) -> None:
    """Scores to the outputs. `cropped`: the scores are those of the frame alone."""
    batch, channels = shape[:2]
    size = (shape[2], shape[3])
    if not cropped and size != place.input:
        scores, size = write.bilinear(scores, shape, place.input, "upsample"), place.input
    if not cropped and place.padded:
        (top, bottom), (left, right) = place.window
        bounds = {"crop_starts": (top, left), "crop_ends": (bottom, right), "crop_axes": (2, 3)}
        limits = [write.integers(name, bound) for name, bound in bounds.items()]
        scores, size = write.op("Slice", "crop", [scores, *limits]), place.scaled
    if place.resized and spec.postprocess.upsample == "scores":
        scores, size = write.bilinear(scores, shape, place.frame, "to_camera"), place.frame
    # Planar [N,C,H*W]: ArgMax over [N,C,H,W] takes OpenVINO in float32 1.6 times as long with 11 classes and
    # 2.8 times with 150, a 1x1 convolution before it included (benchmarks/argmax_forms.py).
    flat = write.op(
        "Reshape", "flatten", [scores, write.integers("flat_shape", (batch, channels, size[0] * size[1]))]
    )
    image_shape = write.integers("image_shape", (batch, *size))
    labels, above = _decide(write, flat, channels, spec)
    _finish(write, write.op("Reshape", "labels", [labels, image_shape]), size, place.frame, CLASS_MAP)
    if confidence:
        chosen = _confidence(write, flat, above, channels, spec)
        _finish(
            write, write.op("Reshape", "probability", [chosen, image_shape]), size, place.frame, CONFIDENCE
        )


def _decide(write: Writer, flat: str, channels: int, spec: ModelSpec) -> tuple[str, str]:
    """Labels [N,H*W] as any number type, and the scores above the threshold (empty for argmax)."""
    if spec.task == "semantic" and channels > 1:
        return write.op("ArgMax", "argmax", [flat], axis=1, keepdims=0), ""
    threshold = write.constant("threshold", np.array(spec.postprocess.score_threshold(), np.float32))
    above = write.op("Greater", "above", [flat, threshold])
    bits = write.op("Cast", "bits", [above], to=TensorProto.FLOAT)
    weights = (2.0 ** np.arange(channels)).astype(np.float32).reshape(1, channels, 1)
    weighted = (
        bits
        if channels == 1
        else write.op("Mul", "weigh_bits", [bits, write.constant("bit_values", weights)])
    )
    return write.reduce("ReduceSum", weighted, "mask"), above


def _confidence(write: Writer, flat: str, above: str, channels: int, spec: ModelSpec) -> str:
    """Probability of the chosen class, float32 [N,H*W]."""
    contract: Postprocess = spec.postprocess
    semantic = spec.task == "semantic"
    if contract.activation == "logits":
        if semantic and channels > 1:
            flat = write.op("Softmax", "softmax", [flat], axis=1)
        else:
            flat = write.op("Sigmoid", "sigmoid", [flat])
    if semantic and channels == 1:
        one = write.constant("one", np.array(1.0, np.float32))
        flat = write.op("Where", "of_chosen", [above, flat, write.op("Sub", "background", [one, flat])])
    return write.reduce("ReduceMax", flat, "best")


def _finish(write: Writer, tensor: str, size: Size, frame: Size, output: str) -> None:
    tensor = write.nearest(tensor, size, frame)
    if output == CLASS_MAP:
        tensor = write.op("Cast", "uint8", [tensor], to=TensorProto.UINT8)
    write.nodes[-1].output[0] = output
