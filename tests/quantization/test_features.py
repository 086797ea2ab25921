from __future__ import annotations

import numpy as np
import pytest
import torch
from patterns import PATTERNS, feeds

from edgeseg.errors import GraphError
from edgeseg.graph.lift import lift
from edgeseg.graph.reference import run, session
from edgeseg.quantization.planner.features import choose_features, tap
from edgeseg.quantization.ptq import quantize
from edgeseg.quantization.qat.module import prepare
from edgeseg.quantization.schemes import scheme_named


def test_what_concats_join_and_residual_sums_are_chosen() -> None:
    chosen = {name: choose_features(PATTERNS[name](), PATTERNS[name]()) for name in PATTERNS}
    assert chosen["concat-mixed"] == ("act", "big")
    assert chosen["chain"] == () and chosen["residual"] == ()  # one sum says little
    assert len(choose_features(PATTERNS["concat-mixed"](), PATTERNS["concat-mixed"](), count=1)) == 1


def test_taps_read_the_same_tensors_in_both_networks() -> None:
    model = PATTERNS["concat-mixed"]()
    teacher, student = lift(model), prepare(quantize(model, feeds(), scheme_named("openvino")).model).module
    paths = tap(teacher, ("act", "c2"))
    assert paths == tap(student, ("act", "c2"))
    image = feeds(1, seed=9)[0]["image"]
    kept: dict[str, torch.Tensor] = {}
    for path in paths:
        teacher.get_submodule(path).register_forward_hook(lambda m, i, o, path=path: kept.update({path: o}))
    with torch.no_grad():
        found = teacher(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(
        found, next(iter(run(session(model), {"image": image}).values())), atol=1e-4, rtol=1e-4
    )
    assert kept[paths[0]].shape == (1, 8, 12, 16) and float(kept[paths[0]].min()) == 0
    assert kept[paths[1]].shape == (1, 4, 12, 16) and float(kept[paths[1]].min()) < 0


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(GraphError, match="no node 'acct'") as caught:
        tap(lift(PATTERNS["chain"]()), ("acct",))
    assert "did you mean 'act'" in caught.value.hint
