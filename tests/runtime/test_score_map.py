from __future__ import annotations

import re

import numpy as np
import pytest

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import GraphError, ModelError
from edgeseg.runtime.score_map import covers, find_score_map, noise, settled_task
from edgeseg.runtime.seen import Seen, seen

SIZE = (40, 56)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def look(outputs: dict[str, np.ndarray]) -> dict[str, Seen]:
    return {name: seen(value) for name, value in outputs.items()}


def found(outputs: dict[str, np.ndarray], **options) -> str:
    return find_score_map([look(outputs), look(outputs)], options.pop("size", SIZE), **options)


def test_the_only_float_map_counts_and_of_several_the_largest():
    scores = drawn(1, 6, *SIZE)
    labels = scores.argmax(1)
    assert found({"labels": labels, "scores": scores, "classes": drawn(1, 10)}) == "scores"
    assert found({"aux": drawn(1, 6, 10, 14), "scores": scores, "labels": labels}) == "scores"
    assert found({"low": drawn(1, 6, 10, 14)}) == "low"


def test_equally_large_maps_are_asked_for():
    outputs = {"probabilities": drawn(1, 6, *SIZE), "max_prob": drawn(1, 1, *SIZE), "aux": drawn(1, 6, 5, 7)}
    with pytest.raises(
        ModelError, match=r"2 outputs are equally large: 'probabilities'.*'max_prob'"
    ) as caught:
        found(outputs)
    assert "--set output=NAME" in caught.value.hint and "aux" not in str(caught.value)
    assert found(outputs, stated="max_prob") == "max_prob"
    with pytest.raises(GraphError, match="no output 'depth'"):
        found(outputs, stated="depth", error=GraphError)


@pytest.mark.parametrize("stated", [None, "y"])
@pytest.mark.parametrize(
    ("value", "reason", "hint"),
    [
        (drawn(1, 6, *SIZE).argmax(1), "class ids", "argmax"),
        (drawn(1, 6, *SIZE).argmax(1, keepdims=True).astype(np.float32), "class ids", "argmax"),
        ((drawn(1, 1, *SIZE) > 0).astype(np.float32), "class ids", "threshold"),
        (drawn(1, *SIZE, 6), "channels last", r"\[N,C,H,W\]"),
        (drawn(1, *SIZE), r"no float \[N,C,H,W\]", "axis of the channels"),
        (drawn(1, 6, 1, 1), "one value per image", "output=NAME"),
        (drawn(3, 1, *SIZE), "no one map per image", "output=NAME"),
        (drawn(1, 6, 36, 52), "36x52 for an input of 40x56", "stretch=true"),
        (drawn(1, 6, *SIZE) * np.float32(np.nan), "NaN", "weights"),
    ],
    ids=["argmax", "argmax-float", "threshold", "nhwc", "squeezed", "pooled", "objects", "centre", "nan"],
)
def test_what_is_no_score_map_is_refused_by_name(value, reason, hint, stated):
    with pytest.raises(ModelError, match=f"'y'.*{reason}") as caught:
        found({"y": value}, stated=stated)
    assert re.search(hint, caught.value.hint)


def test_the_largest_is_not_passed_over_for_a_smaller_one():
    with pytest.raises(ModelError, match="channels last"):
        found({"nhwc": drawn(1, *SIZE, 6), "features": drawn(1, 32, 10, 14)})


def test_a_detection_dictionary_is_refused_whatever_it_found():
    for count in (0, 1, 5):
        found_objects = {"0.boxes": drawn(count, 4), "0.masks": drawn(count, 1, *SIZE)}
        with pytest.raises(ModelError, match=r"returns a list of objects: .*'0\.masks'"):
            found(found_objects)
    yolo = {"output0": drawn(1, 38, 84), "output1": drawn(1, 32, 10, 14)}
    with pytest.raises(ModelError, match="a list of objects") as caught:
        found(yolo)
    assert "--set output=NAME" in caught.value.hint and found(yolo, stated="output1") == "output1"
    assert found({"scores": drawn(1, 6, *SIZE), "max_prob": drawn(1, *SIZE)}) == "scores"
    with pytest.raises(ModelError, match="no one map per image"):
        find_score_map([look({"masks": drawn(count, 1, *SIZE)}) for count in (1, 0)], SIZE)


def test_zeros_of_an_untrained_head_are_scores_unless_the_graph_says_otherwise():
    zeros = np.zeros((1, 1, *SIZE), np.float32)
    assert found({"y": zeros}) == "y"
    with pytest.raises(ModelError, match="class ids"):
        found({"y": zeros}, labels=["y"])


def test_a_map_of_the_centre_covers_the_input_only_where_the_user_says_so():
    outputs = {"y": drawn(1, 2, 68, 68)}
    with pytest.raises(ModelError, match="68x68 for an input of 252x252"):
        found(outputs, size=(252, 252))
    assert found(outputs, size=(252, 252), stretch=True) == "y"


@pytest.mark.parametrize(
    ("scores", "image", "expected"),
    [
        ((128, 256), (512, 1024), True),
        ((129, 257), (513, 1025), True),
        ((65, 65), (512, 512), True),
        ((63, 94), (250, 375), True),
        ((68, 95), (40, 56), True),
        ((388, 388), (572, 572), False),
        ((510, 510), (512, 512), False),
        ((128, 512), (512, 1024), False),
    ],
)
def test_strided_and_upsampled_maps_cover_and_shrunk_ones_do_not(scores, image, expected):
    assert covers(scores, image) is expected


def test_a_sigmoid_over_several_channels_needs_a_task():
    with pytest.raises(ModelError, match="sigmoid over 3 channels") as caught:
        settled_task(None, Postprocess(activation="sigmoid"), 3)
    assert "--set task=multilabel" in caught.value.hint
    assert settled_task("multilabel", Postprocess(activation="sigmoid"), 3) == "multilabel"
    for activation, channels in (("sigmoid", 1), ("softmax", 3), ("logits", 3)):
        assert settled_task(None, Postprocess(activation=activation), channels) == "semantic"


def test_thresholds_for_channels_that_have_none_are_refused():
    three = Postprocess(threshold=(0.2, 0.3, 0.4))
    assert settled_task("multilabel", three, 3) == "multilabel"
    for task, channels in (("multilabel", 4), ("semantic", 3)):
        with pytest.raises(ModelError, match="3 thresholds are stated"):
            settled_task(task, three, channels)


def test_noise_is_ordinary_and_extreme_and_the_same_each_time():
    ordinary, extreme = noise((1, 3, 8, 8))
    assert extreme.std() > 5 * ordinary.std() and np.array_equal(ordinary, noise((1, 3, 8, 8))[0])
