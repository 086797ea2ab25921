from __future__ import annotations

import itertools

import pytest

from edgeseg.core.verdict import Verdict, combine

ORDER = ("pass", "unmeasured", "unjudged", "invalid", "fail")


@pytest.mark.parametrize("pair", list(itertools.product(ORDER, repeat=2)))
def test_the_most_severe_wins_in_either_order(pair):
    combined = combine(tuple(Verdict(status=s) for s in pair))
    assert combined.status == max(pair, key=ORDER.index)


def test_reasons_of_all_are_kept_in_order():
    verdicts = (
        Verdict(status="pass", reasons=("size ok",)),
        Verdict(status="fail", reasons=("mIoU drops", "pole drops")),
    )
    assert combine(verdicts) == Verdict(status="fail", reasons=("size ok", "mIoU drops", "pole drops"))


def test_nothing_measured_is_not_a_pass():
    assert combine(()).status == "unmeasured"
    assert combine(()).reasons


@pytest.mark.parametrize(
    ("status", "code"), [("pass", 0), ("unmeasured", 0), ("fail", 1), ("invalid", 3), ("unjudged", 4)]
)
def test_exit_codes(status, code):
    assert Verdict(status=status).exit_code == code


def test_only_a_limit_without_an_answer_can_be_allowed():
    assert [Verdict(status=s, reasons=("why",)).allowed().status for s in ORDER] == [
        "pass", "unmeasured", "unmeasured", "invalid", "fail",
    ]  # fmt: skip
    assert Verdict(status="unjudged", reasons=("why",)).allowed().reasons == ("why",)
