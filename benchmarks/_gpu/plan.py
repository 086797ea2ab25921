"""What is to be found out: which targets, which rivals, which pairs take turns."""

from __future__ import annotations

from typing import NamedTuple

from edgeseg.core.target import Target

GPU_TARGETS = (
    "trt-fp16",
    "trt-int8",
    "rtx-fp16",
    "rtx-int8",
    "ort-fp16@cuda",
    "ort-fp32@cuda",
    "trt-fp32",
    "rtx-fp32",
)
"""The most telling first: the last ones may find no time."""


class Rival(NamedTuple):
    """The network in PyTorch.

    Attributes:
        dtype: as torch names it.
        compiled: with `torch.compile`, on a GPU with CUDA graphs (`reduce-overhead`).
    """

    name: str
    dtype: str
    compiled: bool


EAGER = Rival("torch eager fp32", "float32", False)
GPU_RIVALS = (
    EAGER,
    Rival("torch eager fp16", "float16", False),
    Rival("torch.compile fp16", "float16", True),
)
CPU_RIVALS = (EAGER, Rival("torch.compile fp32", "float32", True))
"""No half precision: many CPUs have none."""


def on_gpu(target: str) -> bool:
    parsed = Target.parse(target)
    return parsed.engine in ("trt", "rtx") or any(h.startswith("cuda") for h in parsed.hardware)


def rivals(targets: tuple[str, ...]) -> tuple[Rival, ...]:
    return GPU_RIVALS if any(map(on_gpu, targets)) else CPU_RIVALS


def int8_pairs(targets: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(float, int8) of each engine: half precision where it is there, else float32."""
    pairs = []
    for int8 in (t for t in targets if Target.parse(t).precision == "int8"):
        floats = (int8.replace("int8", precision, 1) for precision in ("fp16", "bf16", "fp32"))
        pairs += [(name, int8) for name in floats if name in targets][:1]
    return tuple(pairs)


def rival_pairs(targets: tuple[str, ...], rival: Rival) -> tuple[tuple[str, str], ...]:
    return tuple((rival.name, target) for target in targets)
