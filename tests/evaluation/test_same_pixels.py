"""Calibration, training, scoring and prediction see one picture: a JPEG that its EXIF turns."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgeseg.calibration.source import open_source
from edgeseg.core.bundle import Bundle
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import calibration_images
from edgeseg.datasets.hashing import pixel_sha256
from edgeseg.datasets.pictures import Inputs
from edgeseg.evaluation.verify import verify
from edgeseg.prediction.predict import predict

TOML = """schema_version = 1
encoding = "ids"
ignore_index = 255
classes = [{ name = "red" }, { name = "green" }, { name = "blue" }]
"""
UPRIGHT = np.repeat(np.array([[0, 0, 1], [2, 2, 1]], np.uint8), 8, axis=0).repeat(8, axis=1)
"""Classes of the picture as a viewer shows it, uint8 [16,24]; no turn looks the same."""
BACK = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@pytest.fixture(params=BACK)
def turned(request, tmp_path):
    """A labelled data set of one JPEG; its mask is upright."""
    exif = Image.Exif()
    exif[0x0112] = request.param
    colors = np.eye(3, dtype=np.uint8)[UPRIGHT] * 200
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    picture = Image.fromarray(colors).transpose(BACK[request.param])
    picture.save(tmp_path / "data" / "images" / "a.jpg", exif=exif, quality=98, subsampling=0)
    Image.fromarray(UPRIGHT).save(tmp_path / "data" / "masks" / "a.png")
    (tmp_path / "data" / "dataset.toml").write_text(TOML)
    return tmp_path / "data"


def test_every_reader_sees_the_upright_picture(turned, make_bundle, tmp_path):
    from edgeseg.training.data import Samples
    from edgeseg.training.settings import TrainSettings

    bundle = make_bundle()
    spec = Bundle.open(bundle).manifest.model
    data = open_dataset("folders", turned)
    folder = open_dataset("images", turned / "images")

    pixels = data.split("all").image(0)
    assert np.array_equal(pixels.argmax(-1), UPRIGHT)
    assert np.array_equal(open_source("", str(turned / "images" / "a.jpg"), "").image(0), pixels)
    for source in (data, folder):
        split = calibration_images(source, "all", None, count=1)
        (batch,) = Inputs(split, spec, (16, 24), name="image")
        assert np.array_equal(batch["image"][0].argmax(0), UPRIGHT)
        assert split.sample_list().samples[0].sha256 == pixel_sha256(pixels)

    plain = TrainSettings(scale=(1.0, 1.0), flip=0.0, color=0.0)
    image, label = Samples(data.split("all"), spec, plain)[0, 0]
    assert np.array_equal(image.numpy().argmax(0), UPRIGHT) and np.array_equal(label.numpy(), UPRIGHT)

    scored = verify(bundle, dataset=data, split="all")
    assert scored.engine is not None and scored.engine.value == 1.0
    compared = verify(bundle, images=turned / "images")
    assert compared.agreement is not None and compared.agreement.equal == 1.0

    predict(bundle, turned / "images", tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.mask.png") as mask:
        assert np.array_equal(np.asarray(mask), UPRIGHT)
