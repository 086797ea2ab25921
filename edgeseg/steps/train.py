"""torch bundle -> torch bundle with trained weights; interrupted work resumes from its last checkpoint."""

from __future__ import annotations

import shutil

import msgspec

from edgeseg.core.bundle import Bundle, Kind, Manifest, StepRecord, file_sha256
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import Weights
from edgeseg.core.versions import versions
from edgeseg.errors import RecipeError
from edgeseg.steps import Context
from edgeseg.training.settings import TrainSettings

NAMES = ("train",)

WEIGHTS = "weights.safetensors"


class Train:
    accepts: tuple[Kind, ...] = ("torch",)
    produces: Kind = "torch"
    settings = TrainSettings

    def run(self, parent: Bundle, settings: TrainSettings, draft: BundleDraft, context: Context) -> Manifest:
        from edgeseg.models.load import open_network
        from edgeseg.training.loop import train

        if context.dataset is None:
            raise RecipeError("the step 'train' has no data", hint="add a [data] section to the recipe")
        spec = parent.manifest.model
        module = open_network(parent, trust_file=context.trust_file)
        images = context.dataset.split(context.train).limit(context.limit)
        checked = context.dataset.split(context.validation).limit(context.limit)
        result = train(module, images, checked, spec, settings, context.work, context.progress, resume=True)
        shutil.copyfile(result.weights, draft.path / WEIGHTS)
        weights = Weights(file=WEIGHTS, sha256=file_sha256(draft.path / WEIGHTS))
        return Manifest(
            kind="torch",
            name=parent.manifest.name,
            model=msgspec.structs.replace(spec, weights=weights),
            weights=WEIGHTS,
            step=StepRecord(name="train"),
            notes=(
                *(parent.manifest.notes if spec.weights else ()),
                f"trained to mIoU {100 * result.card.miou:.2f} on {context.validation}",
            ),
            tools=versions("torch", "accelerate", "timm", "segmentation-models-pytorch"),
        )


def step(name: str) -> Train:
    return Train()
