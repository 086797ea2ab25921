"""Painting a street into a map of materials, one integer code per pixel.

Shapes are drawn far to near as flat codes at twice the frame size; colour, class, instance and
depth of a pixel then follow from its code by table look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageDraw

T = TypeVar("T")
Color = tuple[float, float, float]
Point = tuple[float, float]
World = tuple[float, float, float]
"""Metres: x right of the camera, y above the ground, z ahead."""

ROAD, MARKING, BUILDING, VEGETATION, SKY, POLE, SIGN, CAR, PEDESTRIAN, CYCLIST = range(10)
VOID = 255
SUPERSAMPLING = 2


class Chance:
    """Draws that depend on nothing but the seed: all come from the uniform stream of PCG64."""

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def count(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._generator.random() * (high - low + 1))

    def yes(self, probability: float) -> bool:
        return float(self._generator.random()) < probability

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self._generator.random() * len(choices))]

    def array(self, *shape: int) -> Any:
        """float32, uniform in [0, 1)."""
        return self._generator.random(shape, dtype=np.float32)

    def near(self, color: Color, spread: float) -> Color:
        """A colour near another; channels move together for half of the spread."""
        grey = self.between(-spread, spread)
        shifted = tuple(min(255.0, max(0.0, c + grey + self.between(-spread, spread) / 2)) for c in color)
        return shifted[0], shifted[1], shifted[2]


def shade(color: Color, factor: float) -> Color:
    return min(255.0, color[0] * factor), min(255.0, color[1] * factor), min(255.0, color[2] * factor)


class Material(NamedTuple):
    """What a code stands for.

    `rough` is the amplitude of the texture; `ground` surfaces lie flat and take shadows; `glow` surfaces
    shine at night; `depth` in metres.
    """

    kind: int
    color: Color
    depth: float = 0.0
    instance: int = 0
    rough: float = 0.08
    ground: bool = False
    glow: bool = False


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the road, in pixels of the frame; `bend` curves the road (x += bend z^2)."""

    height: int
    width: int
    focal: float
    horizon: float
    center: float
    above: float
    bend: float
    roll: float

    def project(self, point: World) -> Point:
        x, y, z = point
        u = self.center + self.focal * (x / z + self.bend * z)
        v = self.horizon + self.focal * (self.above - y) / z
        return u, v + self.roll * (u - self.width / 2)

    def pixels(self, metres: float, z: float) -> float:
        """How long something at distance z appears."""
        return self.focal * metres / z


class Canvas:
    """The material map being painted. Drawing takes frame pixels or, with `solid`, metres."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.materials: list[Material] = []
        self.instances = 0
        size = (camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
        self._image = Image.new("I", size)
        self._draw = ImageDraw.Draw(self._image)

    def material(self, material: Material) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def new_instance(self) -> int:
        self.instances += 1
        return self.instances

    def polygon(self, points: Iterable[Point], code: int) -> None:
        flat = [c * SUPERSAMPLING for point in points for c in point]
        self._draw.polygon(flat, fill=code)

    def solid(self, points: Iterable[World], code: int) -> None:
        self.polygon([self.camera.project(p) for p in points], code)

    def ellipse(self, u: float, v: float, width: float, height: float, code: int) -> None:
        """An upright ellipse around (u, v) with the given half axes."""
        s = SUPERSAMPLING
        self._draw.ellipse(((u - width) * s, (v - height) * s, (u + width) * s, (v + height) * s), fill=code)

    def line(self, points: Sequence[Point], width: float, code: int) -> None:
        scaled = [(u * SUPERSAMPLING, v * SUPERSAMPLING) for u, v in points]
        self._draw.line(scaled, fill=code, width=max(1, round(width * SUPERSAMPLING)), joint="curve")

    def ring(self, u: float, v: float, radius: float, width: float, code: int) -> None:
        s = SUPERSAMPLING
        box = ((u - radius) * s, (v - radius) * s, (u + radius) * s, (v + radius) * s)
        self._draw.ellipse(box, outline=code, width=max(1, round(width * s)))

    def codes(self) -> Any:
        """int32 [2H,2W]."""
        return np.asarray(self._image)
