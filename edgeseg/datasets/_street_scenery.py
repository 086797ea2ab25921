"""The parts of a street that stand still: ground, markings, houses, plants, poles and signs."""

from __future__ import annotations

from edgeseg.datasets._street_canvas import (
    BUILDING,
    MARKING,
    POLE,
    ROAD,
    SIGN,
    VEGETATION,
    VOID,
    Canvas,
    Chance,
    Color,
    Material,
    World,
    shade,
)

FAR = 260.0
_STEPS = (FAR, 120.0, 70.0, 45.0, 30.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5, 2.5, 1.8, 1.2)

FACADES: tuple[Color, ...] = (
    (150, 140, 128), (176, 158, 132), (146, 96, 80), (122, 122, 126), (196, 190, 178), (104, 92, 86),
    (168, 130, 98), (128, 142, 152), (112, 122, 100), (206, 178, 140), (88, 96, 110), (158, 168, 178),
)  # fmt: skip
LEAVES: tuple[Color, ...] = (
    (62, 88, 42),
    (84, 104, 50),
    (50, 74, 48),
    (106, 108, 52),
    (122, 92, 50),
    (70, 96, 70),
)
WHITE, YELLOW, RED, BLUE = (216, 216, 208), (206, 172, 66), (176, 36, 40), (40, 74, 150)


def strip(left: float, right: float, near: float = 0.0, far: float = FAR, y: float = 0.0) -> list[World]:
    """Outline of a band on the ground between two x, along the bend of the road."""
    steps = [far, *(z for z in _STEPS if near < z < far), max(near, _STEPS[-1])]
    return [(left, y, z) for z in steps] + [(right, y, z) for z in reversed(steps)]


def ground(canvas: Canvas, chance: Chance, left: float, right: float, walk: float, city: bool) -> Color:
    """Verges or pavement, then the road between the x of its two kerbs. Returns the colour of the road."""
    grey = chance.between(72, 132)
    road = chance.near((grey, grey, grey * chance.between(0.96, 1.05)), 6)
    grass = chance.near(chance.pick(((92, 108, 58), (110, 112, 66), (126, 114, 78))), 12)
    stone = chance.near(chance.pick(((148, 144, 138), (128, 122, 118), (158, 140, 126))), 14)
    verge = (
        Material(VOID, stone, rough=0.09, ground=True)
        if city
        else Material(VEGETATION, grass, rough=0.3, ground=True)
    )
    canvas.solid(strip(-90, 90), canvas.material(verge))
    pavement = canvas.material(Material(VOID, stone, rough=0.09, ground=True))
    kerb = canvas.material(Material(VOID, shade(stone, 1.15), rough=0.05, ground=True))
    for edge, outward in ((left, -1.0), (right, 1.0)):
        if walk > 0:
            canvas.solid(strip(edge, edge + outward * walk), pavement)
        canvas.solid(strip(edge, edge + outward * 0.18), kerb)
    canvas.solid(strip(left, right), canvas.material(Material(ROAD, road, rough=0.1, ground=True)))
    for _ in range(chance.count(0, 5)):
        patch = canvas.material(
            Material(ROAD, chance.near(shade(road, chance.between(0.7, 1.25)), 5), ground=True)
        )
        x, z = chance.between(left, right - 0.6), chance.between(4, 40)
        x_end = min(right, x + chance.between(0.25, 2.2))
        canvas.solid(strip(x, x_end, z, z + chance.between(1.0, 14.0)), patch)
    return road


def markings(canvas: Canvas, chance: Chance, left: float, right: float, lanes: int, road: Color) -> None:
    """Edge lines, dashes between lanes and sometimes a zebra crossing; worn paint is close to the road."""
    wear = chance.between(0.0, 0.5)
    paint = YELLOW if chance.yes(0.15) else WHITE
    color = tuple(p * (1 - wear) + r * wear for p, r in zip(paint, road, strict=True))
    code = canvas.material(
        Material(MARKING, (color[0], color[1], color[2]), rough=0.14 + 0.2 * wear, ground=True)
    )
    width = chance.between(0.12, 0.2)
    if chance.yes(0.7):
        canvas.solid(strip(left + 0.25, left + 0.25 + width), code)
        canvas.solid(strip(right - 0.25 - width, right - 0.25), code)
    dash, gap, start = chance.between(1.5, 5), chance.between(2, 6), chance.between(0, 5)
    for lane in range(1, lanes):
        x = left + (right - left) * lane / lanes
        if chance.yes(0.25):
            canvas.solid(strip(x - width / 2, x + width / 2), code)
            continue
        z = start
        while z < 70:
            canvas.solid(strip(x - width / 2, x + width / 2, z, z + dash), code)
            z += dash + gap
    if chance.yes(0.35):
        z, x = chance.between(6, 22), left + 0.5
        while x < right - 0.6:
            canvas.solid(strip(x, x + 0.5, z, z + 3.0), code)
            x += 1.0


