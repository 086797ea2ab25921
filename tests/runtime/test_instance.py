"""Things of a frame: pasted as torchvision pastes them, compared, drawn up from an engine's rows."""

import msgspec
import numpy as np
import pytest

from edgeseg.core.instances import InstanceOutputs
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError, ModelError
from edgeseg.runtime.pasting import over_boxes, over_input
from edgeseg.runtime.tasks import task_named
from edgeseg.runtime.things import distances, things_apart

CAMERA = (48, 64)
INPUT = (32, 64)
KEPT = 8


def spec(**fields) -> ModelSpec:
    outputs = InstanceOutputs(kept=KEPT, mask_size=(14, 14), **fields.pop("outputs", {}))
    return ModelSpec(
        name="net",
        source=Source(kind="zoo", ref="maskrcnn-mobilenet"),
        task="instance",
        input_size=INPUT,
        classes=default_classes(fields.pop("classes", 3)),
        preprocess=Preprocess(resize="letterbox"),
        postprocess=Postprocess(instances=outputs, **fields),
    )


def network(count: int, seed: int = 0, batch: int = 1, classes: int = 3) -> dict[str, np.ndarray]:
    """What a network gives for INPUT, with `count` things in each image."""
    random = np.random.default_rng(seed)
    first = random.uniform(0, 30, (batch, KEPT, 2))
    boxes = np.concatenate([first, first + random.uniform(0.2, 20, (batch, KEPT, 2))], axis=2)
    there = np.arange(KEPT) < count
    found = {
        "boxes": boxes * there[:, None],
        "scores": np.sort(random.uniform(0.06, 1, (batch, KEPT)))[:, ::-1] * there,
        "masks": random.uniform(0, 1, (batch, KEPT, 14, 14)) * there[:, None, None],
    }
    found = {name: value.astype(np.float32) for name, value in found.items()}
    labels = random.integers(0, classes, (batch, KEPT)) * there
    whole = {"labels": labels, "count": np.full(batch, count), "unsettled": np.zeros(batch)}
    return {**found, **{name: value.astype(np.int32) for name, value in whole.items()}}


@pytest.fixture(scope="module")
def paste():
    torch = pytest.importorskip("torch")
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    def pasted(masks, boxes, size):
        found = paste_masks_in_image(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), size)
        return found[:, 0].numpy()

    return pasted


@pytest.mark.parametrize("seed", range(20))
def test_masks_are_pasted_as_torchvision_does(paste, seed):
    random = np.random.default_rng(seed)
    first = random.uniform(-3, 60, (12, 2)).clip(0, [64, 48])
    last = (first + random.choice([0.0, 0.4, 1.0, 5.0, 40.0], (12, 2))).clip(0, [64, 48])
    boxes = np.concatenate([first, last], axis=1).astype(np.float32)
    masks = random.uniform(0, 1, (12, 28, 28)).astype(np.float32)
    right = paste(masks, boxes, CAMERA)
    found = over_boxes(masks, boxes, CAMERA)
    sure = np.abs(right - 0.5) > 1e-5
    np.testing.assert_array_equal(found[sure], right[sure] > 0.5)


def test_masks_of_the_whole_input_are_cut_at_their_boxes():
    place = Preprocess(resize="letterbox").place(CAMERA, INPUT)
    masks, boxes = np.ones((1, 8, 16), np.float32), np.array([[4.4, 10.0, 20.6, 30.0]], np.float32)
    (mask,) = over_input(masks, boxes, place)
    wanted = np.zeros(CAMERA, bool)
    wanted[10:30, 4:21] = True
    np.testing.assert_array_equal(mask, wanted)


