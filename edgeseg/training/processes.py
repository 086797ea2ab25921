"""Accelerate: one process or, under `accelerate launch`, several; mixed precision; accumulation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgeseg.errors import InputError, MissingDependency
from edgeseg.training.settings import TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

_NAMES = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Where launchers tell a process its number, in the order in which Accelerate reads them."""


def first_process() -> bool:
    """Whether this is the process of a training that writes, known before Accelerate is started."""
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


def accelerator_for(settings: TrainSettings) -> Accelerator:
    """An Accelerator for these settings, on the GPU if there is one.

    Raises:
        InputError: this device cannot train in that precision.
        MissingDependency: accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState
        from accelerate.utils import GradientAccumulationPlugin
    except ModuleNotFoundError as fault:
        raise MissingDependency(fault.name or "accelerate", "train", needed_for="training") from fault
    # Accelerate keeps precision and accumulation of the first training for the life of the process.
    AcceleratorState._reset_state()
    GradientState._reset_state()
    parts = GradientAccumulationPlugin(num_steps=settings.accumulate, sync_with_dataloader=False)
    try:
        accelerator = Accelerator(
            mixed_precision=_NAMES[settings.precision], gradient_accumulation_plugin=parts
        )
    except ValueError as fault:
        raise _refused(settings.precision, str(fault)) from fault
    if settings.precision == "fp16" and accelerator.scaler is None:
        raise _refused(settings.precision, "without loss scaling, gradients vanish in float16")
    return accelerator


def _refused(precision: str, reason: str) -> InputError:
    return InputError(
        f"this device cannot train in {precision}: {reason}", hint="use --train precision=bf16 or fp32"
    )
