"""What the streets promise beyond their format: masks that fit the picture, lights that differ."""

from __future__ import annotations

import numpy as np

from edgeseg.datasets._street_canvas import CAR, ROAD, SKY, VOID, Camera, Canvas, Chance, Material
from edgeseg.datasets._street_scene import street


def test_sky_is_above_the_road():
    for seed in range(8):
        rows = np.arange(120)[:, None] * np.ones((1, 160))
        label = street((seed,), 120, 160).label
        assert rows[label == SKY].mean() < rows[label == ROAD].mean()
        assert not (label[-1] == SKY).any()


def test_the_picture_follows_the_mask():
    """Across a border of the mask colours change more than inside of a class."""
    across, inside = [], []
    for seed in range(6):
        frame = street((seed, 1), 240, 320)
        step = np.abs(np.diff(frame.image.astype(int), axis=1)).sum(-1)
        border = np.diff(frame.label.astype(int), axis=1) != 0
        across.append(step[border].mean())
        inside.append(step[~border].mean())
    assert np.mean(across) > 2.5 * np.mean(inside)


def test_nearer_shapes_hide_farther_ones():
    camera = Camera(height=60, width=80, focal=80.0, horizon=25.0, center=40.0, above=1.5, bend=0.0, roll=0.0)
    canvas = Canvas(camera)
    canvas.material(Material(SKY, (0, 0, 0)))
    far, near = (canvas.material(Material(kind, (9, 9, 9), z)) for kind, z in ((VOID, 20.0), (CAR, 5.0)))
    for code, z in ((far, 20.0), (near, 5.0)):
        canvas.solid([(-1, 0, z), (1, 0, z), (1, 1.5, z), (-1, 1.5, z)], code)
    row, column = (int(2 * v) for v in reversed(camera.project((0, 0.75, 20.0))))
    assert canvas.codes()[row, column] == near
    assert (canvas.codes() == far).sum() < (canvas.codes() == near).sum()


def test_chance_depends_on_the_whole_seed():
    assert Chance(1, 2).between(0, 1) == Chance(1, 2).between(0, 1)
    assert len({Chance(a, b).between(0, 1) for a in range(3) for b in range(3)}) == 9
