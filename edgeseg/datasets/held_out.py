"""Which images decide between plans: neither those that calibrate nor those that validate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeseg.core.ports import Progress, silent
from edgeseg.core.samples import require_disjoint
from edgeseg.datasets import Dataset
from edgeseg.datasets.calibration import open_list, spread
from edgeseg.datasets.split import Split
from edgeseg.errors import DataError


def held_out_images(
    dataset: Dataset,
    split: str,
    taken: tuple[Split, ...],
    *,
    count: int,
    listed: Path | None = None,
    progress: Progress = silent,
) -> Split:
    """The images of a list, or at most `count` of a split, evenly spread over what is left of it.

    Args:
        taken: images that calibrate or validate.
        listed: must share no image with `taken`, not even a near-duplicate; of a split, those are left out.

    Raises:
        DataError: nothing is left, no such split, or a list that does not fit.
    """
    if listed is not None:
        chosen = open_list(listed, dataset, progress)
        for other in taken:
            require_disjoint(chosen.sample_list(progress), other.sample_list(progress))
        return chosen
    source = dataset.split(split)
    used = {name for other in taken if other.name == source.name for name in other.ids}
    chosen = spread(replace(source, ids=tuple(name for name in source.ids if name not in used)), count)
    samples = chosen.sample_list(progress)
    near = {pair[0] for other in taken for pair in samples.overlap(other.sample_list(progress))}
    chosen = replace(chosen, ids=tuple(name for name in chosen.ids if name not in near))
    if not len(chosen):
        raise DataError(
            f"no image of {source.dataset}/{source.name} is left to compare plans on: {len(used)} of "
            f"{len(source)} calibrate, and the rest nearly equals images that calibrate or validate",
            expected="held-out images beside the calibration images",
            hint="calibrate with fewer images, or name a list of held-out images",
        )
    return chosen