def block(
    canvas: Canvas,
    chance: Chance,
    x: float,
    side: float,
    near: float,
    far: float,
    height: float,
    light: float,
    window: Material,
) -> None:
    """A house beside the road: the wall along the road at `x`, and the end wall that faces the camera."""
    color = chance.near(chance.pick(FACADES), 16)
    depth = (near + far) / 2
    near = max(near, 1.3)
    if far <= near:
        return
    back = x + side * chance.between(8, 16)
    rough = chance.between(0.05, 0.14)
    end = canvas.material(Material(BUILDING, shade(color, 1.75 - light), near, rough=rough))
    wall = canvas.material(Material(BUILDING, shade(color, light), depth, rough=rough))
    if chance.yes(0.35):
        roof = canvas.material(Material(BUILDING, chance.near((96, 62, 54), 20), depth, rough=0.12))
        top = height + chance.between(1.5, 3.5)
        middle = (x + back) / 2
        canvas.solid([(x, height, near), (middle, top, near), (middle, top, far), (x, height, far)], roof)
        canvas.solid([(x, height, near), (middle, top, near), (back, height, near)], end)
    canvas.solid([(x, 0, near), (back, 0, near), (back, height, near), (x, height, near)], end)
    canvas.solid([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], wall)
    _windows(canvas, chance, x, near, far, height, window._replace(depth=depth))
    if chance.yes(0.4):
        _shop_front(canvas, chance, x, near, far, depth)


def _windows(
    canvas: Canvas, chance: Chance, x: float, near: float, far: float, height: float, window: Material
) -> None:
    floor, bay = chance.between(2.8, 3.6), chance.between(2.2, 4.2)
    tall, wide = chance.between(1.1, 2.0), bay * chance.between(0.35, 0.75)
    code = canvas.material(window._replace(color=chance.near(window.color, 14)))
    dark = canvas.material(window._replace(color=shade(window.color, 0.6), glow=False))
    z = near + (bay - wide) / 2
    while z + wide < far:
        if abs(canvas.camera.project((x, 0, z))[0] - canvas.camera.project((x, 0, z + wide))[0]) < 1.0:
            break
        y = 0.9
        while y + tall < height:
            quad = [(x, y, z), (x, y, z + wide), (x, y + tall, z + wide), (x, y + tall, z)]
            canvas.solid(quad, code if chance.yes(0.7) else dark)
            y += floor
        z += bay


def _shop_front(canvas: Canvas, chance: Chance, x: float, near: float, far: float, depth: float) -> None:
    """A coloured board over the ground floor: as bright as a sign, and part of the building."""
    z = chance.between(near, (near + far) / 2)
    end = min(far, z + chance.between(2, 6))
    board = canvas.material(
        Material(BUILDING, chance.near(chance.pick((RED, BLUE, YELLOW, WHITE)), 40), depth)
    )
    canvas.solid([(x, 2.6, z), (x, 2.6, end), (x, 3.3, end), (x, 3.3, z)], board)


def backdrop(canvas: Canvas, chance: Chance) -> None:
    """Tree line, hills or a skyline far away, along the whole horizon."""
    camera = canvas.camera
    trees = chance.yes(0.55)
    color = chance.near(chance.pick(LEAVES if trees else FACADES), 12)
    code = canvas.material(
        Material(VEGETATION if trees else BUILDING, color, 150.0, rough=0.2 if trees else 0.1)
    )
    base = camera.horizon + 3 + abs(camera.roll) * camera.width / 2
    u = -2.0
    outline = [(u, base)]
    while u < camera.width + 2:
        step = chance.between(3, 9) if trees else chance.between(8, 34)
        top = camera.horizon - chance.between(0.01, 0.05 if trees else 0.11) * camera.height
        outline += [(u, top), (u + step, top if not trees else top + chance.between(-2, 2))]
        u += step
    canvas.polygon([*outline, (u, base)], code)


def tree(canvas: Canvas, chance: Chance, x: float, z: float, bush: bool = False) -> None:
    """A crown of many small ellipses in several tones, on a trunk unless it is a bush."""
    radius = chance.between(0.6, 1.1) if bush else chance.between(1.4, 2.9)
    rise = radius * 0.6 if bush else chance.between(2.2, 3.4) + radius
    leaf = chance.near(chance.pick(LEAVES), 14)
    if not bush:
        bark = canvas.material(Material(VEGETATION, chance.near((78, 66, 56), 16), z, rough=0.2))
        half = chance.between(0.1, 0.22)
        canvas.solid(
            [(x - half, 0, z), (x + half, 0, z), (x + half * 0.7, rise, z), (x - half * 0.7, rise, z)], bark
        )
    tones = [
        canvas.material(Material(VEGETATION, shade(leaf, t), z, rough=0.32)) for t in (0.62, 0.82, 1.0, 1.25)
    ]
    size = canvas.camera.pixels(radius, z)
    u, v = canvas.camera.project((x, rise, z))
    count = int(min(110, 18 + size * 1.6))
    spots = chance.array(count, 4) * 2.0 - 1.0
    for i, (du, dv, tone, grow) in enumerate(spots.tolist()):
        reach = 1.0 - 0.35 * (du * du + dv * dv) / 2
        leafy = size * (0.16 + 0.07 * grow) if i > count // 5 else size * 0.42
        level = min(3, max(0, int(1.6 - dv * 1.1 + tone * 1.1)))
        canvas.ellipse(
            u + du * size * 0.8 * reach, v + dv * size * 0.8 * reach, leafy, leafy * 0.85, tones[level]
        )


