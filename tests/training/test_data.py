from __future__ import annotations

import msgspec
import pytest

from edgeseg.errors import InputError
from edgeseg.training.data import Share, StepSampler, share_of
from edgeseg.training.settings import TrainSettings

SETTINGS = TrainSettings(batch=4, seed=3)


def keys(settings: TrainSettings, share: Share, start: int = 0, stop: int = 6) -> list[list[tuple[int, int]]]:
    return list(StepSampler(10, settings, share, start, stop))


def test_every_epoch_shows_every_image_once():
    flat = [key for part in keys(SETTINGS, Share(0, 1, 4), 0, 5) for key in part]
    assert sorted(flat) == [(epoch, index) for epoch in range(2) for index in range(10)]
    assert [i for _, i in flat[:10]] != list(range(10))


def test_a_resumed_run_sees_the_rest():
    assert keys(SETTINGS, Share(0, 1, 4), 2, 6) == keys(SETTINGS, Share(0, 1, 4))[2:]


@pytest.mark.parametrize(("processes", "accumulate"), [(2, 1), (1, 2), (2, 2), (4, 1)])
def test_any_split_of_the_batch_holds_the_same_images(processes: int, accumulate: int):
    settings = msgspec.structs.replace(SETTINGS, accumulate=accumulate)
    parts = [keys(settings, share_of(settings, rank, processes)) for rank in range(processes)]
    for step, whole in enumerate(keys(SETTINGS, Share(0, 1, 4))):
        shown = [k for p in parts for part in p[step * accumulate : (step + 1) * accumulate] for k in part]
        assert sorted(shown) == sorted(whole)


def test_a_batch_that_cannot_be_split_says_the_next_that_can():
    with pytest.raises(InputError, match="batch of 4 cannot be split over 3") as caught:
        share_of(SETTINGS, 0, 3)
    assert "--train batch=6" in caught.value.hint
