"""What is found in images, folders and videos, as overlays to look at and masks to work with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.core.cache import engine_cache
from edgeseg.core.exclusive import alone
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.whole import hidden_beside
from edgeseg.datasets.drawing import blend, fractions, gather_masks, write_mask, write_picture
from edgeseg.datasets.framed import as_frame, as_picture
from edgeseg.datasets.images import ImageFiles, image_files
from edgeseg.datasets.resizing import Resizing, chunks, unsure
from edgeseg.errors import InputError
from edgeseg.prediction.video import VIDEOS, VideoReader, copying
from edgeseg.runtime import load


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """One image or one video.

    Attributes:
        source: name of the image or video; `frames`: 1, or how many the video has.
        overlay, mask: names of the files in the output folder; empty where none was written.
        fractions: share of the pixels of each class, the mean over the frames of a video.
    """

    source: str
    frames: int = 1
    overlay: str
    mask: str = ""
    fractions: dict[str, float]


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        gathered: name of the file in the output folder that holds what was found in all images; empty where
            the task has no such file.
    """

    bundle: str
    target: str
    output: str
    results: tuple[Predicted, ...]
    gathered: str = ""
    notes: tuple[str, ...] = ()


def predict(
    bundle_path: Path,
    source: Path,
    output: Path,
    *,
    alpha: float = 0.5,
    masks: bool = True,
    threads: int | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Segment `source` with the engine of a bundle.

    Writes `<name>.overlay.png` (colours over the image) and `<name>.mask.png` (class ids or bit masks, with
    the colours as palette; bit masks of more than 16 classes as `<name>.mask.npy`; of things JSON of COCO,
    `<name>.mask.json`, and `instances.json` of all images) for each image, and `<name>.overlay.mp4` for a
    video. Masks have the size of the image, or of the part of it that the network
    sees. The files appear in `output` when all is done; a failure leaves nothing there.

    Args:
        source: an image, a folder of images (flat), or a video (needs OpenCV).
        output: a folder; made if missing, files of the same name in it are replaced.
        alpha: strength of the colours, 0 to 1.

    Raises:
        DataError: nothing to read in `source`, or a file that cannot be decoded.
        InputError: alpha out of range, `output` is a file, or another process predicts into it.
        BundleError, EngineMismatch, MissingDependency, MissingDevice: from opening the bundle.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InputError(f"alpha is {alpha}", expected="between 0 (image only) and 1 (colours only)")
    video = source.suffix.lower() in VIDEOS
    files = None if video else image_files(source)
    if video:
        VideoReader(source).close()
    with _appearing(output) as folder, load(bundle_path, threads=threads, cache=engine_cache()) as session:
        spec, record = session.spec, session.bundle.engine
        resizing = Resizing(unsure(session), spec, record.fixed_size)
        job = _Job(resizing, spec, record.frames_at_once, folder, alpha, progress)
        results: tuple[Predicted, ...]
        notes: tuple[str, ...] = ()
        if files is None:
            result, notes = job.video(source)
            results = (result,)
        else:
            results = job.images(files, masks)
        written = [one.mask for one in results if one.mask]
        return Prediction(
            bundle=session.bundle.manifest.name,
            target=record.target,
            output=str(output),
            results=results,
            gathered=gather_masks(folder, written, spec),
            notes=(*session.notes, *resizing.notes(), *notes),
        )


@dataclass(frozen=True)
class _Job:
    """What it takes to turn frames into files."""

    resizing: Resizing
    spec: ModelSpec
    batch: int
    folder: Path
    alpha: float
    progress: Progress

    def images(self, files: ImageFiles, masks: bool) -> tuple[Predicted, ...]:
        names = _result_names(files)
        results: list[Predicted] = []
        for indexes in chunks(range(len(files)), self.batch):
            self.progress("segmenting", indexes[0], len(files))
            images = [as_frame(files.image(i), self.spec.preprocess.frame, files.ids[i]) for i in indexes]
            for index, image, found in zip(indexes, images, self.resizing(images)):
                results.append(self._image(files.ids[index], names[index], image, found, masks))
        self.progress("segmenting", len(files), len(files))
        return tuple(results)

    def _image(self, source: str, name: str, image: Array, found: Any, masks: bool) -> Predicted:
        overlay = f"{name}.overlay.png"
        write_picture(self.folder / overlay, self._overlaid(image, found))
        mask = write_mask(self.folder, f"{name}.mask", found, self.spec, source) if masks else ""
        return Predicted(source=source, overlay=overlay, mask=mask, fractions=fractions(found, self.spec))

    def _overlaid(self, image: Array, found: Any) -> Array:
        """The whole image, with colours on the part that the network sees."""
        shown = as_picture(image, self.spec.preprocess.frame)
        part = self.resizing.part((image.shape[0], image.shape[1]))
        if part is None:
            return blend(shown, found, self.spec, self.alpha)
        whole = shown.copy()
        whole[part] = blend(shown[part], found, self.spec, self.alpha)
        return whole

    def video(self, source: Path) -> tuple[Predicted, tuple[str, ...]]:
        overlay = f"{source.stem}.overlay.mp4"
        sums = dict.fromkeys(self.spec.class_names, 0.0)
        done = 0
        with copying(source, self.folder / overlay) as (reader, writer):
            for given in chunks(reader, self.batch):
                images = [as_frame(image, self.spec.preprocess.frame, source.name) for image in given]
                self.progress("segmenting", done, reader.promised)
                for image, found in zip(images, self.resizing(images)):
                    writer.write(self._overlaid(image, found))
                    for name, share in fractions(found, self.spec).items():
                        sums[name] += share
                done += len(images)
            promised = reader.promised
        self.progress("segmenting", done, done)
        means = {name: total / done for name, total in sums.items()}
        result = Predicted(source=source.name, frames=done, overlay=overlay, fractions=means)
        short = f"{source.name} promises {promised} frames, {done} could be read"
        return result, (short,) if done < promised else ()


def _result_names(files: ImageFiles) -> list[str]:
    """The stem of each file; the full name where `a.jpg` would meet `a.png`, or `a.png.bmp` its full name."""
    stems, names = Counter(path.stem for path in files.paths), set(files.ids)
    return [
        path.stem if stems[path.stem] == 1 and path.stem not in names else path.name for path in files.paths
    ]


@contextmanager
def _appearing(output: Path) -> Iterator[Path]:
    """A hidden folder in `output` whose files move there when the block ends without an error."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file", expected="a folder", hint="choose another --output")
    new = not output.is_dir()
    try:
        with ExitStack() as stack:
            with _disk_errors(output):
                stack.enter_context(alone(output, "predicts into"))
                results = stack.enter_context(hidden_beside(output / "results")) / "new"
                results.mkdir()
            yield results
            with _disk_errors(output):
                for file in sorted(results.iterdir()):
                    file.replace(output / file.name)
    finally:
        if new:
            with suppress(OSError):
                output.rmdir()  # where nothing came of it


@contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise InputError(
            f"{output} could not be written: {fault.strerror or fault}",
            hint="free space or choose another --output",
        ) from fault
