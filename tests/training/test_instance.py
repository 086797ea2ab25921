"""Networks of instances learn in the one loop."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from things import SIZE, fit, network, split, state, things

from edgeseg.core.instances import Instances
from edgeseg.core.preprocess import Preprocess
from edgeseg.errors import InputError, ModelError
from edgeseg.training.augment import training_sample
from edgeseg.training.data import Samples
from edgeseg.training.evaluate import loss_of
from edgeseg.training.losses import parse_loss
from edgeseg.training.pseudo_labels import pseudo_labelled
from edgeseg.training.settings import TrainSettings
from edgeseg.training.tasks import training_of

TASK = training_of("instance")
CENTRED = Preprocess(anchor="center")
PLAIN = TrainSettings(flip=0.0, scale=(1.0, 1.0), color=0.0)


def blocks(*places: tuple[int, int, int, int], size=(40, 60)) -> np.ndarray:
    masks = np.zeros((len(places), *size), bool)
    for mask, (top, left, bottom, right) in zip(masks, places):
        mask[top:bottom, left:right] = True
    return masks


def target_of(label: Instances, *, size=(40, 60), settings=PLAIN, seed=0, contract=CENTRED, classes=5):
    assert label.masks is not None
    shown = np.zeros((*label.masks.shape[1:], 3), np.uint8)
    shown[label.masks.any(0)] = 255
    drawn = TASK.drawn(label, classes, None)
    rng = np.random.default_rng(seed)
    pixels, drawn, corner = training_sample(shown, drawn, contract, size, settings, rng)
    return pixels, TASK.target(drawn, settings.crop or size, corner, classes)


def test_targets_are_boxes_classes_and_masks_where_the_image_lies_in_the_input():
    label = things(blocks((4, 6, 10, 20), (39, 59, 40, 60)), [3, 0])
    _, target = target_of(label, size=(64, 64))
    assert target["boxes"].tolist() == [[8, 16, 22, 22], [61, 51, 62, 52]]
    assert target["labels"].tolist() == [3, 0] and target["labels"].dtype == torch.int64
    assert target["masks"].shape == (2, 64, 64) and target["masks"].sum((1, 2)).tolist() == [84, 1]


def test_things_move_with_the_image():
    label = things(blocks((4, 6, 24, 20), (20, 30, 38, 58)), [1, 2])
    settings = TrainSettings(flip=0.5, scale=(0.6, 1.8), color=0.0)
    for seed in range(12):
        pixels, target = target_of(label, settings=settings, seed=seed)
        lit = pixels[0] > pixels[0].max() / 2
        covered = target["masks"].sum(0) > 0
        assert (lit ^ covered).float().mean() < 0.06
        for box, mask in zip(target["boxes"].int().tolist(), target["masks"]):
            left, top, right, bottom = box
            assert mask.sum() == mask[top:bottom, left:right].sum() > 0
            edges = (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1])
            assert all(edge.any() for edge in edges)


def test_what_a_crop_leaves_out_is_no_target():
    label = things(blocks((0, 0, 10, 10), (20, 30, 40, 60)), [1, 2])
    settings = TrainSettings(flip=0.0, scale=(1.0, 1.0), color=0.0, crop=(8, 8))
    seen = {tuple(target_of(label, settings=settings, seed=s)[1]["labels"].tolist()) for s in range(30)}
    assert {(), (1,), (2,)} <= seen and (1, 2) not in seen


def test_crowds_and_images_without_things():
    _, target = target_of(things(blocks((0, 0, 9, 9), (9, 9, 30, 30)), [1, 2], [True, False]))
    assert target["labels"].tolist() == [2]
    _, target = target_of(things(blocks(), []))
    assert target["boxes"].shape == (0, 4) and target["masks"].shape == (0, 40, 60)


def test_more_classes_than_a_byte_holds():
    _, target = target_of(things(blocks((0, 0, 9, 9)), [299]), classes=300)
    assert target["labels"].tolist() == [299]


def test_boxes_without_masks_are_refused():
    label = things(blocks((0, 0, 9, 9)), [1])._replace(masks=None)
    with pytest.raises(InputError, match="boxes without masks"):
        TASK.drawn(label, 3, None)


def test_the_usual_loss_is_all_of_torchvision():
    assert str(parse_loss("", TASK)) == "rpn_objectness+rpn_box+classifier+box+mask"
    assert parse_loss("2*mask+distil", TASK).distils
    with pytest.raises(InputError, match="loss 'ce' has the term 'ce'"):
        parse_loss("ce", TASK)


def test_a_network_learns_and_its_score_is_logged(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = fit(tmp_path, steps=16, validate_every=8)
    assert result.steps == 16 and result.card.task == "instance" and result.card.model == "maskrcnn-mobilenet"
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    found = events.Scalars(f"val/{result.card.metric}")
    assert [(e.step, pytest.approx(e.value)) for e in found] == [(v.step, v.score) for v in result.history]


@pytest.mark.parametrize(
    "settings",
    [
        {"average": "swa", "swa_start": 0.25, "precision": "bf16"},
        {"accumulate": 2, "half": True, "workers": 1, "crop": (32, 48)},
    ],
    ids=["swa-bf16", "parts-half-worker-crop"],
)
def test_other_ways_to_train(tmp_path: Path, settings):
    assert fit(tmp_path, **settings).steps == 4


def test_a_stopped_training_resumes_to_the_same_weights(tmp_path: Path):
    fit(tmp_path / "whole", average="ema")

    def stop(message: str, done: int = 0, total: int = 0) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", average="ema", progress=stop)
    fit(tmp_path / "parts", average="ema", resume=True)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_network_learns_from_another(tmp_path: Path):
    loaded, teacher = network(), network().module
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.mul_(1.05)
    taps = ("network.backbone.fpn.layer_blocks.0",)
    result = fit(tmp_path, loaded, loss="distil+0.5*features+mask", teacher=teacher, features=taps)
    assert result.steps == 4 and not teacher.training


def test_nothing_is_to_be_learnt_from_the_same_network():
    loaded = network()
    module, sample = loaded.module, Samples(split("train", 2), loaded.spec, PLAIN)[0, 1]
    image, target = sample[0][None], TASK.batch([sample[1]])
    answer = TASK.answer(module.train(), image, target, loaded.spec.postprocess)
    alone = TASK.distil(answer, answer.dense)
    assert alone.item() == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        taught = TASK.taught(network().module, image, answer, loaded.spec.postprocess)
        moved = taught._replace(**{name: getattr(taught, name) + 1.0 for name in ("objectness", "masks")})
    apart = TASK.distil(answer, moved)
    assert apart.item() > 0.05
    apart.backward()
    head = module.network.roi_heads.mask_predictor.mask_fcn_logits
    assert head.weight.grad is not None and head.weight.grad.any()


def test_what_a_network_finds_is_what_another_learns_from():
    loaded = network()
    sure = msgspec.structs.replace(loaded.spec.postprocess, threshold=0.3)
    spec = msgspec.structs.replace(loaded.spec, postprocess=sure)
    labelled = pseudo_labelled(split("train", 2), loaded.module, spec)
    first, again = labelled.label(1), labelled.label(1)
    assert isinstance(first, Instances) and len(first.scores) > 0 and (first.scores >= 0.3).all()
    assert all(a is b is None or np.array_equal(a, b) for a, b in zip(first, again))
    everything = pseudo_labelled(split("train", 2), loaded.module, loaded.spec).label(1)
    assert len(everything.scores) != len(first.scores)


def test_a_network_whose_heads_cannot_be_asked_is_refused():
    loaded, image = network(), torch.zeros(1, 3, *SIZE)
    with pytest.raises(ModelError, match="asks its heads"):
        TASK.answer(torch.nn.Identity(), image, [], loaded.spec.postprocess)


def test_the_loss_of_one_image_has_a_gradient():
    loaded = network()
    image, target = Samples(split("train", 2), loaded.spec, PLAIN)[0, 1]
    assert image.shape == (3, *SIZE)
    loss_of(loaded.module.train(), image, target, loaded.spec).backward()
    assert loaded.module.network.rpn.head.cls_logits.weight.grad.any()
