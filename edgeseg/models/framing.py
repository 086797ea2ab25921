"""Which frames a network reads: what is stated, what its weights take, what the data holds; in this order."""

from __future__ import annotations

from edgeseg.core.frame import Frame
from edgeseg.core.preprocess import Preprocess, stated_preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError

GRAY = Frame(order="gray")
_ORDERS = {1: "gray", 3: "rgb"}


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


def frame_of(channels: int, held: Frame | None = None) -> Frame:
    """What a network of so many input channels reads: the frames `held` by the data where they have as many,
    else rgb, gray, or channels without names."""
    if held is not None and held.channels == channels:
        return held
    return Frame(order=_ORDERS.get(channels, str(channels)))


def candidates(stated: Frame | None, held: Frame | None, takes: int | None = None) -> tuple[Frame, ...]:
    """What a network is tried on, each with another number of channels.

    Args:
        held: by the data; `takes`: input channels of the network, where it tells.
    """
    if stated is not None:
        return (stated,)
    if takes is not None:
        return (frame_of(takes, held),)
    by_channels = {frame.channels: frame for frame in (GRAY, Frame(), held) if frame is not None}
    order = dict.fromkeys(frame.channels for frame in (held, Frame(), GRAY) if frame is not None)
    return tuple(by_channels[channels] for channels in order)


def unstated(frame: Frame, held: Frame | None) -> tuple[str, ...]:
    """A note where frames that nobody stated are not the usual ones."""
    if frame == Frame():
        return ()
    reason = (
        "as the images of the data are"
        if frame == held
        else f"since the network takes {frame.channels} channel(s)"
    )
    return (f"frames are {frame}, {reason}; state others with --set frame=ORDER:DTYPE",)
