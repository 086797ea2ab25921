"""QAT of a Mask R-CNN: the Q/DQ graph learns what the heads of the float network say."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from onnx import ModelProto, numpy_helper
from small_rcnn import exported, found_again, images_of

from edgeseg.errors import InputError
from edgeseg.graph.heads import heads_of
from edgeseg.graph.lift import lift
from edgeseg.graph.reference import run, session
from edgeseg.quantization.ptq import PtqSettings, quantize
from edgeseg.quantization.qat.module import prepare, write_back
from edgeseg.quantization.qat.things import ThingNetwork, all_of, teacher_of
from edgeseg.quantization.schemes import scheme_for

FEEDS = [{"image": images_of(1, seed=seed).numpy()} for seed in range(10, 12)]
IMAGES = images_of(2, seed=1)


@cache
def coarse() -> ModelProto:
    """4-bit weights, so that there is something to win."""
    return quantize(exported("v1"), FEEDS, scheme_for("openvino"), PtqSettings(weight_bits=4)).model


def learner() -> ThingNetwork:
    heads = heads_of(coarse())
    module = prepare(coarse(), exported("v1"), outputs=all_of(coarse(), heads)).module
    return ThingNetwork(module, tuple(o.name for o in coarse().graph.output), heads)


def distance(student: ThingNetwork, teacher: ThingNetwork) -> torch.Tensor:
    answer = student(IMAGES, [{}, {}])
    with torch.no_grad():
        taught = teacher.dense(IMAGES, answer.dense)
    parts = [
        (torch.cat(answer.dense[name]) - torch.cat(values)).square().mean() / torch.cat(values).var()
        for name, values in taught.items()
    ]
    return torch.stack(parts).mean()


def test_the_lifted_network_finds_the_same() -> None:
    for kind in ("v1", "v2"):
        lifted = lift(exported(kind))
        with torch.no_grad():
            found = dict(zip(lifted.output_names, (value.numpy() for value in lifted(IMAGES[:1]))))
        expected = run(session(exported(kind)), {"image": IMAGES[:1].numpy()})
        assert found_again(expected, found, overlap=0.99) == 1
        np.testing.assert_allclose(found["masks"], expected["masks"], atol=1e-3)


def test_the_network_that_learns_is_the_graph() -> None:
    with torch.no_grad():
        found = learner()(IMAGES)
    assert found["boxes"].shape == (2, 20, 4) and set(found) == {o.name for o in coarse().graph.output}
    expected = run(session(coarse()), {"image": IMAGES[:1].numpy()})
    first = {name: value[:1].numpy() for name, value in found.items()}
    assert found_again(expected, first, overlap=0.9) > 0.9


def test_all_weights_learn_and_come_nearer_to_the_teacher() -> None:
    student, teacher = learner(), teacher_of(exported("v1"))
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-5)
    before = distance(student, teacher)
    before.backward()
    weights = {name for name, value in student.named_parameters() if value.ndim > 1}
    assert len(weights) == 26  # the layers of the RPN head are shared by five levels
    assert all(value.grad is not None for value in student.parameters())
    assert all(student.get_parameter(name).grad.abs().sum() > 0 for name in weights)
    for _ in range(4):
        optimizer.step()
        optimizer.zero_grad()
        distance(student, teacher).backward()
    after = distance(student, teacher)
    assert after < 0.95 * before
    written = write_back(student.network, coarse())
    assert [n.SerializeToString() for n in written.graph.node] == [
        n.SerializeToString() for n in coarse().graph.node
    ]
    changed = sum(
        not np.array_equal(numpy_helper.to_array(a), numpy_helper.to_array(b))
        for a, b in zip(written.graph.initializer, coarse().graph.initializer)
        if a.name.endswith("/int8")
    )
    assert changed > 20  # of 26; steps are short, and 4 bits coarse


def test_losses_of_labels_are_refused() -> None:
    with pytest.raises(InputError, match="the loss 'mask' compares with labels"):
        learner()(IMAGES[:1], [{}]).losses["mask"]
