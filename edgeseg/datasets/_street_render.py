"""From a material map to a camera picture: light, fog, optics, noise and JPEG.

Pixels are computed with additions, products, divisions and square roots only, which IEEE 754 rounds
the same way on every machine.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from edgeseg.datasets._street_canvas import SKY, SUPERSAMPLING, Camera, Canvas, Chance, World
from edgeseg.datasets._street_light import Light, Shadows

_TILE = 512


@lru_cache(maxsize=2)
def _texture(octaves: int = 4) -> Any:
    """A tile of fractal value noise, float32 [512,512] around 0, within about -1..1."""
    chance = Chance(20_240_511)
    total = np.zeros((_TILE, _TILE), np.float32)
    for octave, weight in ((8, 0.5), (32, 0.45), (128, 0.5), (512, 0.5))[:octaves]:
        grid = chance.array(octave, octave) * 2.0 - 1.0
        wrapped = np.pad(grid, ((0, 1), (0, 1)), mode="wrap")
        at = np.arange(_TILE, dtype=np.float32) * (octave / _TILE)
        low = at.astype(np.intp)
        part = at - low
        rows = wrapped[low] * (1 - part)[:, None] + wrapped[low + 1] * part[:, None]
        total += weight * (rows[:, low] * (1 - part) + rows[:, low + 1] * part)
    return total


def render(canvas: Canvas, shadows: Shadows, light: Light, lamps: list[World], chance: Chance) -> Any:
    """The picture, uint8 [H,W,3] RGB."""
    camera = canvas.camera
    full = canvas.codes()
    codes = full[1::SUPERSAMPLING, 1::SUPERSAMPLING]
    kinds, colors, depths, rough, ground, glow = _tables(canvas)
    base = Image.fromarray(colors[full]).reduce(SUPERSAMPLING)
    picture = np.asarray(base, np.float32)

    below = np.arange(camera.height, dtype=np.float32) - np.float32(camera.horizon)
    row_depth = np.float32(camera.focal * camera.above) / np.maximum(below, np.float32(0.7))
    on_ground = ground[codes]
    depth = np.where(on_ground, row_depth[:, None], depths[codes])

    level = 1 + rough[codes] * _grain(camera, depth, row_depth, on_ground, chance)
    level *= 1 - np.float32(light.shadow) * (shadows.mask() * on_ground)
    level *= _unevenness(camera, chance)
    exposure = np.full(codes.shape, np.float32(light.exposure))
    if light.night:
        exposure += _lamps(camera, lamps) + _headlights(camera, row_depth, on_ground)
        exposure = np.where(glow[codes], np.float32(1.0), exposure)
    picture = picture * (level * exposure)[..., None] * np.array(light.sun, np.float32)
    clear = 1 / (1 + depth * np.float32(light.fog)) ** 2
    haze = np.array(light.haze, np.float32)
    picture = haze + (picture - haze) * clear[..., None]
    sky = kinds[codes] == SKY
    picture = np.where(sky[..., None], _sky(camera, light, chance), picture)
    return _camera_effects(picture, chance, light.night)


def labels(canvas: Canvas) -> tuple[Any, Any]:
    """Class ids uint8 [H,W] and instance ids uint16 [H,W], 0 where there is no instance."""
    codes = canvas.codes()[1::SUPERSAMPLING, 1::SUPERSAMPLING]
    kinds = np.array([m.kind for m in canvas.materials], np.uint8)
    instances = np.array([m.instance for m in canvas.materials], np.uint16)
    return kinds[codes], instances[codes]


def _tables(canvas: Canvas) -> tuple[Any, ...]:
    kinds, colors, depths, _, rough, ground, glow = zip(*canvas.materials, strict=True)
    return (
        np.array(kinds, np.uint8),
        np.array(colors, np.float32).astype(np.uint8),
        np.array(depths, np.float32),
        np.array(rough, np.float32),
        np.array(ground, bool),
        np.array(glow, bool),
    )


def _grain(camera: Camera, depth: Any, row_depth: Any, on_ground: Any, chance: Chance) -> Any:
    """Texture per pixel: in metres on the ground, in pixels scaled by depth on what stands."""
    tile = _texture()
    shift = chance.count(0, _TILE - 1)
    columns = np.arange(camera.width, dtype=np.float32)
    rows = np.arange(camera.height, dtype=np.float32)
    across = (columns - np.float32(camera.center)) * (row_depth / np.float32(camera.focal))[:, None]
    along = np.minimum(row_depth, 80) * 12
    zoom = np.minimum(np.float32(0.6) + depth / np.float32(14), 5)
    x = np.where(on_ground, across * 40 + 8192, columns * zoom).astype(np.int32)
    y = np.where(on_ground, along[:, None], rows[:, None] * zoom).astype(np.int32)
    return tile[(y + shift) & (_TILE - 1), (x + shift) & (_TILE - 1)]


def _unevenness(camera: Camera, chance: Chance) -> Any:
    """Slow changes of brightness over the picture, and vignetting."""
    grid = Image.fromarray(chance.array(4, 5)).resize(
        (camera.width, camera.height), Image.Resampling.BILINEAR
    )
    y = np.linspace(-1, 1, camera.height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, camera.width, dtype=np.float32)
    falloff = np.float32(chance.between(0, 0.16))
    strength = np.float32(chance.between(0.05, 0.4))
    return (1 + strength * (np.asarray(grid) - np.float32(0.5))) * (1 - falloff * (x * x + y * y))


def _lamps(camera: Camera, lamps: list[World]) -> Any:
    """Light around the nearest lamps."""
    total = np.zeros((camera.height, camera.width), np.float32)
    columns = np.arange(camera.width, dtype=np.float32)
    rows = np.arange(camera.height, dtype=np.float32)[:, None]
    for lamp in sorted(lamps, key=lambda p: p[2])[:4]:
        u, v = camera.project(lamp)
        size = np.float32(camera.pixels(3.0, lamp[2]))
        dx, dy = (columns - np.float32(u)) / size, (rows - np.float32(v)) / size
        total += np.float32(0.55) / (1 + dx * dx + dy * dy)
    return total


def _headlights(camera: Camera, row_depth: Any, on_ground: Any) -> Any:
    columns = np.arange(camera.width, dtype=np.float32)
    across = (columns - np.float32(camera.center)) * (row_depth / np.float32(camera.focal))[:, None]
    beam = np.float32(0.6) / (1 + (across / 3) ** 2) / (1 + (row_depth / 14) ** 2)[:, None]
    return np.where(on_ground, beam, beam * np.float32(0.6))


def _sky(camera: Camera, light: Light, chance: Chance) -> Any:
    """Gradient from haze to zenith, with clouds; float32 [H,W,3]."""
    tile = _texture(2)
    shift = chance.count(0, _TILE - 1)
    height = np.clip(
        1 - np.arange(camera.height, dtype=np.float32) / np.float32(max(camera.horizon, 1)), 0, 1
    )
    up = height[:, None]
    rows = ((np.arange(camera.height) * 0.9).astype(np.int32) + shift)[:, None] & (_TILE - 1)
    columns = ((np.arange(camera.width) * 0.4).astype(np.int32) + shift) & (_TILE - 1)
    cloud = np.clip(tile[rows, columns] + np.float32(light.clouds - 0.2), 0, 1) * np.float32(
        min(1.0, 1.6 * light.clouds)
    )
    haze, zenith = np.array(light.haze, np.float32), np.array(light.zenith, np.float32)
    clear = haze + (zenith - haze) * (up * (2 - up))[..., None]
    white = np.minimum(haze + 24, 250)
    sky = clear + (white - clear) * cloud[..., None]
    return sky if light.night else sky * np.float32(min(1.08, 0.65 + 0.4 * light.exposure))


def _camera_effects(picture: Any, chance: Chance, night: bool) -> Any:
    """Contrast, blur, sensor noise and JPEG."""
    contrast, brightness = chance.between(0.82, 1.15), chance.between(-12, 12)
    picture = (picture - 118) * np.float32(contrast) + np.float32(118 + brightness)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    blur = chance.pick((0.0, 0.0, 0.4, 0.7, 0.9))
    if blur:
        image = image.filter(ImageFilter.BoxBlur(blur))
    if chance.yes(0.12):
        image = image.filter(_MOTION)
    noise = chance.between(5, 16) if night else chance.between(1, 11)
    grain = chance.array(*picture.shape[:2], 3) - chance.array(*picture.shape[:2], 1)
    noisy = np.asarray(image, np.float32) + grain * np.float32(noise * 1.4)
    pixels = np.clip(noisy + np.float32(0.5), 0, 255).astype(np.uint8)
    return _jpeg(pixels, chance.count(45, 92)) if chance.yes(0.6) else pixels


_MOTION = ImageFilter.Kernel((5, 5), (0,) * 10 + (1,) * 5 + (0,) * 10)


def _jpeg(pixels: Any, quality: int) -> Any:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))
