"""Labels and results of the task `instance`."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from faster_coco_eval import COCO
from faster_coco_eval import mask as rle

from edgeseg.core.instances import Instances
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.datasets.drawing import blend, fractions, gather_masks, write_mask
from edgeseg.datasets.tasks import labels_of
from edgeseg.datasets.things import things_of
from edgeseg.errors import DataError

TASK = labels_of("instance")
SIZE = (40, 60)
SPEC = ModelSpec(
    name="net",
    source=Source(kind="zoo", ref="net"),
    task="instance",
    input_size=SIZE,
    preprocess=Preprocess(),
    postprocess=Postprocess(),
    classes=(ClassInfo("person", (200, 20, 60)), ClassInfo("cat", (0, 0, 0))),
)


def found(*scores: float) -> Instances:
    """A thing for each score, side by side: of class 0, 1, 0, ..."""
    masks = np.zeros((len(scores), *SIZE), bool)
    for place, mask in enumerate(masks):
        mask[20:30, 10 * place : 10 * place + 12] = True
    things = things_of(masks, np.arange(len(scores)) % 2)
    return things._replace(scores=np.array(scores, np.float32))


def test_things_below_the_threshold_are_not_drawn_and_shares_do_not_count_them():
    things = found(0.9, 0.8, 0.4)
    picture = TASK.paint(things, SPEC)
    assert picture[25, 5].tolist() == [200, 20, 60]
    assert picture[25, 15].any() and not picture[25, 25].any() and not picture[0, 0].any()
    assert fractions(things, SPEC) == pytest.approx({"person": 120 / 2400, "cat": 120 / 2400})


def test_each_class_may_have_its_own_threshold():
    each = msgspec.structs.replace(SPEC, postprocess=Postprocess(threshold=(0.3, 0.85)))
    assert TASK.working(found(0.9, 0.8, 0.4), each).scores.tolist() == pytest.approx([0.9, 0.4])


def test_the_surer_thing_is_in_front_and_two_of_a_class_differ():
    things = found(0.6, 0.9, 0.7)
    picture = TASK.paint(things, SPEC)
    cat = TASK.colors(SPEC)[1].tolist()
    assert any(cat) and picture[25, 10].tolist() == cat == picture[25, 20].tolist()
    assert picture[25, 5].tolist() != picture[25, 25].tolist()


def test_boxes_and_names_are_written_over_the_blended_picture():
    image = np.full((*SIZE, 3), 100, np.uint8)
    drawn = blend(image, found(0.9), SPEC, alpha=0.5)
    assert drawn[20, 5].tolist() == [200, 20, 60]  # the border of the box is not blended
    assert drawn[25, 5].tolist() == [150, 60, 80]
    assert (drawn[:19, :30] != 100).any()
    assert np.array_equal(blend(image, found(0.9), SPEC, alpha=0.0), image)
    assert np.array_equal(blend(image, found(), SPEC), image)


def test_a_union_of_things_counts_once():
    things = found(1.0, 1.0, 1.0)
    overlapping = things._replace(labels=np.zeros(3, np.int32))
    assert TASK.shares(overlapping, 2).tolist() == [320 / 2400, 0]
    assert TASK.shares(found(), 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("labels", [0, 2], "a thing has the class 2\nexpected: class ids 0-1"),
        ("labels", [-1, 0], "the class -1"),
        ("boxes", [[0, 0, 1, 1]], r"boxes are float32 \[1, 4\]"),
        ("boxes", [[0, 0, 1, 1], [3, 0, 2, 1]], "a box ends before it starts"),
        ("boxes", [[0, 0, 1, 1], [np.nan, 0, 2, 1]], "boxes are .*\nexpected: finite numbers"),
        ("crowd", [0], "crowd are"),
        ("area", [np.inf, 1], "area are"),
    ],
)
def test_labels_that_do_not_fit_are_refused(field, value, said):
    wrong = found(1.0, 1.0)._replace(
        **{field: np.array(value, np.int32 if field == "labels" else np.float32)}
    )
    with pytest.raises(DataError, match=said):
        TASK.check(wrong, 2, None, where="a.json")
    TASK.check(found(1.0, 1.0), 2, None, where="a.json")
    TASK.check(found(), 2, None, where="a.json")


def test_masks_that_are_none_are_refused():
    things = found(1.0)
    with pytest.raises(DataError, match=r"a\.json: masks are uint8"):
        TASK.check(things._replace(masks=things.masks.astype(np.uint8)), 2, None, where="a.json")


def test_everything_a_label_says_is_in_its_content():
    things = found(1.0, 1.0)
    moved = things.masks.copy()
    moved[1, 0, 0] = True
    others = [
        things,
        things._replace(labels=things.labels[::-1]),
        things._replace(boxes=things.boxes + 1),
        things._replace(masks=moved),
        things._replace(crowd=np.array([True, False])),
        things._replace(area=np.array([1.0, 2.0])),
        found(1.0),
        found(),
    ]
    assert len({TASK.content(one) for one in others}) == len(others)
    assert TASK.content(found(1.0, 1.0)) == TASK.content(found(0.3, 1.0))


def test_crowds_do_not_count():
    things = found(1.0, 1.0)
    assert not TASK.ignored(things, 255).any()
    crowd = things._replace(crowd=np.array([False, True]))
    assert np.array_equal(TASK.ignored(crowd, 255), things.masks[1])


def test_results_are_json_that_coco_tools_read(tmp_path):
    things = found(0.9, 0.3)
    names = [
        write_mask(tmp_path, f"{n}.mask", t, SPEC, f"{n}.jpg") for n, t in (("a", things), ("b", found()))
    ]
    assert names == ["a.mask.json", "b.mask.json"]
    assert gather_masks(tmp_path, names, SPEC) == "instances.json"
    written = json.loads((tmp_path / "instances.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["a.jpg", "b.jpg"]
    assert [c["name"] for c in written["categories"]] == ["person", "cat"]
    coco = COCO(str(tmp_path / "instances.json"))
    results = coco.loadRes(written["annotations"])
    for place, one in enumerate(results.loadAnns(results.getAnnIds(imgIds=[1]))):
        assert np.array_equal(rle.decode(one["segmentation"]) > 0, things.masks[place])
        assert one["score"] == pytest.approx(things.scores[place], abs=1e-6)
        x, y, width, height = one["bbox"]
        assert [x, y, x + width, y + height] == things.boxes[place].tolist()
        assert one["category_id"] == things.labels[place] + 1
    assert not results.getAnnIds(imgIds=[2])


def test_nothing_is_gathered_of_nothing(tmp_path):
    assert gather_masks(tmp_path, [], SPEC) == "" and not list(tmp_path.iterdir())
