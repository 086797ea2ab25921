"""Scores, drops and verdicts of a network whose class maps one can work out by hand."""

from __future__ import annotations

import builtins
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgeseg.core.documents import convert, encode, read_json
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.recipe import Budget
from edgeseg.datasets.images import ImageFolder
from edgeseg.errors import BundleError, DataError, InputError, MissingDependency, MissingDevice
from edgeseg.evaluation import verify as subject
from edgeseg.evaluation.verify import Verification, verify, verify_call

GREEN_LOST = (1.0, 0.0, 0.0)
"""Bias of an engine that takes everything for red."""


def test_a_faithful_engine_is_perfect_and_passes(make_bundle, colors):
    result = verify(make_bundle(), dataset=colors, budget=Budget(max_drop=0.0, max_class_drop={"blue": 0.0}))
    assert result.verdict.status == "pass"
    assert result.frames == 3 and result.data == "colors/val" and result.labelled
    assert result.value == result.engine.means["Dice"] == result.engine.means["pixel accuracy"] == 1.0
    assert result.engine.means["boundary IoU"] == 1.0
    assert result.engine.classes == {"red": 1.0, "green": 1.0, "blue": 1.0}
    assert result.engine == result.fp32
    assert (result.drop.value, result.drop.low, result.drop.high) == (0.0, 0.0, 0.0)
    assert result.agreement.equal == result.agreement.value == 1.0


def test_a_damaged_engine_is_scored_by_what_it_returns_and_fails(make_bundle, colors):
    bundle = make_bundle(bias=GREEN_LOST)
    result = verify(bundle, dataset=colors, budget=Budget(max_drop=1.0, max_class_drop={"green": 5.0}))
    # Red everywhere: of 384 pixels per frame one is ignored and 127 are red.
    red = 127 / 383
    assert result.engine.classes == pytest.approx({"red": red, "green": 0.0, "blue": 0.0})
    assert result.value == pytest.approx(red / 3)
    assert result.engine.means["pixel accuracy"] == pytest.approx(red)
    assert result.fp32.value == 1.0
    assert result.drop.value == pytest.approx(100 * (1 - red / 3))
    assert result.class_drop["green"].value == 100.0
    assert result.agreement.equal == pytest.approx(127 / 384)
    assert result.verdict.status == "fail" and result.verdict.exit_code == 1
    assert "the budget is 1" in result.verdict.reasons[0]
    assert any(reason.startswith("green drops 100.00 points") for reason in result.verdict.reasons)


def test_a_mean_hides_no_class(make_bundle, colors):
    bundle = make_bundle(bias=GREEN_LOST)
    result = verify(bundle, dataset=colors, budget=Budget(max_drop=99.0))
    assert result.verdict.status == "pass"
    hidden = [reason for reason in result.verdict.reasons if reason.endswith("the mean hides it")]
    assert [reason.partition(" ")[0] for reason in hidden] == ["red", "green", "blue"]
    assert any("100.00 points (95% interval 100.00 to 100.00)" in reason for reason in hidden)
    limited = verify(bundle, dataset=colors, budget=Budget(any_class=99.0, max_class_drop={"green": 100.0}))
    assert limited.verdict.status == "fail"
    assert any(r.startswith("blue drops 100.00 points") and "99" in r for r in limited.verdict.reasons)
    assert not any("the mean hides it" in reason for reason in limited.verdict.reasons)
    assert verify(make_bundle("whole"), dataset=colors, budget=Budget(any_class=0.0)).verdict.status == "pass"


def test_recall_and_precision_of_the_engine_are_held_against_the_least(make_bundle, colors):
    """Everything is taken for red: all red is found, and a third of what is taken for it is red."""
    red = 127 / 383
    bundle = make_bundle(bias=GREEN_LOST)
    budget = Budget(min_recall={"red": 100.0, "green": 10.0}, min_precision={"red": 50.0})
    result = verify(bundle, dataset=colors, budget=budget)
    assert result.engine.tables["recall"] == {"red": 1.0, "green": 0.0, "blue": 0.0}
    assert result.engine.tables["precision"] == {"red": pytest.approx(red), "green": None, "blue": None}
    assert result.verdict.status == "fail"
    assert "recall of red is 100.00, the budget asks for 100" in result.verdict.reasons
    assert "recall of green is 0.00, the budget asks for 10" in result.verdict.reasons
    assert f"precision of red is {100 * red:.2f}, the budget asks for 50" in result.verdict.reasons
    nothing = verify(bundle, dataset=colors, budget=Budget(min_precision={"green": 1.0}))
    assert nothing.verdict.status == "unjudged", "nothing is taken for it"
    assert verify(make_bundle("whole"), dataset=colors, budget=budget).verdict.status == "pass"


