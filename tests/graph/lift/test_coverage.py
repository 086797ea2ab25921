"""The node tests of the `onnx` wheel, and what of them is refused."""

from __future__ import annotations

import onnx
import pytest

from edgeseg.graph.lift import report
from edgeseg.graph.lift.coverage import node_tests, operators_of
from edgeseg.graph.lift.refused import REFUSED
from edgeseg.graph.lift.registry import CONVERTERS

REFUSED_CASES = {
    "test_batchnorm_epsilon_training_mode": "training mode",
    "test_batchnorm_example_training_mode": "training mode",
    "test_col2im_5d": "images of two axes only",
    "test_training_dropout": "training mode",
    "test_training_dropout_default": "training mode",
    "test_training_dropout_default_mask": "training mode",
    "test_training_dropout_mask": "training mode",
    "test_training_dropout_zero_ratio": "training mode",
    "test_training_dropout_zero_ratio_mask": "training mode",
    "test_roialign_mode_max": "not the largest values",
    "test_identity_opt": "is no tensor",
    "test_identity_sequence": "is no tensor",
}
"""Tests of lifted operators that are refused for another reason than an element type torch lacks."""

NO_TYPE = "torch has no arithmetic for"


@pytest.fixture(scope="module")
def coverage():
    return report()


def test_no_node_test_gives_a_wrong_result(coverage):
    assert coverage.failed == {}


def test_coverage_is_what_the_documentation_says(coverage):
    assert len(coverage.operators) >= 140
    if onnx.__version__ == "1.23.2":
        assert (len(coverage.passed), len(coverage.refused)) == (1212, 670)


def test_node_tests_that_contradict_onnx_runtime(coverage):
    """align_corners with a scale that gives no whole size: the tests divide by the fractional size."""
    assert set(coverage.disputed) == {
        "test_resize_downsample_scales_cubic_align_corners",
        "test_resize_downsample_scales_linear_align_corners",
    }


def test_refusals_of_lifted_operators_are_listed_with_their_reason(coverage):
    ours = {c.name for c in node_tests() if operators_of(c.model) <= set(CONVERTERS)}
    unexpected = {}
    for name, why in coverage.refused.items():
        if name in ours and NO_TYPE not in why and REFUSED_CASES.get(name, "not listed") not in why:
            unexpected[name] = why
    assert not unexpected
    assert set(REFUSED_CASES) <= set(coverage.refused)


def test_every_operator_with_a_converter_has_a_node_test_that_passes(coverage):
    passed = set(coverage.passed)
    proven = set().union(*(operators_of(c.model) for c in node_tests() if c.name in passed))
    assert set(CONVERTERS) - proven == {"GlobalLpPool"}


def test_an_operator_is_lifted_or_refused_on_purpose_not_both():
    assert not set(REFUSED) & set(CONVERTERS)


def test_report_of_chosen_operators():
    chosen = report(["Relu"])
    assert "test_relu" in chosen.passed
    assert "passed" in str(chosen)
