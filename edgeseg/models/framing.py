"""Which frames a network reads: what is stated, what its weights take, what the data holds; in this order."""

from __future__ import annotations

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess, stated_preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError

USUAL = (3, 1)
"""Channels of the images that most networks take."""


def preprocess_of(choice: ModelChoice, default: Preprocess, frame: Frame | None = None) -> Preprocess:
    """The pixel contract as the user states it.

    Args:
        default: what he does not state; `frame`: what the frames are where he states none.
    """
    return stated_preprocess(choice.preprocess, default, frame=frame, error=ModelError)


def stated_frame(choice: ModelChoice) -> Frame | None:
    """The frame that the user states."""
    fields = {name: value for name, value in choice.preprocess.items() if name == "frame"}
    return stated_preprocess(fields, error=ModelError).frame if fields else None


def candidates(stated: Frame | None, held: Frame | None, takes: int | None = None) -> tuple[Frame, ...]:
    """What a network is tried on, each with another number of channels.

    Args:
        held: by the data; `takes`: input channels of the network, where it tells.
    """
    if stated is not None:
        return (stated,)
    if takes is not None:
        return (Frame.fitting(takes, held),)
    numbers = (*((held.channels,) if held else ()), *USUAL)
    return tuple(Frame.fitting(channels, held) for channels in dict.fromkeys(numbers))
