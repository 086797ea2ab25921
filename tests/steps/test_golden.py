from __future__ import annotations

from edgeseg.steps._golden import golden_count


def test_golden_frames_hold_the_pixels_of_four_images_and_fill_batches():
    assert [golden_count(1, size) for size in ((360, 480), (1024, 1024), (1024, 2048), (2048, 2048))] == [
        4, 4, 3, 3,
    ]  # fmt: skip
    for height in range(64, 4096, 64):
        images = golden_count(1, (height, height))
        assert images * height**2 >= min(4 * height**2, 4 * 1024**2) and images >= 3
    assert [golden_count(batch, (360, 480)) for batch in (2, 4, 5, 8)] == [5, 7, 4, 7]
    assert [golden_count(batch, (2048, 2048)) for batch in (2, 4, 5, 8)] == [3, 3, 4, 7]
