import numpy as np
import pytest

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.errors import BundleError, InputError

TARGET = Target.parse("null-fp32")
RECORD = EngineRecord(target="null-fp32", graph="deploy.onnx", camera_size=(32, 48))


@pytest.fixture
def built(deploy, folder):
    built = backend_for(TARGET).build(deploy, TARGET, folder, BuildSettings())
    return folder / built.entry


def test_returns_zeros_of_the_right_shape(built, frames):
    engine = backend_for(TARGET).open(built, RECORD, OpenSettings())
    request = engine.request()
    request.write({"frames": frames})
    assert 0 <= request.execute() < 1000
    result = request.read()
    assert result["class_map"].shape == (1, 32, 48)
    assert result["class_map"].dtype == np.uint8
    assert not result["class_map"].any()


def test_missing_and_unknown_inputs(built, frames):
    request = backend_for(TARGET).open(built, RECORD, OpenSettings()).request()
    with pytest.raises(InputError, match="none"):
        request.write({})
    with pytest.raises(InputError, match="image"):
        request.write({"image": frames})


def test_broken_engine_file(built):
    built.write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        backend_for(TARGET).open(built, RECORD, OpenSettings())
