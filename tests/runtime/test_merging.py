"""Things merged to a class map."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ModelSpec, Source, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError
from edgeseg.runtime.merging import to_map

SPEC = ModelSpec(
    name="net",
    source=Source(kind="zoo", ref="net"),
    task="instance",
    input_size=(4, 6),
    preprocess=Preprocess(),
    postprocess=Postprocess(),
    classes=default_classes(3),
)


def things(*rows):
    """(label, score, columns) each."""
    masks = np.zeros((len(rows), 4, 6), bool)
    for mask, (_, _, columns) in zip(masks, rows):
        mask[1:3, columns] = True
    labels = np.array([label for label, _, _ in rows], np.int32)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Instances(np.zeros((len(rows), 4), np.float32), labels, scores, masks)


FOUND = things((2, 0.9, slice(0, 3)), (1, 0.8, slice(2, 5)), (0, 0.4, slice(0, 6)))


def test_the_surer_thing_lies_in_front_and_unsure_ones_are_left_out():
    merged = to_map(FOUND, SPEC, 255)
    assert merged.dtype == np.uint8
    assert merged.tolist() == [[255] * 6, [2, 2, 2, 1, 1, 255], [2, 2, 2, 1, 1, 255], [255] * 6]


def test_things_lie_over_stuff_under_ids_of_its_own():
    stuff = np.arange(24).reshape(4, 6).astype(np.int32)
    merged = to_map(FOUND, SPEC, stuff, ids=(30, 31, 300))
    assert merged.dtype == np.int32 and merged[1].tolist() == [300, 300, 300, 31, 31, 11]
    assert np.array_equal(merged[0], stuff[0]) and stuff[1, 0] == 6
    assert to_map(FOUND, SPEC, stuff.astype(np.uint8), ids=(30, 31, 32)).dtype == np.uint8
    assert to_map(FOUND, SPEC, -1).dtype == np.int32


def test_each_class_has_its_threshold():
    each = msgspec.structs.replace(SPEC, postprocess=Postprocess(threshold=(0.3, 0.85, 0.95)))
    assert to_map(FOUND, each, 9)[1].tolist() == [0] * 6


def test_no_thing_is_background():
    assert (to_map(things(), SPEC, 7) == 7).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"things": FOUND._replace(masks=None)}, "boxes alone"),
        ({"background": np.zeros((4, 5), np.uint8)}, r"a background of \[4, 5\] and masks of \[4, 6\]"),
        ({"ids": (1, 2)}, "2 ids are given\nexpected: 3"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        to_map(**{"things": FOUND, "spec": SPEC, "background": 0, **change})
