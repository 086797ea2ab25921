"""Every command that opens an engine lets it keep compiled models in the cache folder."""

from __future__ import annotations

from functools import partial

import pytest

from edgeseg.core.ports import OpenSettings
from edgeseg.evaluation.verify import verify
from edgeseg.flow.bench import bench
from edgeseg.flow.inspect import inspect
from edgeseg.prediction.predict import predict
from edgeseg.runtime import session as subject


@pytest.mark.parametrize("command", ["bench", "verify", "predict", "inspect"])
def test_engines_are_opened_with_the_cache_folder(make_bundle, colors, tmp_path, monkeypatch, command):
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.fromarray(colors.split("val").image(0)).save(picture)
    bundle, seen = make_bundle(), []
    commands = {
        "bench": partial(bench, bundle, min_runs=1, min_seconds=0.0),
        "verify": partial(verify, bundle, dataset=colors, reference=bundle),
        "predict": partial(predict, bundle, picture, tmp_path / "out"),
        "inspect": partial(inspect, bundle),
    }

    class Watched(OpenSettings, frozen=True):
        def __post_init__(self):
            seen.append(self.cache)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(subject, "OpenSettings", Watched)
    monkeypatch.setattr("edgeseg.device.subject.OpenSettings", Watched)
    monkeypatch.setattr("edgeseg.evaluation.reference.OpenSettings", Watched)
    commands[command]()
    assert seen and set(seen) == {tmp_path / "cache" / "edgeseg" / "engines"}


def test_a_cache_that_cannot_be_written_stops_nothing(make_bundle, colors, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nocache")
    assert verify(make_bundle(), dataset=colors).frames == 3
