"""torch bundle -> torch bundle with trained weights; interrupted work resumes from its last checkpoint."""

from __future__ import annotations

import shutil

import msgspec

from edgeseg.core.bundle import Bundle, Kind, Manifest, StepRecord, file_sha256
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import Weights
from edgeseg.core.versions import versions
from edgeseg.errors import RecipeError
from edgeseg.steps import Context, Outlook
from edgeseg.training.settings import TrainSettings

NAMES = ("train",)

WEIGHTS = "weights.safetensors"


class Train:
    accepts: tuple[Kind, ...] = ("torch",)
    produces: Kind = "torch"
    settings = TrainSettings

    def require(self, settings: TrainSettings, outlook: Outlook) -> None:
        from edgeseg.training.losses import parse_loss
        from edgeseg.training.tasks import training_of

        if not outlook.labelled:
            raise RecipeError(
                "the step 'train' has no labelled data", hint="add a [data] section with labels to the recipe"
            )
        parse_loss(settings.loss, training_of(outlook.task)).require_teacher(there=False)

    def run(self, parent: Bundle, settings: TrainSettings, draft: BundleDraft, context: Context) -> Manifest:
        from edgeseg.models.load import open_network
        from edgeseg.training.loop import train

        self.require(settings, context.outlook(parent))
        assert context.dataset is not None
        spec = parent.manifest.model
        module = open_network(parent, trusted=context.trusted)
        images, checked = (
            context.seen(context.dataset.split(name).limit(context.limit))
            for name in (context.train, context.validation)
        )
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
                f"trained to {result.card.metric} {100 * result.card.score:.2f} on {context.validation}",
            ),
            tools=versions("torch", "accelerate", "timm", "segmentation-models-pytorch"),
        )


def step(name: str) -> Train:
    return Train()
