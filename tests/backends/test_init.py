import pytest

from edgeseg.backends import BACKENDS, backend_for
from edgeseg.core.target import Target
from edgeseg.errors import TargetError


def test_registered_engines():
    assert set(BACKENDS.names()) == {"null", "ort", "openvino", "trt", "rtx"}


def test_unknown_engine_names_the_nearest():
    with pytest.raises(TargetError, match="did you mean 'openvino'"):
        backend_for(Target.parse("openvin-fp32"))


def test_precision_an_engine_lacks_lists_those_it_has():
    with pytest.raises(TargetError, match="trt-fp32, trt-fp16"):
        backend_for(Target.parse("trt-bf16"))


@pytest.mark.parametrize("name", BACKENDS.names())
def test_listed_targets_parse_and_answer(name):
    backend = BACKENDS.load(name).backend(name)
    for text in backend.targets():
        target = Target.parse(text)
        assert str(target) == text
        can = backend_for(target).availability(target)
        assert can.run or can.reason
        assert can.run or can.fix
        assert can.build or not can.run
