"""The pixel contract of a network of instances: labels decide, and without them nothing is claimed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from spots import SIZE, Spots, spots_bundle

from edgeseg.calibration.contract import contract_test
from edgeseg.calibration.network import open_network


@pytest.fixture
def tested(tmp_path):
    """(labels?, fields of the contract) -> its test."""

    def run(labelled=True, **fields):
        bundle = spots_bundle(tmp_path, target="ort-fp32")
        network = open_network(str(bundle), None, "", SIZE, trust_file=False, progress=lambda *_: None)
        contract = msgspec.structs.replace(network.spec.preprocess, **fields)
        network = replace(network, spec=msgspec.structs.replace(network.spec, preprocess=contract))
        images = Spots(count=5).split("train")
        return contract_test(network, images if labelled else replace(images, classes=()), lambda *_: None)

    return run


def test_labels_find_swapped_colours_out(tested):
    result = tested(color="bgr")
    assert not result.fits and result.metric == "mask AP"
    assert "(--set color=rgb)" in result.verdict and result.trials[0].certainty is None


def test_the_right_contract_fits(tested):
    result = tested()
    assert result.fits and result.trials[0].score > 80 and result.trials[0].agreement == 100
    swapped = next(trial for trial in result.trials if trial.change == "swapping colours")
    assert swapped.score < result.trials[0].score


def test_without_labels_nothing_is_claimed(tested):
    result = tested(labelled=False)
    assert result.fits and not result.labelled and result.unit == "thing"
    assert result.verdict.startswith(
        "without labels nothing says whether the contract fits; swapping colours"
    )
    assert result.verdict.endswith("% of the things; test it on labelled images")
