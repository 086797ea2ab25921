"""`verify` in the words of the command line: data by name or path, a folder for the findings."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.bundle import Bundle
from edgeseg.core.documents import writable_folder, write_document
from edgeseg.core.ports import Progress, silent
from edgeseg.core.recipe import Budget, ModelChoice
from edgeseg.datasets.choice import parse_data
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import InputError
from edgeseg.evaluation.verification import require_labels, require_tags
from edgeseg.evaluation.verify import Verification, verify
from edgeseg.flow.data import open_data


def verify_bundle(
    bundle: Path,
    *,
    data: str = "",
    split: str = "val",
    images: str = "",
    limit: int = 0,
    budget: Budget,
    tags: str = "",
    reference: str = "",
    threads: int = 0,
    worst: int = 6,
    output: str = "",
    device: Device = LOCAL,
    progress: Progress = silent,
) -> Verification:
    """Score a bundle on labelled data, or on a folder of images without labels.

    `output` receives the worst frames and `verify.json`. Raises what `verify` raises.
    """
    if bool(data) == bool(images):
        raise InputError(
            "verify got both --data and --images" if data else "verify got neither --data nor --images",
            expected="--data NAME[=ROOT] for labelled images, or --images FOLDER for images without labels",
        )
    dataset = open_data(parse_data(data), ModelChoice(name="")).dataset if data else None
    labelled = dataset is not None and bool(dataset.classes)
    require_labels(budget, labelled=labelled, where=f"--data {data}" if data else f"--images {images}")
    require_tags(budget, tagged=bool(tags))
    Bundle.open(bundle)
    folder = writable_folder(Path(output)) if output else None
    result = verify(
        bundle,
        dataset=dataset,
        split=split,
        images=Path(images) if images else None,
        limit=limit,
        budget=budget,
        tags=Path(tags) if tags else None,
        threads=threads or None,
        worst=worst,
        output=folder,
        reference=Path(reference) if reference else None,
        device=device,
        progress=progress,
    )
    if folder is not None:
        write_document(folder / "verify.json", result)
    return result
