from __future__ import annotations

import numpy as np
from patterns import chain, feeds

from edgeseg.graph.reference import run, session
from edgeseg.quantization.methods import RANGES, choose_methods
from edgeseg.quantization.ptq import Calibrated, PtqSettings, apply, calibrate
from edgeseg.quantization.schemes import scheme_named

X86 = scheme_named("openvino")


def test_the_best_of_each_method_is_kept_and_all_are_told() -> None:
    model, images = chain(), feeds(3)
    judge = feeds(2, seed=5)
    expected = [next(iter(run(session(model), image).values())) for image in judge]

    def lose(calibrated: Calibrated) -> float:
        opened = session(apply(calibrated).model)
        found = [next(iter(run(opened, image).values())) for image in judge]
        return float(np.mean([np.abs(a - b).mean() for a, b in zip(found, expected)]))

    best, trials = choose_methods(model, images, X86, PtqSettings(), lose)
    assert len(trials) == len(RANGES) + 2
    assert lose(best) == min(trial.loss for trial in trials)
    assert {trial.correct_bias for trial in trials} == {trial.equalize for trial in trials} == {True, False}
    assert lose(best) <= lose(calibrate(model, images, X86))


def test_a_network_without_linked_layers_has_nothing_to_equalise() -> None:
    model = chain()
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Sigmoid"
    calibrated = calibrate(model, feeds(2), X86, PtqSettings(equalize=True))
    assert apply(calibrated).model.graph.node
