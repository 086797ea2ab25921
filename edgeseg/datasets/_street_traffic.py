"""What moves in a street: cars, pedestrians, cyclists. And bins, which are void."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from edgeseg.datasets._street_canvas import (
    CAR,
    CYCLIST,
    PEDESTRIAN,
    VOID,
    Canvas,
    Chance,
    Color,
    Material,
    Point,
    World,
    shade,
)

PAINTS: tuple[Color, ...] = (
    (190, 192, 194), (222, 222, 220), (52, 54, 58), (98, 102, 108), (124, 34, 34), (40, 58, 104),
    (136, 140, 142), (76, 84, 68), (168, 150, 116), (34, 36, 40), (70, 104, 132), (160, 88, 40),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (42, 44, 52), (70, 74, 84), (120, 112, 104), (150, 52, 48), (58, 78, 118), (172, 166, 158),
    (88, 76, 60), (70, 92, 62), (196, 150, 60), (34, 34, 36), (140, 140, 146), (106, 60, 92),
)  # fmt: skip
SKIN: tuple[Color, ...] = ((206, 164, 138), (164, 118, 92), (112, 78, 60), (222, 184, 160))
GLASS = (58, 66, 76)

_HATCHBACK = ((0.0, 0.3), (0.0, 0.95), (0.12, 1.45), (0.6, 1.45), (0.78, 0.98), (1.0, 0.85), (1.0, 0.3))
_SALOON = (
    (0.0, 0.3),
    (0.0, 0.92),
    (0.14, 1.0),
    (0.28, 1.42),
    (0.62, 1.42),
    (0.78, 0.96),
    (1.0, 0.84),
    (1.0, 0.3),
)
_VAN = ((0.0, 0.3), (0.0, 1.1), (0.02, 2.0), (0.78, 2.0), (0.9, 1.15), (1.0, 1.0), (1.0, 0.3))
_LORRY = ((0.0, 0.4), (0.0, 1.4), (0.0, 3.0), (0.8, 3.0), (0.82, 2.4), (1.0, 1.5), (1.0, 0.4))
_SHAPES = ((_HATCHBACK, 3.9, 1.75), (_SALOON, 4.5, 1.8), (_VAN, 4.9, 1.95), (_LORRY, 7.0, 2.4))


def car(
    canvas: Canvas, chance: Chance, x: float, z: float, crossing: bool, oncoming: bool, night: bool
) -> None:
    """A car with its middle at `x` and its near end at `z`; `crossing` cars show their side."""
    profile, length, width = chance.pick(_SHAPES[:3] if chance.yes(0.9) else _SHAPES)
    paint = chance.near(chance.pick(PAINTS), 14)
    number = canvas.new_instance()

    def code(color: Color, glow: bool = False) -> int:
        return canvas.material(Material(CAR, color, z, number, 0.05, glow=glow))

    body, top, dark = code(paint), code(shade(paint, 1.2)), code((28, 28, 30))
    glass, flank = code(chance.near(GLASS, 14)), code(shade(paint, chance.between(0.65, 0.9)))
    flip = oncoming
    side = -0.5 if x > 0 else 0.5

    def place(along: float, across: float, y: float) -> World:
        along = 1 - along if flip else along
        if crossing:
            return x + (along - 0.5) * length, y, z + (across + 0.5) * width
        return x + across * width, y, z + along * length

    pieces = list(pairwise(profile))
    for (a, low), (b, high) in pieces if flip else reversed(pieces):
        sloped = abs(high - low) > 0.3 and a != b
        quad = [place(a, -0.5, low), place(b, -0.5, high), place(b, 0.5, high), place(a, 0.5, low)]
        canvas.solid(quad, glass if sloped else top if a != b else body)
    if not crossing:
        _end_face(canvas, code, place, profile, flip, night, dark)
    near_side = -0.5 if crossing else side
    if crossing or abs(x) > width / 2:
        canvas.solid([place(a, near_side, y) for a, y in profile], flank)
        _side_windows(canvas, place, profile, near_side, glass)
        for axle in (0.18, 0.8):
            wheel = [(axle + 0.32 / length * math.cos(t), 0.32 + 0.32 * math.sin(t)) for t in _ROUND]
            canvas.solid([place(a, near_side, y) for a, y in wheel], dark)


_ROUND = tuple(i * math.pi / 5 for i in range(10))


def _end_face(
    canvas: Canvas,
    code: Callable[..., int],
    place: Callable[..., World],
    profile: tuple[Point, ...],
    flip: bool,
    night: bool,
    dark: int,
) -> None:
    """Wheels, bumper and lamps of the end that faces the camera."""
    end = 1.0 if flip else 0.0
    rim = [y for a, y in profile if a == end]
    low, high = min(rim), max(rim)
    for left, right, bottom in ((-0.46, -0.3, 0.0), (-0.3, 0.3, 0.6 * low), (0.3, 0.46, 0.0)):
        canvas.solid(
            [
                place(end, left, bottom),
                place(end, right, bottom),
                place(end, right, low),
                place(end, left, low),
            ],
            dark,
        )
    canvas.solid(
        [
            place(end, -0.5, low),
            place(end, 0.5, low),
            place(end, 0.5, low + 0.18),
            place(end, -0.5, low + 0.18),
        ],
        dark,
    )
    lamp = code((250, 246, 220) if flip else (196, 40, 36), glow=night)
    for across in (-0.48, 0.26):
        y = high - 0.3
        canvas.solid(
            [
                place(end, across, y),
                place(end, across + 0.22, y),
                place(end, across + 0.22, y + 0.18),
                place(end, across, y + 0.18),
            ],
            lamp,
        )


def _side_windows(
    canvas: Canvas, place: Callable[..., World], profile: tuple[Point, ...], side: float, glass: int
) -> None:
    roof = max(y for _, y in profile)
    upper = [a for a, y in profile if y == roof]
    start, end, sill = min(upper), max(upper), 0.66 * roof
    for a, b in ((start, (start + end) / 2 - 0.015), ((start + end) / 2 + 0.015, end + 0.06)):
        quad = [
            place(a - 0.03, side, sill),
            place(b, side, sill),
            place(b - 0.03, side, roof - 0.1),
            place(a, side, roof - 0.1),
        ]
        canvas.solid(quad, glass)


class _Figure:
    """Paints one person in metres around its own foot point."""

    def __init__(self, canvas: Canvas, x: float, z: float, kind: int) -> None:
        self.canvas, self.x, self.z, self.kind = canvas, x, z, kind
        self.number = canvas.new_instance()

    def code(self, color: Color, rough: float = 0.08) -> int:
        return self.canvas.material(Material(self.kind, color, self.z, self.number, rough))

    def shape(self, points: list[Point], code: int) -> None:
        self.canvas.solid([(self.x + dx, y, self.z) for dx, y in points], code)

    def limb(self, points: list[Point], width: float, code: int) -> None:
        path = [self.canvas.camera.project((self.x + dx, y, self.z)) for dx, y in points]
        self.canvas.line(path, self.canvas.camera.pixels(width, self.z), code)

    def disc(self, dx: float, y: float, width: float, height: float, code: int) -> None:
        u, v = self.canvas.camera.project((self.x + dx, y, self.z))
        scale = self.canvas.camera.pixels(1.0, self.z)
        self.canvas.ellipse(u, v, width * scale, height * scale, code)

    def ring(self, dx: float, y: float, radius: float, width: float, code: int) -> None:
        u, v = self.canvas.camera.project((self.x + dx, y, self.z))
        scale = self.canvas.camera.pixels(1.0, self.z)
        self.canvas.ring(u, v, radius * scale, width * scale, code)


def pedestrian(canvas: Canvas, chance: Chance, x: float, z: float) -> None:
    figure = _Figure(canvas, x, z, PEDESTRIAN)
    tall = chance.between(1.5, 1.9)
    k = tall / 1.75
    stride = chance.between(0.02, 0.3) * k
    broad = chance.between(0.19, 0.27) * k
    coat = figure.code(chance.near(chance.pick(CLOTHES), 16))
    legs = figure.code(chance.near(chance.pick(CLOTHES), 12))
    skin = figure.code(chance.near(chance.pick(SKIN), 10))
    hair = figure.code(chance.near(chance.pick(((40, 32, 28), (92, 72, 48), (150, 140, 130))), 10))
    for step in (-stride, stride):
        figure.limb([(step * 0.25, 0.88 * k), (step * 0.7, 0.45 * k), (step, 0.03)], 0.15 * k, legs)
    hem = chance.between(0.55, 0.85) * k
    figure.shape(
        [
            (-broad * 0.8, hem),
            (-broad, 1.38 * k),
            (-broad * 0.5, 1.5 * k),
            (broad * 0.5, 1.5 * k),
            (broad, 1.38 * k),
            (broad * 0.8, hem),
        ],
        coat,
    )
    for arm in (-1.0, 1.0):
        swing = chance.between(-0.12, 0.16)
        figure.limb(
            [
                (arm * broad, 1.36 * k),
                (arm * (broad + 0.05) + swing / 2, 1.08 * k),
                (arm * broad + swing, 0.85 * k),
            ],
            0.1 * k,
            coat,
        )
    figure.disc(0, 1.62 * k, 0.1 * k, 0.13 * k, hair)
    figure.disc(0, 1.59 * k, 0.08 * k, 0.1 * k, skin)
    if chance.yes(0.3):
        bag = figure.code(chance.near(chance.pick(CLOTHES), 20))
        side = chance.pick((-1.0, 1.0)) * (broad + 0.06)
        figure.shape(
            [(side - 0.12, 0.6 * k), (side + 0.12, 0.6 * k), (side + 0.1, 0.95 * k), (side - 0.1, 0.95 * k)],
            bag,
        )


def cyclist(canvas: Canvas, chance: Chance, x: float, z: float, sideways: bool) -> None:
    """Rider and bicycle, seen from behind or from the side."""
    figure = _Figure(canvas, x, z, CYCLIST)
    frame = figure.code(
        chance.near(chance.pick(((36, 36, 40), (150, 40, 40), (60, 90, 140), (190, 190, 186))), 14)
    )
    tyre = figure.code(chance.near((40, 40, 42), 10))
    shirt = figure.code(chance.near(chance.pick(CLOTHES), 18))
    legs = figure.code(chance.near(chance.pick(CLOTHES), 12))
    skin = figure.code(chance.near(chance.pick(SKIN), 10))
    helmet = figure.code(chance.near(chance.pick((*CLOTHES, (230, 230, 226), (226, 96, 40))), 14))
    if not sideways:
        figure.limb([(0, 0.68), (0, 0.0)], 0.09, tyre)
        for leg, knee in ((-0.12, chance.between(0.5, 0.75)), (0.12, chance.between(0.45, 0.7))):
            figure.limb([(leg * 0.8, 1.0), (leg * 1.5, knee), (leg, knee - 0.38)], 0.15, legs)
        figure.limb([(-0.3, 1.02), (0.3, 1.02)], 0.05, frame)
        figure.shape(
            [(-0.17, 0.88), (-0.24, 1.42), (-0.12, 1.54), (0.12, 1.54), (0.24, 1.42), (0.17, 0.88)], shirt
        )
        for arm in (-1.0, 1.0):
            figure.limb([(arm * 0.22, 1.42), (arm * 0.32, 1.18), (arm * 0.28, 1.02)], 0.09, shirt)
        figure.disc(0, 1.64, 0.1, 0.12, skin)
        figure.disc(0, 1.7, 0.12, 0.1, helmet)
        return
    way = chance.pick((-1.0, 1.0))
    for wheel in (-0.52, 0.52):
        figure.ring(wheel, 0.34, 0.34, 0.06, tyre)
    figure.limb(
        [(-0.52 * way, 0.34), (0, 0.36), (0.4 * way, 0.78), (-0.12 * way, 0.8), (0, 0.36)], 0.06, frame
    )
    figure.limb([(0.52 * way, 0.34), (0.38 * way, 0.95)], 0.06, frame)
    for pedal in (-0.12, 0.12):
        figure.limb([(-0.16 * way, 0.95), (0.16 * way + pedal, 0.75), (pedal, 0.28 + pedal)], 0.14, legs)
    figure.limb([(-0.16 * way, 0.95), (0.12 * way, 1.4)], 0.3, shirt)
    figure.limb([(0.1 * way, 1.36), (0.24 * way, 1.12), (0.4 * way, 1.0)], 0.09, shirt)
    figure.disc(0.22 * way, 1.6, 0.1, 0.12, skin)
    figure.disc(0.21 * way, 1.66, 0.13, 0.09, helmet)


def bin_box(canvas: Canvas, chance: Chance, x: float, z: float) -> None:
    """A bin, box or cabinet: clutter that is not scored."""
    color = chance.near(chance.pick(((70, 76, 72), (120, 112, 96), (60, 90, 66), (150, 150, 146))), 16)
    wide, tall = chance.between(0.25, 0.5), chance.between(0.6, 1.3)
    front = canvas.material(Material(VOID, color, z))
    lid = canvas.material(Material(VOID, shade(color, 0.7), z))
    canvas.solid([(x - wide, 0, z), (x + wide, 0, z), (x + wide, tall, z), (x - wide, tall, z)], front)
    canvas.solid(
        [(x - wide, tall, z), (x + wide, tall, z), (x + wide, tall + 0.12, z), (x - wide, tall + 0.12, z)],
        lid,
    )
