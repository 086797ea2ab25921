from __future__ import annotations

import pytest
import torch

from edgeseg.core.postprocess import Postprocess
from edgeseg.errors import InputError
from edgeseg.training.losses import parse_loss
from edgeseg.training.tasks import training_of
from edgeseg.training.tasks.semantic import IGNORE, class_logits

TASK = training_of("semantic")
LOSSES = TASK.losses


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 5, generator=generator), torch.randint(0, 3, (2, 4, 5), generator=generator)


def confident(label: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(label, 3).movedim(-1, 1) * 40.0


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_answer_costs_nothing_and_a_wrong_one_does(name: str, batch):
    _, label = batch
    assert float(LOSSES[name](confident(label), label)) == pytest.approx(0.0, abs=1e-5)
    assert float(LOSSES[name](confident((label + 1) % 3), label)) > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_do_not_count(name: str, batch):
    logits, label = batch
    label[:, :2] = IGNORE
    changed = logits.clone()
    changed[:, :, :2] += 5.0
    assert torch.allclose(LOSSES[name](logits, label), LOSSES[name](changed, label))
    assert float(LOSSES[name](logits, torch.full_like(label, IGNORE))) == 0.0


def test_cross_entropy_and_dice_by_hand():
    logits = torch.zeros(1, 2, 1, 2)
    label = torch.tensor([[[0, 1]]])
    assert float(LOSSES["ce"](logits, label)) == pytest.approx(0.6931472)
    assert float(LOSSES["focal"](logits, label)) == pytest.approx(0.25 * 0.6931472)
    assert float(LOSSES["dice"](logits, label)) == pytest.approx(1 - 2 * 0.5 / (1.0 + 1.0))


def test_sums_with_weights(batch):
    logits, label = batch
    expected = 0.5 * LOSSES["ce"](logits, label) + LOSSES["dice"](logits, label)
    assert torch.allclose(parse_loss("0.5*ce+dice", TASK)(logits, label), expected)
    assert torch.allclose(parse_loss(" 0.5 * ce + dice ", TASK)(logits, label), expected)


@pytest.mark.parametrize("text", ["mse", "ce+", "x*ce", "-1*ce", "0*ce", "nan*ce"])
def test_bad_losses_list_the_good_ones(text: str):
    with pytest.raises(InputError, match="has the term") as caught:
        parse_loss(text, TASK)
    assert "ce, dice, focal" in caught.value.expected


def test_one_channel_is_two_classes():
    scores = torch.tensor([-2.0, 0.5]).reshape(1, 1, 1, 2)
    probability = class_logits(scores, Postprocess()).softmax(1)
    assert torch.allclose(probability[0, 1, 0], torch.sigmoid(torch.tensor([-2.0, 0.5])))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_what_the_network_applied_is_undone(activation: str):
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    scores = logits.softmax(1) if activation == "softmax" else logits.sigmoid()
    undone = class_logits(scores, Postprocess(activation=activation))
    assert torch.allclose(undone.softmax(1), logits.softmax(1), atol=1e-5)


def test_distillation_is_zero_for_the_teachers_own_answer_and_positive_otherwise(batch):
    logits, label = batch
    assert float(parse_loss("distil", TASK)(logits, label, logits)) == pytest.approx(0.0, abs=1e-6)
    assert float(parse_loss("distil", TASK)(logits, label, logits.flip(1))) > 0.1


def test_distillation_adds_to_the_other_terms_and_sees_pixels_without_label(batch):
    logits, label = batch
    both = parse_loss("ce+0.5*distil", TASK)
    assert both.distils and not parse_loss("ce", TASK).distils
    unlabelled = torch.full_like(label, IGNORE)
    alone = 0.5 * parse_loss("distil", TASK)(logits, unlabelled, logits.flip(1))
    assert torch.allclose(both(logits, unlabelled, logits.flip(1)), alone)


BITS = training_of("multilabel")


def planes(*rows):
    """Logits [1,C,1,W] of +-40 for 0 or 1."""
    return (torch.tensor(rows, dtype=torch.float32) * 80 - 40)[None, :, None]


def target(*rows):
    """[1,C+1,1,W]: the last row tells where pixels count."""
    return torch.tensor(rows, dtype=torch.uint8)[None, :, None]


@pytest.mark.parametrize("name", ["bce", "dice", "focal"])
def test_overlapping_classes_cost_nothing_when_all_their_bits_are_right(name):
    truth = target([1, 1, 0], [0, 1, 1], [1, 1, 1])
    loss = BITS.losses[name]
    assert float(loss(planes([1, 1, 0], [0, 1, 1]), truth)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(planes([0, 0, 1], [1, 0, 0]), truth)) > 0.5


@pytest.mark.parametrize("name", ["bce", "dice", "focal"])
def test_bits_of_ignored_pixels_do_not_count(name):
    loss = BITS.losses[name]
    truth = target([1, 0, 1], [0, 1, 1], [1, 1, 0])
    right, wrong = planes([1, 0, 1], [0, 1, 1]), planes([1, 0, 0], [0, 1, 0])
    assert float(loss(right, truth)) == float(loss(wrong, truth))
    assert float(loss(wrong, target([1], [1], [0]).expand(1, 3, 1, 3))) == 0.0


def test_the_values_of_losses_of_bits():
    logits, truth = torch.zeros(1, 2, 1, 2), target([1, 0], [1, 1], [1, 1])
    assert float(BITS.losses["bce"](logits, truth)) == pytest.approx(0.6931472)
    assert float(BITS.losses["focal"](logits, truth)) == pytest.approx(0.25 * 0.6931472)
    # class 0: overlap 0.5 of 1 + 1; class 1: overlap 1 of 1 + 2
    assert float(BITS.losses["dice"](logits, truth)) == pytest.approx(1 - (2 * 0.5 / 2 + 2 * 1 / 3) / 2)
    assert float(BITS.distil(logits, logits)) == pytest.approx(0.0, abs=1e-6)
    assert float(BITS.distil(logits, logits + 2)) > 0.1


def test_a_loss_of_another_task_and_the_usual_one():
    with pytest.raises(InputError, match=r"'ce'\nexpected: bce, dice, focal"):
        parse_loss("ce", BITS)
    assert (str(parse_loss("", BITS)), str(parse_loss("", TASK))) == ("bce+dice", "ce")