def test_boxes_come_in_pixels_of_the_camera_and_no_row_is_padded():
    task, about = task_named("instance"), spec()
    place = about.preprocess.place(CAMERA, INPUT)
    given = network(3, batch=2)
    outputs = task.decode(given, about, place)
    found = task.found(outputs, about, CAMERA)
    assert [len(one.labels) for one in found] == [3, 3]
    scale = np.array([CAMERA[1] / place.scaled[1], CAMERA[0] / place.scaled[0]] * 2)
    wanted = (given["boxes"][0, :3] * scale).clip(0, [64, 48] * 2)
    np.testing.assert_allclose(found[0].boxes, wanted, atol=1e-4)
    assert found[0].masks.shape == (3, *CAMERA) and found[0].masks.dtype == bool
    alone = task.found({name: array[0] for name, array in outputs.items()}, about, CAMERA)
    np.testing.assert_array_equal(alone.masks, found[0].masks)


@pytest.mark.parametrize("count", [0, KEPT])
def test_no_thing_and_all_rows_full(count):
    task, about = task_named("instance"), spec(classes=80)
    outputs = task.decode(network(count, classes=80), about, about.preprocess.place(CAMERA, INPUT))
    (found,) = task.found(outputs, about, CAMERA)
    assert len(found.labels) == len(found.masks) == count and found.masks.shape[1:] == CAMERA
    assert task.fault(outputs, about) == ""


def test_a_thing_of_one_pixel_has_a_pixel():
    masks, boxes = np.ones((1, 28, 28), np.float32), np.array([[10, 20, 11, 21]], np.float32)
    assert over_boxes(masks, boxes, CAMERA)[0, 20, 10]


def test_masks_pasted_by_the_engine_are_those_of_the_runtime():
    task = task_named("instance")
    ours, theirs = spec(), spec(paste="engine")
    place, given = ours.preprocess.place(CAMERA, INPUT), network(4)
    first = task.found(task.decode(given, ours, place), ours, CAMERA)[0]
    outputs = task.decode(given, theirs, place)
    assert outputs["masks"].dtype == np.uint8 and outputs["masks"].shape == (1, KEPT, *CAMERA)
    np.testing.assert_array_equal(task.found(outputs, theirs, CAMERA)[0].masks, first.masks)


def test_equal_outputs_are_the_same_and_a_lost_thing_is_not():
    task, about = task_named("instance"), spec()
    outputs = task.decode(network(4), about, about.preprocess.place(CAMERA, INPUT))
    assert task.same(outputs, outputs).all()
    assert things_apart(outputs, outputs) == 0
    fewer = {name: array.copy() for name, array in outputs.items()}
    for array in fewer.values():
        if array.ndim > 1:
            array[:, :3] = array[:, 1:4]
    fewer["count"] -= 1
    marks = np.full(outputs["scores"].shape, 3, np.uint8) * (np.arange(KEPT) < 4)
    assert task.agreeing(fewer, outputs, marks) == (3, 4)
    first = {name: array[0] for name, array in outputs.items()}
    lost = distances({name: array[0] for name, array in fewer.items()}, first)
    np.testing.assert_allclose(lost, [first["scores"][0] / 0.2, 0, 0, 0])
    assert not task.same(fewer, outputs).all() and not task.same(outputs, fewer).all()


def test_open_boxes_become_a_note():
    task, outputs = task_named("instance"), network(2)
    assert task.remark(outputs) == ""
    outputs["unsettled"][:] = 3
    assert "3 boxes were left open" in task.remark(outputs)


def test_a_network_that_says_nothing_of_its_outputs_is_refused():
    task, about = task_named("instance"), spec()
    silent = msgspec.structs.replace(about, postprocess=Postprocess())
    with pytest.raises(ModelError, match="does not say what it returns"):
        task.outputs(silent, 1, CAMERA)


def test_tiles_are_refused():
    task, about = task_named("instance"), spec()
    with pytest.raises(InputError, match="those of tiles are not joined"):
        task.merge(iter(()), about, None, {})


def test_things_can_be_chosen():
    task, about = task_named("instance"), spec()
    (found,) = task.found(
        task.decode(network(5), about, about.preprocess.place(CAMERA, INPUT)), about, CAMERA
    )
    least = float(found.scores[2])
    assert len(found.above(least).labels) == 3 and len(found.where(np.array([1])).masks) == 1
