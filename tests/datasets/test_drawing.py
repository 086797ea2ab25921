"""Pictures of class maps: what colours a user sees and what a mask file holds."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, default_classes
from edgeseg.datasets.drawing import (
    blend,
    difference,
    fractions,
    legend,
    side_by_side,
    write_mask,
    write_picture,
)
from edgeseg.datasets.tasks import labels_of
from edgeseg.errors import InputError

ROAD, CAR = (128, 64, 128), (0, 0, 142)
CLASSES = (ClassInfo("road", ROAD), ClassInfo("car", CAR), ClassInfo("background", (0, 0, 0)))
SPEC = ModelSpec(name="net", source=Source(kind="onnx", ref="net"), input_size=(8, 8), classes=CLASSES)
BITS = ModelSpec(
    name="net",
    source=Source(kind="onnx", ref="net"),
    input_size=(8, 8),
    classes=CLASSES[:2],
    task="multilabel",
)


def bits(*rows: list[int]) -> np.ndarray:
    """uint8 [H,W,1]."""
    return np.array(rows, np.uint8)[..., None]


MAP = np.array([[0, 1, 2], [0, 0, 255]], np.uint8)


def test_class_ids_get_the_colours_of_their_classes_and_ignored_pixels_are_black():
    colors = labels_of("semantic").paint(MAP, SPEC)
    assert tuple(colors[0, 0]) == ROAD
    assert tuple(colors[0, 1]) == CAR
    assert not colors[1, 2].any()


def test_bit_masks_mix_the_colours_of_their_bits():
    colors = labels_of("multilabel").paint(bits([0] * 5, [1] * 5, [2] * 5, [3] * 5), BITS)
    assert not colors[0].any()
    assert {tuple(c) for c in colors[1]} == {ROAD}
    assert {tuple(c) for c in colors[2]} == {CAR}
    wide = labels_of("multilabel").paint(np.full((5, 5, 1), 3, np.uint8), BITS)
    assert tuple(wide[2, 2]) == (64, 32, 135)


def test_where_classes_overlap_the_border_of_each_has_its_own_colour():
    marks = np.ones((9, 9, 1), np.uint8)
    marks[3:6, 3:6] = 3
    colors = labels_of("multilabel").paint(marks, BITS)
    assert tuple(colors[3, 3]) == CAR and tuple(colors[4, 4]) == (64, 32, 135) and tuple(colors[0, 0]) == ROAD


def test_bits_of_many_classes_mix_and_are_black_where_nothing_is():
    many = msgspec.structs.replace(BITS, classes=default_classes(29))
    marks = np.zeros((6, 6, 4), np.uint8)
    marks[2, 2] = (0, 0, 0, 0b10000)
    colors = labels_of("multilabel").paint(marks, many)
    assert tuple(colors[2, 2]) == many.classes[28].color and (colors.any(axis=-1)).sum() == 1


def test_blend_goes_from_the_image_to_the_colours():
    image = np.full((2, 3, 3), 200, np.uint8)
    assert np.array_equal(blend(image, MAP, SPEC, 0.0), image)
    full = blend(image, MAP, SPEC, 1.0)
    assert tuple(full[0, 0]) == ROAD
    assert tuple(blend(image, MAP, SPEC, 0.5)[0, 1]) == (100, 100, 171)
    assert tuple(full[0, 2]) == (200, 200, 200), "a black class leaves the image as it is"


def test_blend_refuses_an_alpha_out_of_range_and_other_sizes():
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(InputError, match=r"alpha is 1\.5"):
        blend(image, MAP, SPEC, 1.5)
    with pytest.raises(InputError, match=r"\[2, 3\].*\[4, 4\]"):
        blend(image, np.zeros((4, 4), np.uint8), SPEC)


def test_fractions_count_pixels_by_class_name():
    assert fractions(MAP, SPEC) == pytest.approx({"road": 0.5, "car": 1 / 6, "background": 1 / 6})
    assert fractions(bits([0, 1, 3, 3]), BITS) == pytest.approx({"road": 0.75, "car": 0.5})


def test_legend_shows_every_class_colour_and_wraps():
    wide, narrow = legend(SPEC, 400), legend(SPEC, 90)
    assert wide.shape[1] == 400 and narrow.shape[1] == 90
    assert narrow.shape[0] > wide.shape[0]
    for color in (ROAD, CAR):
        assert (wide == color).all(axis=-1).any()


def test_difference_marks_wrong_pixels_red_and_ignored_ones_black():
    image = np.full((2, 2, 3), 100, np.uint8)
    expected, given = np.array([[0, 0], [1, 255]], np.uint8), np.array([[0, 1], [1, 1]], np.uint8)
    picture = difference(image, expected, given, SPEC, ignore_index=255)
    assert tuple(picture[0, 0]) == (60, 60, 60)
    assert picture[0, 1, 0] > 200 and picture[0, 1, 1] < 100
    assert not picture[1, 1].any()


def test_side_by_side_puts_panels_in_a_row_over_the_legend():
    panels = (np.zeros((4, 60, 3), np.uint8), np.full((4, 60, 3), 255, np.uint8))
    picture = side_by_side(panels, SPEC)
    assert picture.shape[1] == 120 and picture.shape[0] > 4


def test_mask_file_holds_the_ids_and_shows_the_colours(tmp_path):
    assert write_mask(tmp_path, "mask", MAP, SPEC, "a.jpg") == "mask.png"
    with Image.open(tmp_path / "mask.png") as mask:
        assert np.array_equal(np.asarray(mask), MAP)
        assert tuple(np.asarray(mask.convert("RGB"))[0, 1]) == CAR


def test_a_picture_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        write_picture(tmp_path / "nowhere" / "picture.png", np.zeros((2, 2, 3), np.uint8))


def test_every_bit_has_a_colour_of_its_own():
    classes = tuple(ClassInfo(f"c{i}", color) for i, color in enumerate([(0, 0, 0), (9, 9, 9), (9, 9, 9)]))
    colors = labels_of("multilabel").colors(msgspec.structs.replace(BITS, classes=classes))
    assert len({*map(tuple, colors.tolist()), (0, 0, 0)}) == 4 and tuple(colors[1]) == (9, 9, 9)


def test_a_black_bit_takes_no_colour_that_another_class_states():
    classes = default_classes(3)
    colors = labels_of("multilabel").colors(msgspec.structs.replace(BITS, classes=classes))
    assert [tuple(c) for c in colors[1:].tolist()] == [c.color for c in classes[1:]]
    assert colors[0].any()


def test_maps_of_more_than_256_classes_are_16_bit_and_ignored_values_black(tmp_path):
    many = msgspec.structs.replace(SPEC, classes=default_classes(300))
    found = np.array([[0, 299], [256, 255]], np.int32)
    assert write_mask(tmp_path, "mask", found, many, "a.jpg") == "mask.png"
    with Image.open(tmp_path / "mask.png") as mask:
        assert np.array_equal(np.asarray(mask), found)
    colors = labels_of("semantic").paint(np.array([[299, 65535]], np.int32), many)
    assert tuple(colors[0, 0]) == many.classes[299].color and not colors[0, 1].any()


@pytest.mark.parametrize(("classes", "name"), [(8, "m.png"), (13, "m.png"), (29, "m.npy")])
def test_bit_masks_are_written_as_they_can_be_read(tmp_path, classes, name):
    spec = msgspec.structs.replace(BITS, classes=default_classes(classes))
    found = np.random.default_rng(0).integers(0, 256, (4, 5, -(-classes // 8)), dtype=np.uint8)
    assert write_mask(tmp_path, "m", found, spec, "a.jpg") == name
    if name.endswith("npy"):
        assert np.array_equal(np.load(tmp_path / name), found)
    else:
        with Image.open(tmp_path / name) as mask:
            stored = np.asarray(mask).astype(np.int64)
        assert np.array_equal(
            stored, sum(found[..., i].astype(np.int64) << 8 * i for i in range(found.shape[-1]))
        )
