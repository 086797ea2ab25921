"""What can go wrong between a host and its device, and what crosses the pipe."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from far import far_device, opened_by
from small import write_recipe

import edgeseg
from edgeseg.core.ports import OpenSettings
from edgeseg.device import jobs, messages
from edgeseg.device.race import EngineFile, RaceSettings
from edgeseg.device.serve import _failure
from edgeseg.device.settings import BenchSettings
from edgeseg.device.store import Store
from edgeseg.device.timing import Effort, Rounds
from edgeseg.devices import connection, device_named
from edgeseg.devices.remote import Remote
from edgeseg.errors import BundleError, InputError, MissingDevice
from edgeseg.flow.make import export
from edgeseg.runtime.session import Session

DIGEST = "a" * 64


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (made,) = export(write_recipe(folder / "net"), folder, folder / "bundles")
    return made


@pytest.fixture
def far(tmp_path):
    with far_device(tmp_path / "far") as device:
        yield device


@pytest.fixture
def sent(monkeypatch):
    """The jobs that cross the pipe."""
    found = []
    real = connection.messages.write

    def write(stream, job, parts=()):
        found.append(job)
        real(stream, job, parts)

    monkeypatch.setattr(connection.messages, "write", write)
    return found


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (lambda arguments: ["no-such-program"], "no-such-program"),
        (lambda arguments: ["echo", "hello"], "hello"),
        (lambda arguments: ["sh", "-c", "echo host key is unknown >&2; exit 255"], "host key is unknown"),
        (lambda arguments: [arguments[0], "-S", *arguments[1:]], "No module named"),
    ],
)
def test_a_device_that_cannot_be_reached_says_why(command, says):
    device = Remote("kitchen", command, sys.executable)
    with pytest.raises(MissingDevice, match=says) as caught, device:
        device.describe()
    assert "'kitchen'" in caught.value.message


def test_a_device_that_goes_away_is_missing(far):
    far.describe()
    far._agent._process.kill()
    with pytest.raises(MissingDevice, match="does not answer"):
        far.describe()


def test_errors_say_where_they_happened(far, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="on the device 'far'"):
        far.bench(tmp_path / "bundle", BenchSettings())
    assert far.describe().machine, "the agent goes on"


def test_what_nobody_foresaw_is_no_error_of_the_user(far):
    with pytest.raises(InputError, match="no engine 99 is open"):
        far._agent.ask(jobs.Layers(engine=99))
    failure = _failure(RuntimeError("no memory on this chip"))
    fault = far._agent._error(failure)
    assert isinstance(fault, connection.RemoteFault) and "no memory on this chip" in str(fault)


def test_a_file_is_sent_once(far, bundle, sent):
    for _ in range(2):
        with Session(bundle, OpenSettings(), backends=far.backend):
            pass
    put = [job for job in sent if isinstance(job, jobs.Put)]
    engine_files = [name for name in bundle.manifest.files if name.startswith("engine/")]
    assert len({job.digest for job in put}) == len(put) == len(engine_files)


def test_large_files_travel_in_parts(far, tmp_path, sent, monkeypatch):
    monkeypatch.setattr("edgeseg.devices.agent.PART_BYTES", 1000)
    content = np.random.default_rng(0).bytes(2500)
    (tmp_path / "large.bin").write_bytes(content)
    files = far._agent.send([tmp_path / "large.bin"], tmp_path)
    assert [job.last for job in sent if isinstance(job, jobs.Put)] == [False, False, True]
    (tmp_path / "back").mkdir()
    far._agent.fetch(files, tmp_path / "back")
    assert (tmp_path / "back" / "large.bin").read_bytes() == content
    (tmp_path / "empty").write_bytes(b"")
    far._agent.fetch(far._agent.send([tmp_path / "empty"], tmp_path), tmp_path / "back")
    assert (tmp_path / "back" / "empty").read_bytes() == b""


def test_nothing_of_the_host_is_read_or_named(far, bundle, tmp_path, sent):
    with Session(bundle, OpenSettings(cache=tmp_path / "cache"), backends=far.backend) as session:
        session(np.zeros((32, 32, 3), np.uint8))
    entry = EngineFile(bundle.file(bundle.engine.entry), bundle.engine)
    far.race([entry], RaceSettings(rounds=Rounds(2, 2), effort=Effort(runs=2, seconds=0.0)))
    told = b"".join(messages.msgspec.json.encode(job) for job in sent).decode()
    package, cache = Path(edgeseg.__file__).parent, os.environ["XDG_CACHE_HOME"]
    host = [bundle.path.parent, package, tmp_path / "cache", cache]
    for place in map(str, host):
        assert place not in told
        assert not [file for file in opened_by(tmp_path / "far") if str(file).startswith(f"{place}/")]
    assert not (tmp_path / "cache").exists()
    assert list((tmp_path / "far" / "home" / ".cache" / "edgeseg" / "device" / "files").iterdir())


def test_a_job_ends_when_its_host_is_gone(far, bundle):
    far.describe()
    entry = EngineFile(bundle.file(bundle.engine.entry), bundle.engine)
    hours = RaceSettings(rounds=Rounds(1, 1), effort=Effort(runs=1, seconds=3600.0))
    process = far._agent._process

    def race():
        with pytest.raises(MissingDevice):
            far.race([entry], hours)

    working = threading.Thread(target=race)
    working.start()
    time.sleep(1.0)
    process.stdin.close()
    begin = time.monotonic()
    process.wait(15)
    working.join(15)
    assert time.monotonic() - begin < 10 and not working.is_alive()


@pytest.mark.parametrize(("text", "says"), [("local:x", "no address"), ("nowhere:x", "there is no device")])
def test_devices_have_names(text, says):
    with pytest.raises(InputError, match=says):
        device_named(text)


def test_the_store_takes_what_was_announced_alone(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(InputError, match="a file came as"):
        store.put(DIGEST, b"something else", last=True)
    assert store.missing([DIGEST]) == (DIGEST,)
    with pytest.raises(InputError, match="is no sha256"):
        store.missing(["../../etc/passwd"])
    (tmp_path / "mine").write_text("mine")
    entry = store.add(tmp_path / "mine")
    with pytest.raises(InputError, match="begins with a dot"):
        store.folder({"../outside": entry})
    with pytest.raises(InputError, match="never sent"):
        store.folder({"a": type(entry)(3, DIGEST)})
    place = store.folder({"engine/mine": entry, "copy": entry})
    assert (place / "engine" / "mine").read_text() == (place / "copy").read_text() == "mine"
    assert store.folder({"engine/mine": entry, "copy": entry}) == place


@pytest.mark.parametrize(
    "line", [b"hello\n", b'{"body": 1, "parts": [-1]}\n', b'{"body": 1, "parts": [5]}\nab']
)
def test_what_is_no_message_is_refused(line):
    with pytest.raises(InputError, match=r"no message|too early"):
        messages.read(io.BytesIO(line))
    assert messages.read(io.BytesIO(b"")) is None
