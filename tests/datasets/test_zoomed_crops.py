from __future__ import annotations

import numpy as np

from edgeseg.datasets.split import Split
from edgeseg.datasets.zoomed_crops import ZOOMED, with_zoomed_crops


def ramp(name: str) -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:60].astype(np.uint8)
    return np.stack([rows, columns, np.full_like(rows, int(name))], axis=-1)


def test_enlarged_parts_come_after_the_images_with_labels_that_fit() -> None:
    split = Split("x", "train", ("1", "2"), (), None, ramp, lambda name: ramp(name)[..., 0])
    both = with_zoomed_crops(split)
    assert both.ids == ("1", "2", f"1{ZOOMED}", f"2{ZOOMED}")
    assert (both.image(1) == ramp("2")).all()
    for index in (2, 3):
        image, label = both.image(index), both.read_label(both.ids[index])
        assert image.shape == (40, 60, 3) and label.shape == (40, 60)
        assert 0.35 * 40 < np.ptp(image[..., 0]) < 0.75 * 40
        assert np.abs(image[..., 0].astype(int) - label).max() <= 1
        assert (image[..., 2] == index - 1).all()
        assert (image == with_zoomed_crops(split).image(index)).all()
    assert (both.image(2)[..., :2] != both.image(3)[..., :2]).any()
