"""Composing one street: camera, road, the two sides, traffic; then paint it and take the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgeseg.datasets import _street_scenery as scenery
from edgeseg.datasets import _street_traffic as traffic
from edgeseg.datasets._street_canvas import BUILDING, SKY, VOID, Camera, Canvas, Chance, Material, World
from edgeseg.datasets._street_light import Light, Shadows, daylight
from edgeseg.datasets._street_render import labels, render


@dataclass(frozen=True)
class Frame:
    """image uint8 [H,W,3] RGB, label uint8 [H,W], instances uint16 [H,W]."""

    image: Any
    label: Any
    instances: Any


def street(seed: tuple[int, ...], height: int, width: int) -> Frame:
    """The street of a seed."""
    scene = _Scene(Chance(*seed), height, width)
    scene.compose()
    image = render(scene.canvas, scene.shadows, scene.light, scene.lamps, scene.chance)
    label, instances = labels(scene.canvas)
    return Frame(image, label, instances)


class _Scene:
    def __init__(self, chance: Chance, height: int, width: int) -> None:
        self.chance = chance
        self.light: Light = daylight(chance)
        self.city = chance.yes(0.6)
        self.lanes = chance.count(2, 4)
        self.walk = chance.between(1.6, 3.4) if self.city or chance.yes(0.6) else 0.0
        lane = chance.between(2.8, 3.5)
        own = chance.count(0, self.lanes - 1)
        self.left = -(own + 0.5) * lane + chance.between(-0.4, 0.4)
        self.right = self.left + self.lanes * lane
        self.camera = Camera(
            height=height,
            width=width,
            focal=width * chance.between(0.75, 1.15),
            horizon=height * chance.between(0.36, 0.5),
            center=width * chance.between(0.36, 0.64),
            above=chance.between(1.25, 2.1),
            bend=chance.between(-1, 1) * chance.pick((0.0, 0.0006, 0.002)),
            roll=chance.between(-0.02, 0.02),
        )
        self.canvas = Canvas(self.camera)
        self.shadows = Shadows(self.camera)
        self.lamps: list[World] = []
        self._paint: list[tuple[float, Callable[[], None]]] = []

    def compose(self) -> None:
        self.canvas.material(Material(SKY, (128, 128, 128), 500.0))
        scenery.backdrop(self.canvas, self.chance)
        road = scenery.ground(self.canvas, self.chance, self.left, self.right, self.walk, self.city)
        scenery.markings(self.canvas, self.chance, self.left, self.right, self.lanes, road)
        for side in (-1.0, 1.0):
            self._houses(side)
            self._roadside(side)
        self._traffic()
        for _, paint in sorted(self._paint, key=lambda item: -item[0]):
            paint()
        if self.chance.yes(0.2):
            self._bonnet()

    def _add(self, z: float, paint: Callable[[], None]) -> None:
        self._paint.append((z, paint))

    def _kerb(self, side: float) -> float:
        return self.left if side < 0 else self.right

    def _edge(self, side: float, metres: float) -> float:
        """x at `metres` beyond the kerb."""
        return self._kerb(side) + side * metres

    def _houses(self, side: float) -> None:
        chance, canvas = self.chance, self.canvas
        setback = self.walk + (chance.between(0.2, 1.5) if self.city else chance.between(3, 8))
        lit = (
            (240, 200, 130)
            if self.light.night
            else chance.pick(((62, 70, 80), (104, 122, 140), (150, 172, 192)))
        )
        window = Material(BUILDING, lit, rough=0.1, glow=self.light.night)
        facing = 1 + self.light.warm_side * side
        z = chance.between(-4, 5)
        while z < 110:
            long = chance.between(7, 20)
            if chance.yes(0.86 if self.city else 0.5):
                x = self._edge(side, setback + chance.between(0, 1.0))
                tall = chance.between(6, 20) if self.city else chance.between(3.5, 8)
                end = z + long
                self._add(end, partial(scenery.block, canvas, chance, x, side, z, end, tall, facing, window))
                self._cast(side, x, max(z, 1.5), end, tall)
            elif chance.yes(0.7):
                self._tree(self._edge(side, setback + chance.between(1, 6)), max(4.0, z + long / 2))
            z += long + (chance.between(0, 2) if self.city else chance.between(2, 12))

    def _cast(self, side: float, x: float, near: float, far: float, tall: float) -> None:
        """The shadow of a house, on the side the sun stands."""
        if self.light.warm_side * side >= -0.02:
            return
        reach = x - side * tall * 0.55
        self.shadows.patch([(x, 0, near), (x, 0, far), (reach, 0, far + 3), (reach, 0, near + 3)])

    def _tree(self, x: float, z: float, bush: bool = False) -> None:
        self._add(z, lambda: scenery.tree(self.canvas, self.chance, x, z, bush))
        if not bush:
            self.shadows.blob(x - (1.5 if self.light.warm_side > 0 else -1.5), z, 2.0, 1.6)

    def _roadside(self, side: float) -> None:
        chance, canvas = self.chance, self.canvas
        gap = chance.between(9, 22)
        kind = chance.pick(("trees", "bushes", "none", "none"))
        z = chance.between(5, 14)
        while z < 75:
            if kind != "none":
                beyond = chance.between(0.9, 1.8) if self.walk else chance.between(1, 4)
                self._tree(self._edge(side, beyond), z + chance.between(-2, 2), kind == "bushes")
            z += gap * chance.between(0.5, 1.2)
        if chance.yes(0.75):
            spacing = chance.between(13, 26)
            z = chance.between(5, 16)
            while z < 80:
                self._add(z, partial(self._lamp, self._edge(side, 0.5), z, side))
                z += spacing
        for _ in range(chance.count(0, 3)):
            z, x = chance.between(5, 20), self._edge(side, chance.between(0.4, 1.3))
            self._add(z, partial(scenery.sign, canvas, chance, x, z))
        if self.city and chance.yes(0.35):
            z, x = chance.between(5, 30), self._edge(side, chance.between(0.5, 1.5))
            self._add(z, partial(traffic.bin_box, canvas, chance, x, z))
        for _ in range(chance.count(1, 5) if self.city else chance.count(0, 2)):
            self._pedestrian(
                self._edge(side, chance.between(0.3, max(1.2, self.walk))), chance.between(4, 18)
            )

    def _lamp(self, x: float, z: float, side: float) -> None:
        self.lamps.append(scenery.lamp_post(self.canvas, self.chance, x, z, side, self.light.night))

    def _pedestrian(self, x: float, z: float) -> None:
        self.shadows.blob(x, z, 0.4, 0.25)
        self._add(z, lambda: traffic.pedestrian(self.canvas, self.chance, x, z))

    def _traffic(self) -> None:
        chance = self.chance
        lane = (self.right - self.left) / self.lanes
        for index in range(self.lanes):
            middle = self.left + (index + 0.5) * lane
            oncoming = index < self.lanes / 2 and self.lanes > 1
            z = chance.between(5, 30)
            while z < 90:
                if chance.yes(0.55) and not (abs(middle) < 1.5 and z < 8):
                    self._car(middle + chance.between(-0.4, 0.4), z, False, oncoming)
                z += chance.between(9, 28)
        for side in (-1.0, 1.0):
            if chance.yes(0.45):
                z = chance.between(5, 14)
                while z < 60:
                    if chance.yes(0.6):
                        self._car(self._edge(side, -1.0), z, False, chance.yes(0.2))
                    z += chance.between(5.6, 9)
        if chance.yes(0.2):
            self._car(chance.between(self.left, self.right), chance.between(14, 40), True, chance.yes(0.5))
        for _ in range(chance.pick((0, 0, 0, 1, 2))):
            self._pedestrian(chance.between(self.left, self.right), chance.between(6, 18))
        for _ in range(chance.pick((0, 1, 1, 2, 2, 3))):
            self._cyclist()

    def _car(self, x: float, z: float, crossing: bool, oncoming: bool) -> None:
        night = self.light.night
        if crossing:
            self.shadows.blob(x, z + 0.9, 2.6, 1.2)
        else:
            self.shadows.patch(
                [
                    (x - 1.05, 0, z - 0.25),
                    (x + 1.05, 0, z - 0.25),
                    (x + 1.05, 0, z + 4.6),
                    (x - 1.05, 0, z + 4.6),
                ]
            )
        self._add(z, lambda: traffic.car(self.canvas, self.chance, x, z, crossing, oncoming, night))

    def _cyclist(self) -> None:
        chance = self.chance
        side, z = chance.pick((-1.0, 1.0)), chance.between(4, 16)
        x = self._edge(side, chance.between(-1.6, 0.3))
        sideways = chance.yes(0.4)
        if sideways:
            x = chance.between(self.left, self.right)
        self.shadows.blob(x, z, 0.8 if sideways else 0.35, 0.3)
        self._add(z, lambda: traffic.cyclist(self.canvas, chance, x, z, sideways))

    def _bonnet(self) -> None:
        """The camera car's own bonnet: void."""
        height, width = self.camera.height, self.camera.width
        code = self.canvas.material(Material(VOID, self.chance.near((60, 64, 70), 30), 1.0, rough=0.03))
        rise = self.chance.between(0.03, 0.08) * height
        outline = [
            (0.0, height - rise * 0.4),
            (width * 0.2, height - rise),
            (width * 0.8, height - rise),
            (float(width), height - rise * 0.4),
        ]
        self.canvas.polygon([*outline, (float(width), height + 1.0), (0.0, height + 1.0)], code)