def lamp_post(canvas: Canvas, chance: Chance, x: float, z: float, side: float, night: bool) -> World:
    """A post with an arm over the road. Returns the place of its lamp."""
    color = chance.near(chance.pick(((92, 94, 96), (62, 66, 64), (130, 130, 126))), 12)
    code = canvas.material(Material(POLE, color, z, rough=0.05))
    height, half = chance.between(5.0, 8.0), chance.between(0.09, 0.15)
    canvas.solid(
        [(x - half, 0, z), (x + half, 0, z), (x + half * 0.7, height, z), (x - half * 0.7, height, z)], code
    )
    arm = x - side * chance.between(0.8, 1.8)
    canvas.solid(
        [(x, height - 0.12, z), (arm, height + 0.1, z), (arm, height + 0.25, z), (x, height + 0.03, z)], code
    )
    head = canvas.material(Material(POLE, (250, 226, 170) if night else shade(color, 1.3), z, glow=night))
    canvas.solid(
        [
            (arm - 0.35, height, z),
            (arm + 0.35, height, z),
            (arm + 0.2, height + 0.28, z),
            (arm - 0.2, height + 0.28, z),
        ],
        head,
    )
    return arm, height, z


def sign(canvas: Canvas, chance: Chance, x: float, z: float) -> None:
    """A traffic sign, a direction board or a signal, on its own pole."""
    post = canvas.material(Material(POLE, chance.near((122, 124, 126), 22), z, rough=0.04))
    height, half = chance.between(2.2, 3.0), chance.between(0.05, 0.08)
    canvas.solid([(x - half, 0, z), (x + half, 0, z), (x + half, height, z), (x - half, height, z)], post)
    number = canvas.new_instance()
    size = chance.between(0.36, 0.55)

    def board(color: Color) -> int:
        return canvas.material(Material(SIGN, chance.near(color, 16), z, number, 0.04))

    u, v = canvas.camera.project((x, height, z))
    r = canvas.camera.pixels(size, z)
    shape = chance.pick(("ring", "triangle", "round", "board", "signal"))
    if shape == "ring":
        canvas.ellipse(u, v, r, r, board(RED))
        canvas.ellipse(u, v, r * 0.68, r * 0.68, board(WHITE))
    elif shape == "triangle":
        canvas.polygon([(u, v - r), (u + r, v + r * 0.75), (u - r, v + r * 0.75)], board(RED))
        canvas.polygon(
            [(u, v - r * 0.45), (u + r * 0.52, v + r * 0.48), (u - r * 0.52, v + r * 0.48)], board(WHITE)
        )
    elif shape == "round":
        canvas.ellipse(u, v, r, r, board(chance.pick((BLUE, RED))))
        canvas.polygon(
            [
                (u - r * 0.6, v - r * 0.16),
                (u + r * 0.6, v - r * 0.16),
                (u + r * 0.6, v + r * 0.16),
                (u - r * 0.6, v + r * 0.16),
            ],
            board(WHITE),
        )
    elif shape == "board":
        wide = r * chance.between(1.3, 2.4)
        canvas.polygon(
            [(u - wide, v - r), (u + wide, v - r), (u + wide, v + r), (u - wide, v + r)],
            board(chance.pick((BLUE, YELLOW, (36, 106, 74)))),
        )
        canvas.polygon(
            [
                (u - wide * 0.7, v - r * 0.3),
                (u + wide * 0.6, v - r * 0.3),
                (u + wide * 0.6, v),
                (u - wide * 0.7, v),
            ],
            board(WHITE),
        )
    else:
        canvas.polygon(
            [
                (u - r * 0.6, v - r * 1.6),
                (u + r * 0.6, v - r * 1.6),
                (u + r * 0.6, v + r),
                (u - r * 0.6, v + r),
            ],
            board((40, 42, 44)),
        )
        lit, color = chance.pick(((-1.1, (236, 60, 50)), (-0.3, (240, 180, 60)), (0.5, (70, 220, 130))))
        canvas.ellipse(u, v + lit * r, r * 0.34, r * 0.34, board(color))
