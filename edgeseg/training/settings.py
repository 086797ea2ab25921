"""What a training runs with."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseg.core.bounds import FITTING, fits
from edgeseg.core.preprocess import Size
from edgeseg.errors import InputError


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        epochs: passes over the training images; `steps`: optimiser steps instead, when above 0.
        batch: images per optimiser step, over all processes and accumulated parts.
        accumulate: parts a batch is computed in, to save memory.
        lr: highest learning rate; `warmup`: share of the steps it takes to reach it.
        loss: sum of the losses of the task with optional weights, as in `0.5*ce+dice`: of a semantic network
            `ce`, `dice` and `focal`, of a multi-label one `bce`, `dice` and `focal`, of instances
            `rpn_objectness`, `rpn_box`, `classifier`, `box` and `mask`; `distil` and `features` where there
            is a network to learn from. Empty: `ce`, `bce+dice`, or all those of instances.
        crop: (height, width) of training crops; None: the network's input size.
        flip: probability of a horizontal flip.
        scale: range of the random resize.
        color: strength of brightness, contrast and saturation jitter, 0 to 1; of channels that are light, see
            `Frame.light`.
        average: `ema`: exponential moving average of the weights with `ema_decay`; `swa`: plain
            average from `swa_start` (share of the steps) on (Izmailov et al. 2018, arXiv:1803.05407).
        precision: of forward and backward; weights stay float32.
        validate_every: steps between validations, each of which saves the state; 0: once per epoch.
        select: weights that remain: of the validation with the highest score (`best`), or of the `last`,
            where the validation images are too few, or too much alike, to tell which of two weights are
            better.
        half: validate and store these weights as float16.
        workers: processes that prepare images; 0: none.
        track: where curves go: `tensorboard` files, or Weights & Biases (`wandb`; with WANDB_MODE=offline
            they stay in the folder).
    """

    epochs: int = 40
    steps: int = 0
    batch: int = 8
    accumulate: int = 1
    lr: float = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 1e-4
    loss: str = ""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup: float = 0.05
    crop: Size | None = None
    flip: float = 0.5
    scale: tuple[float, float] = (0.75, 1.5)
    color: float = 0.2
    average: Literal["none", "ema", "swa"] = "none"
    ema_decay: float = 0.995
    swa_start: float = 0.75
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    validate_every: int = 0
    select: Literal["best", "last"] = "best"
    half: bool = False
    workers: int = 0
    seed: int = 0
    track: Literal["tensorboard", "wandb"] = "tensorboard"

    def __post_init__(self) -> None:
        for name in ("batch", "accumulate"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("epochs", "steps", "validate_every", "workers", "weight_decay", "seed"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name, most in _MOST.items():
            _require(name, getattr(self, name), getattr(self, name) <= most, f"at most {most:,}")
        for name in ("flip", "color", "warmup", "swa_start"):
            _require(name, getattr(self, name), 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        _require("epochs", self.epochs, bool(self.epochs or self.steps), "at least 1, or steps of at least 1")
        _require("lr", self.lr, self.lr > 0, "a positive number")
        _require("ema_decay", self.ema_decay, 0.0 < self.ema_decay < 1.0, "between 0 and 1")
        small, large = self.scale
        _require(
            "scale",
            self.scale,
            0.0 < small <= large <= MOST_SCALE,
            f"0 < smallest <= largest <= {MOST_SCALE}",
        )
        _require("crop", self.crop, self.crop is None or fits(self.crop), FITTING)
        for name in _CHOICES:
            known = _CHOICES[name]
            _require(name, getattr(self, name), getattr(self, name) in known, f"one of {', '.join(known)}")

    def total_steps(self, images: int) -> int:
        return self.steps or max(1, self.epochs * images // self.batch)

    def validation_interval(self, images: int) -> int:
        return self.validate_every or max(1, images // self.batch)


MOST_SCALE = 16.0
_MOST = {
    "epochs": 1_000_000,
    "steps": 1_000_000_000,
    "validate_every": 1_000_000_000,
    "batch": 65_536,
    "accumulate": 65_536,
    "workers": 256,
    "lr": 1000.0,
    "weight_decay": 1000.0,
    "seed": 2**32 - 1,
}

_CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("poly", "cosine", "constant"),
    "average": ("none", "ema", "swa"),
    "precision": ("fp32", "bf16", "fp16"),
    "select": ("best", "last"),
    "track": ("tensorboard", "wandb"),
}


def _require(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise InputError(f"{name} is {value}", expected=expected, hint=f"change it with --train {name}=...")