@pytest.mark.parametrize("kind", ["min_recall", "min_precision"])
@pytest.mark.parametrize("least", [-1.0, 101.0, float("nan")])
def test_a_least_that_is_no_share_is_refused(kind, least):
    with pytest.raises(InputError, match=f"{kind} of 'red'"):
        convert({kind: {"red": least}}, Budget, where="recipe")


def test_the_worst_tag_is_in_the_verdict(make_bundle, colors, tmp_path):
    """Of three frames; the engine takes everything for red, and only one frame shows red alone."""
    ids = colors.split("val").ids
    (tmp_path / "tags.csv").write_text(
        f"image,light,camera\n{ids[0]},night,1\n{ids[1]},day,1\nanother,night,2\n{ids[2]},,2\n"
    )
    result = verify(make_bundle(bias=GREEN_LOST), dataset=colors, tags=tmp_path / "tags.csv")
    assert {tag: one.frames for tag, one in result.slices.items()} == {
        "light=night": 1,
        "camera=1": 2,
        "light=day": 1,
        "camera=2": 1,
    }
    whole = verify(make_bundle("whole"), dataset=colors, tags=tmp_path / "tags.csv")
    assert all(one.value == one.fp32 == 1.0 and one.drop.value == 0 for one in whole.slices.values())
    night = verify(make_bundle("first", bias=GREEN_LOST), dataset=colors, limit=1)
    assert result.slices["light=night"].drop.value == pytest.approx(night.drop.value)
    assert result.slices["light=night"].value == pytest.approx(night.value)
    (said,) = [reason for reason in result.verdict.reasons if reason.startswith("worst slice: ")]
    worst = max(result.slices, key=lambda tag: result.slices[tag].drop.value)
    assert f"{worst} drops {result.slices[worst].drop.value:.2f} points of mIoU" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with ''"),
        ("image\na\n", "begins with 'image'"),
        ("id,light\na,b\n", "begins with 'id,light'"),
        ("image,light\nother,night\n", "no tag for any of the 3 images"),
        ("image,light\na,night,2\n", "has 3 values"),
        ("image,light\na,night\na,day\n", "comes twice"),
        ('image,light\n"a,night\n', "cannot be read"),
    ],
)
def test_a_file_of_tags_that_cannot_be_used(make_bundle, colors, tmp_path, text, says):
    (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        verify(make_bundle(), dataset=colors, tags=tmp_path / "tags.csv")


def test_tags_without_labels_are_refused(make_bundle, colors, tmp_path):
    frames = save_frames(tmp_path / "frames", colors)
    with pytest.raises(InputError, match="no labels to score its slices"):
        verify(make_bundle(), images=frames, tags=tmp_path / "tags.csv")


def test_the_interval_of_a_drop_that_differs_between_frames_holds_it(make_bundle, colors):
    drop = verify(make_bundle(bias=(0.0, 1.0, 0.0)), dataset=colors).class_drop["green"]
    assert drop.low < drop.value < drop.high


def test_an_interval_that_crosses_the_limit_is_said():
    drop = subject.Drop(value=0.5, low=0.1, high=1.4)
    (verdict,) = subject.drop_verdicts("mIoU", drop, {}, Budget(max_drop=1.0))
    assert verdict.status == "pass" and "crosses the limit" in verdict.reasons[0]
    (verdict,) = subject.drop_verdicts("mIoU", drop, {}, Budget(max_drop=2.0))
    assert "crosses" not in verdict.reasons[0]


def test_a_class_the_data_does_not_show_is_unjudged_not_passed(make_bundle, colors):
    class NoBlue(type(colors)):
        def truth(self, identity):
            return np.minimum(super().truth(identity), 1)

    result = verify(make_bundle(), dataset=NoBlue(), budget=Budget(max_class_drop={"blue": 1.0}))
    assert result.verdict.status == "unjudged" and "blue" in result.verdict.reasons[0]
    assert result.engine.classes["blue"] is None and result.value == 1.0


def test_limit_scores_the_first_frames_and_the_sample_list_tells_which(make_bundle, colors):
    bundle = make_bundle()
    one, two = (verify(bundle, dataset=colors, limit=n) for n in (1, 2))
    assert (one.frames, two.frames, one.limit) == (1, 2, 1)
    assert one.sample_list != two.sample_list
    assert one.sample_list == verify(bundle, dataset=colors, limit=1).sample_list


def test_batched_engines_score_the_same(make_bundle, colors):
    one = verify(make_bundle("one", bias=(0.0, 0.9, 0.0)), dataset=colors)
    two = verify(make_bundle("two", bias=(0.0, 0.9, 0.0), batch=2), dataset=colors)
    assert one.engine == two.engine and one.drop == two.drop and one.frames == two.frames


def test_frames_of_another_size_are_resized_and_scored_at_the_size_of_their_labels(make_bundle, colors):
    result = verify(make_bundle(), dataset=replace(colors, size=(32, 48)))
    assert 0.9 < result.value <= 1.0
    assert "3 of 3 frame(s) were resized to the camera size 16x24" in result.notes[-1]


def test_a_camera_that_delivers_bgr_is_served_bgr(make_bundle, colors):
    result = verify(make_bundle(order="bgr"), dataset=colors)
    # This engine has no swap of its own: it reads the blue of a BGR frame as its first class.
    assert result.engine.classes["red"] == 0.0
    assert result.engine.classes["green"] == 1.0


def test_another_bundle_as_reference(make_bundle, colors):
    good, bad = make_bundle("good"), make_bundle("bad", bias=GREEN_LOST)
    result = verify(good, dataset=colors, reference=bad)
    assert result.reference == str(bad)
    assert result.fp32.value < 0.2 and result.drop.value < -80
    fewer = make_bundle("fewer", classes=(*colors.classes, ClassInfo("extra", (9, 9, 9))))
    with pytest.raises(InputError, match=r"4 classes.*3"):
        verify(good, dataset=colors, reference=fewer)


def save_frames(folder, colors):
    folder.mkdir()
    for identity in colors.split("val").ids:
        Image.fromarray(colors.split("val").read_image(identity)).save(folder / f"{identity}.png")
    return folder


def test_without_labels_agreement_is_measured(make_bundle, colors, tmp_path):
    frames = save_frames(tmp_path / "frames", colors)
    same = verify(make_bundle("same"), images=frames)
    assert same.verdict.status == "pass" and not same.labelled
    assert same.agreement.equal == 1.0 and same.engine is None and same.drop is None and same.value is None
    other = verify(make_bundle("other", bias=GREEN_LOST), images=frames, output=tmp_path / "worst")
    assert other.agreement.equal == pytest.approx(127 / 384)
    assert other.agreement.value == pytest.approx(127 / 384 / 3)
    assert len(list((tmp_path / "worst").glob("*.png"))) == 3


LIMITS = (
    Budget(max_drop=1.0),
    Budget(max_class_drop={"red": 1.0}),
    Budget(any_class=1.0),
    Budget(min_recall={"red": 1.0}),
)


@pytest.mark.parametrize("budget", LIMITS)
def test_a_limit_on_drops_without_labels_is_refused_before_an_engine_opens(
    make_bundle, colors, tmp_path, monkeypatch, budget
):
    monkeypatch.setattr(subject, "session_on", lambda *_, **__: pytest.fail("opened"))
    frames = save_frames(tmp_path / "frames", colors)
    with pytest.raises(
        InputError,
        match=r"--(max-(class-)?drop(-any-class)?|min-recall) was given, and .*frames has no labels",
    ):
        verify(make_bundle(), images=frames, budget=budget)
    with pytest.raises(InputError, match="has no labels"):
        verify(make_bundle("other"), dataset=ImageFolder(frames), split="images", budget=budget)


def test_data_without_labels_says_how_it_is_compared(make_bundle, colors, tmp_path):
    frames = save_frames(tmp_path / "frames", colors)
    with pytest.raises(DataError, match=r"'frames' has no labels(.|\n)*--images"):
        verify(make_bundle(), dataset=ImageFolder(frames), split="images")


def test_the_worst_frames_are_named_and_saved_as_pictures(make_bundle, colors, tmp_path):
    result = verify(make_bundle(bias=GREEN_LOST), dataset=colors, worst=2, output=tmp_path / "worst")
    assert len(result.worst) == 2
    assert result.worst[0].score <= result.worst[1].score
    with Image.open(result.worst[0].picture) as picture:
        shown = np.asarray(picture)
    assert shown.shape[1] == 4 * 24 and shown.shape[0] > 16
    assert tuple(shown[8, 24]) == (255, 0, 0), "the label"
    assert tuple(shown[8, 2 * 24 + 20]) == (255, 0, 0), "the engine says red where the label is blue"
    assert tuple(shown[8, 24 + 20]) == (0, 0, 255)
    assert verify(make_bundle("b"), dataset=colors, worst=0).worst == ()


def test_what_cannot_run_here_is_unmeasured(make_bundle, colors, monkeypatch):
    later = make_bundle("deferred", kind="deferred")
    deferred = verify(later, dataset=colors)
    assert deferred.verdict.status == "unmeasured" and deferred.verdict.exit_code == 0
    assert "edgeseg build" in deferred.verdict.reasons[0] and deferred.size_mb is None
    for budget in (Budget(max_drop=1.0), Budget(max_class_drop={"red": 1.0}), Budget(max_size_mb=1.0)):
        limited = verify(later, dataset=colors, budget=budget).verdict
        assert (limited.status, limited.exit_code) == ("unjudged", 4), budget

    def no_device(*args, **kwargs):
        raise MissingDevice("no NVIDIA driver", hint="attach a GPU")

    monkeypatch.setattr(subject, "session_on", no_device)
    bundle = make_bundle("absent")
    assert verify(bundle, dataset=colors).verdict.exit_code == 0
    absent = verify(bundle, dataset=colors, budget=Budget(max_drop=1.0))
    assert absent.verdict.status == "unjudged" and absent.engine is None
    assert "no NVIDIA driver; to fix: attach a GPU" in absent.verdict.reasons[0]
    assert verify(bundle, dataset=colors, budget=Budget(max_size_mb=1e-9)).verdict.status == "fail"


def test_size_is_held_against_its_limit(make_bundle, colors):
    bundle = make_bundle()
    assert verify(bundle, dataset=colors, budget=Budget(max_size_mb=1.0)).verdict.status == "pass"
    large = verify(bundle, dataset=colors, budget=Budget(max_size_mb=1e-6))
    assert large.verdict.status == "fail" and "engine size" in large.verdict.reasons[-1]


def test_the_reference_names_the_package_it_misses(make_bundle, colors, monkeypatch):
    bundle = make_bundle()
    real = builtins.__import__

    def without_onnx(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(MissingDependency, match=r"FP32 reference needs the package 'onnx'"):
        verify(bundle, dataset=colors)


def test_classes_and_ignore_index_must_be_the_networks(make_bundle, colors):
    bundle = make_bundle()
    more = replace(colors, classes=(*colors.classes, ClassInfo("void", (1, 1, 1))))
    with pytest.raises(DataError, match=r"4 classes red, green, blue, void.*3 classes red, green, blue"):
        verify(bundle, dataset=more)
    other = replace(colors, classes=(ClassInfo("void", (1, 1, 1)), *colors.classes[:1]))
    with pytest.raises(DataError, match="those that are never labelled come last"):
        verify(bundle, dataset=other)
    with pytest.raises(DataError, match="same classes in the same order"):
        verify(bundle, dataset=replace(colors, classes=colors.classes[::-1]))
    with pytest.raises(DataError, match=r"ignores the label value 7.*the bundle ignores 255"):
        verify(bundle, dataset=replace(colors, ignore_index=7))


@pytest.mark.parametrize("names", ["red green blue", "class0 class1 class2"])
def test_a_class_that_no_label_shows_stays_out_of_mean_and_drop(make_bundle, colors, names):
    """The usual last class of networks for CamVid and Cityscapes: it scored 0 and entered every mean."""

    class BlueIsGreen(type(colors)):
        def split(self, name):
            return replace(super().split(name), read_label=self.label)

        def label(self, identity):
            found = self.truth(identity)
            return np.where(found == 2, 1, found).astype(np.uint8)

    classes = tuple(ClassInfo(name, (i, i, i)) for i, name in enumerate(names.split()))
    bundle = make_bundle(classes=classes, bias=(0.9, 0.0, 0.0))
    result = verify(
        bundle,
        dataset=BlueIsGreen(classes=colors.classes[:2]),
        budget=Budget(max_class_drop={classes[2].name: 1.0}),
    )
    red, green, none = (result.engine.classes[c.name] for c in classes)
    assert none is None and result.engine.tables["Dice"][classes[2].name] is None
    assert result.value == pytest.approx((red + green) / 2)
    assert result.engine.means["Dice"] == pytest.approx(
        sum(result.engine.tables["Dice"][c.name] for c in classes[:2]) / 2
    )
    assert classes[2].name not in result.class_drop
    assert result.drop.value == pytest.approx(sum(d.value for d in result.class_drop.values()) / 2)
    assert result.fp32.classes[classes[1].name] < 0.5, "pixels given to the third class count against it"
    assert any(
        note.startswith(f"no pixel of these frames is labelled {classes[2].name}") for note in result.notes
    )
    assert result.verdict.status == "unjudged" and result.verdict.exit_code == 4


def test_the_ignored_value_may_be_a_class_of_the_network(make_bundle, colors):
    """Of either side: frames in which blue is void."""
    bundle = make_bundle(ignore_index=2)

    class AllLabelled(type(colors)):
        def truth(self, identity):
            label = super().truth(identity)
            label[0, 0] = 0
            return label

    for ignored in (2, None):
        result = verify(bundle, dataset=AllLabelled(ignore_index=ignored))
        assert result.engine.classes == {"red": 1.0, "green": 1.0, "blue": None} and result.value == 1.0


def test_frames_of_few_videos_are_few_observations_and_the_result_says_so(make_bundle, colors):
    class Videos(type(colors)):
        def split(self, name):
            plain = super().split(name)
            frames = tuple(f"{letter}{i}" for letter in "abc" for i in range(4))
            return replace(
                plain,
                ids=frames,
                sequence=lambda i: i[0],
                read_image=lambda i: plain.read_image(i[0]),
                read_label=lambda i: plain.read_label(i[0]),
            )

    bundle = make_bundle(bias=(0.0, 1.0, 0.0))
    single, twelve = (
        verify(bundle, dataset=colors),
        verify(bundle, dataset=Videos(), budget=Budget(max_drop=1.0)),
    )
    assert (single.sequences, twelve.sequences, twelve.frames) == (0, 3, 12)
    assert (twelve.drop.low, twelve.drop.high) == pytest.approx((single.drop.low, single.drop.high))
    assert single.drop.caveat == "" and twelve.drop.caveat == "only 3 sequences: rough"
    assert "* 95% intervals of only 3 sequences: rough" in twelve.notes
    assert "only 3 sequences: rough), the budget is 1" in twelve.verdict.reasons[0]
    one = verify(bundle, dataset=Videos(), limit=4)
    assert one.sequences == 1 and "too narrow for other scenes" in one.drop.caveat


def test_a_single_frame_tells_a_drop_and_no_interval(make_bundle, colors):
    result = verify(make_bundle(bias=(0.0, 1.0, 0.0)), dataset=colors, limit=1, budget=Budget(max_drop=1.0))
    assert result.drop.value > 0 and result.drop.low is result.drop.high is None
    assert (
        "95% interval none" in result.verdict.reasons[0] and "more labelled ones" in result.verdict.reasons[0]
    )


def test_classes_of_other_names_are_matched_by_position_with_a_note(make_bundle, colors):
    named = tuple(ClassInfo(f"class{i}", (0, 0, 0)) for i in range(3))
    result = verify(make_bundle(classes=named), dataset=colors)
    assert result.value == 1.0 and "matched by position" in result.notes[0]


def test_bad_arguments_are_refused(make_bundle, colors, tmp_path):
    bundle = make_bundle()
    with pytest.raises(InputError, match="exactly one"):
        verify(bundle)
    with pytest.raises(InputError, match=r"no class 'pedestrain'[\s\S]*red, green, blue"):
        verify(bundle, dataset=colors, budget=Budget(max_class_drop={"pedestrain": 1.0}))
    with pytest.raises(DataError, match="holds no images"):
        verify(bundle, images=tmp_path / "bundles")
    with pytest.raises(BundleError, match="of kind 'onnx'"):
        verify(make_bundle("graph-only", kind="onnx"), dataset=colors)
    (bundle / "deploy.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"deploy\.onnx"):
        verify(bundle, dataset=colors)


def test_random_weights_are_called_meaningless_and_never_pass(make_bundle, colors):
    result = verify(make_bundle("zoo", weights=False, source="zoo"), dataset=colors)
    assert "random weights: its accuracy is meaningless" in result.notes[0]
    assert result.verdict.status == "unmeasured" and "--weights" in result.verdict.reasons[0]
    held = verify(
        make_bundle("held", weights=False, source="zoo"), dataset=colors, budget=Budget(max_drop=9.0)
    )
    assert held.verdict.status == "unjudged" and held.verdict.exit_code == 4
    own = verify(make_bundle("onnx", weights=False, source="onnx"), dataset=colors)
    assert not own.notes, "an ONNX file holds its own weights"


def test_an_engine_that_computes_nothing_never_passes(make_bundle, colors):
    result = verify(make_bundle(target="null-fp32"), dataset=colors)
    assert result.verdict.status == "unmeasured"
    assert "null-fp32 computes nothing" in result.verdict.reasons[0]
    held = verify(make_bundle("null", target="null-fp32"), dataset=colors, budget=Budget(max_drop=100.0))
    assert held.verdict.exit_code == 4


def test_without_a_budget_a_pass_says_that_nothing_was_held_against_a_limit(make_bundle, colors):
    verdict = verify(make_bundle(bias=GREEN_LOST), dataset=colors).verdict
    assert verdict.status == "pass"
    assert verdict.reasons[0] == "no budget was given: nothing was held against a limit"


@pytest.mark.parametrize("limit", [float("nan"), -0.5, float("inf")])
@pytest.mark.parametrize("field", ["max_drop", "max_p99_ms", "max_size_mb"])
def test_a_limit_that_nothing_can_be_held_against_is_refused(field, limit):
    with pytest.raises(InputError, match=f"{field} is {limit:g}, expected 0 or more"):
        convert({field: limit}, Budget, where="recipe")
    with pytest.raises(InputError, match="max_class_drop of 'road'"):
        convert({"max_class_drop": {"road": limit}}, Budget, where="recipe")


def test_the_sample_list_tells_another_label(make_bundle, colors):
    class Other(type(colors)):
        def truth(self, identity):
            label = super().truth(identity)
            label[5, 5] = 2
            return label

    bundle = make_bundle()
    lists = [verify(bundle, dataset=data).sample_list for data in (colors, Other())]
    assert lists[0] != lists[1]


def test_a_verification_survives_a_file(make_bundle, colors, tmp_path):
    result = verify(make_bundle(), dataset=colors, budget=Budget(max_drop=1.0))
    (tmp_path / "verify.json").write_bytes(encode(result))
    assert read_json(tmp_path / "verify.json", Verification) == result


def test_any_function_can_be_scored(make_bundle, colors):
    from edgeseg.core.bundle import Bundle

    spec = Bundle.open(make_bundle()).manifest.model
    split = colors.split("val")
    assert verify_call(lambda frames: frames.argmax(axis=-1).astype(np.uint8), spec, (16, 24), split) == 1.0
    assert verify_call(lambda frames: np.zeros(frames.shape[:3], np.uint8), spec, (16, 24), split) < 0.2
