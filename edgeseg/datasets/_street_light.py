"""Time of day, weather and shadows of a street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edgeseg.datasets._street_canvas import Camera, Chance, Color, World


@dataclass(frozen=True)
class Light:
    """Time of day and weather. Colours are 0-255, factors are relative to plain daylight."""

    name: str
    zenith: Color
    haze: Color
    sun: Color
    exposure: float
    fog: float
    shadow: float
    clouds: float
    warm_side: float

    @property
    def night(self) -> bool:
        return self.name == "night"


def daylight(chance: Chance) -> Light:
    """A time of day: noon, overcast, dusk, fog or night."""
    name = chance.pick(("noon",) * 7 + ("overcast",) * 6 + ("dusk",) * 3 + ("fog",) * 2 + ("night",) * 2)
    cast = tuple(chance.between(0.93, 1.07) for _ in range(3))
    side = chance.pick((-1.0, 1.0)) * chance.between(0.1, 0.3)

    def tint(color: Color) -> Color:
        return color[0] * cast[0], color[1] * cast[1], color[2] * cast[2]

    if name == "noon":
        zenith = chance.near((92, 140, 200), 24)
        return Light(
            name,
            zenith,
            (200, 214, 226),
            tint((1.08, 1.04, 0.96)),
            chance.between(0.9, 1.3),
            0.001,
            chance.between(0.35, 0.6),
            chance.between(0, 0.7),
            side,
        )
    if name == "overcast":
        grey = chance.between(165, 230)
        sky = chance.near((grey, grey, grey + 6), 8)
        return Light(
            name,
            sky,
            sky,
            tint((0.98, 1.0, 1.03)),
            chance.between(0.7, 1.1),
            0.002,
            chance.between(0.05, 0.2),
            0.35,
            side * 0.3,
        )
    if name == "dusk":
        return Light(
            name,
            chance.near((96, 96, 140), 20),
            chance.near((236, 170, 120), 24),
            tint((1.2, 0.94, 0.76)),
            chance.between(0.5, 0.85),
            0.003,
            chance.between(0.3, 0.55),
            chance.between(0.2, 0.7),
            side * 1.3,
        )
    if name == "fog":
        grey = chance.between(170, 215)
        return Light(
            name,
            (grey, grey, grey),
            (grey, grey, grey),
            tint((1.0, 1.0, 1.0)),
            chance.between(0.8, 1.05),
            chance.between(0.012, 0.03),
            0.05,
            0.1,
            side * 0.2,
        )
    return Light(
        name,
        (22, 26, 44),
        chance.near((58, 50, 58), 14),
        tint((0.86, 0.92, 1.12)),
        chance.between(0.3, 0.5),
        0.002,
        0.1,
        0.3,
        side * 0.3,
    )


class Shadows:
    """Shadows on the ground, drawn in metres."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._image = Image.new("L", (camera.width, camera.height))
        self._draw = ImageDraw.Draw(self._image)

    def patch(self, points: list[World]) -> None:
        self._draw.polygon([c for p in points for c in self._camera.project(p)], fill=255)

    def blob(self, x: float, z: float, wide: float, long: float) -> None:
        u, v = self._camera.project((x, 0, z))
        w = self._camera.pixels(wide, z)
        h = self._camera.focal * self._camera.above * (1 / max(1.0, z - long) - 1 / (z + long)) / 2
        self._draw.ellipse((u - w, v - h, u + w, v + h), fill=255)

    def mask(self) -> Any:
        """float32 [H,W], 0..1."""
        soft = self._image.filter(ImageFilter.BoxBlur(1))
        return np.asarray(soft, np.float32) / np.float32(255)
