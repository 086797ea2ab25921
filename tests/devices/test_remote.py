"""What can go wrong between a host and its device, and what crosses the pipe."""

from __future__ import annotations

import io
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from far import far_device, opened_by
from small import write_recipe

import edgeseg
from edgeseg.core.bundle import FileEntry
from edgeseg.core.ports import OpenSettings
from edgeseg.core.target import Target
from edgeseg.device import jobs, messages
from edgeseg.device.race import EngineFile, RaceSettings
from edgeseg.device.serve import _failure
from edgeseg.device.settings import BenchSettings
from edgeseg.device.store import Store
from edgeseg.device.timing import Effort, Rounds
from edgeseg.devices import connection, device_named
from edgeseg.devices.agent import Agent
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
    real = connection.messages.encode

    def encode(job, parts=()):
        found.append(job)
        return real(job, parts)

    monkeypatch.setattr(connection.messages, "encode", encode)
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


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("sleep 600", "it said nothing for 0.5 s"),
        ("(sleep 600 &) ; sleep 600", "it said nothing for 0.5 s"),
        ("while true; do printf x; sleep 0.1; done", "it said nothing|it said b"),
        ("echo send; sleep 600", "it took nothing for 0.5 s"),
        ("echo key added >&2; sleep 600", "it said nothing for 0.5 s; key added"),
    ],
)
def test_a_device_that_never_starts_is_missing(monkeypatch, program, says):
    monkeypatch.setattr(connection, "START_S", 0.5)
    begin = time.monotonic()
    with (
        pytest.raises(MissingDevice, match=says),
        Remote("asleep", lambda _: ["sh", "-c", program]) as device,
    ):
        device.describe()
    assert time.monotonic() - begin < 10


LIAR = """
import json, os, sys
os.write(1, b"have\\n")
if {chatter}: print("log\\n" * {chatter}, file=sys.stderr, flush=True)
for line in sys.stdin.buffer:
    asked = json.loads(line)["body"]
    size = {size}
    os.write(1, json.dumps({{"body": {{}}, "parts": [size]}}).encode() + b"\\n")
    rest = memoryview(bytes(size))
    while rest: rest = rest[os.write(1, rest):]
"""


def liar(size: int, chatter: int = 0) -> Agent:
    """A device that answers every job with so many bytes."""
    return Agent("liar", lambda _: [sys.executable, "-c", LIAR.format(size=size, chatter=chatter)])


@pytest.mark.parametrize(("announced", "sent"), [(10, 100), (10, 64 << 20), (10, 0), (10, 9)])
def test_a_device_writes_no_more_than_it_announced(tmp_path, announced, sent):
    agent = liar(sent)
    with pytest.raises(InputError, match="did not come whole from the device 'liar'"):
        agent.fetch({"engine/model.bin": FileEntry(announced, DIGEST)}, tmp_path)
    assert (tmp_path / "engine" / "model.bin").stat().st_size <= announced
    agent.close()


@pytest.mark.parametrize(
    "files",
    [
        {"a": FileEntry(1 << 50, DIGEST)},
        {"a": FileEntry(12 << 30, DIGEST), "b": FileEntry(12 << 30, DIGEST)},
        {"a": FileEntry(-1, DIGEST)},
        {str(i): FileEntry(0, DIGEST) for i in range(10_001)},
    ],
)
def test_a_device_that_announces_too_much_is_asked_for_nothing(tmp_path, files):
    agent = liar(8 << 20)
    with pytest.raises(InputError, match=r"the device 'liar' made \d+ file.* of .* bytes\nexpected: at most"):
        agent.fetch(files, tmp_path)
    assert not list(tmp_path.iterdir())
    agent.close()


def test_what_a_device_says_beside_its_answers_is_read_and_not_kept(tmp_path):
    """Of 40 MB on standard error a few hundred characters remain."""
    agent = liar(10, chatter=10_000_000)
    with pytest.raises(InputError, match="did not come whole"):
        agent.fetch({"a": FileEntry(10, DIGEST)}, tmp_path)
    agent._process.kill()
    with pytest.raises(MissingDevice, match=r"does not answer: .*log log") as caught:
        agent.fetch({"a": FileEntry(10, DIGEST)}, tmp_path)
    assert len(caught.value.message) < 1000


def test_a_device_that_goes_away_is_missing(far):
    far.describe()
    far._agent._process.kill()
    with pytest.raises(MissingDevice, match="does not answer"):
        far.describe()


def test_the_next_call_starts_a_new_agent(far):
    far.describe()
    far._agent._process.kill()
    with pytest.raises(MissingDevice, match="does not answer"):
        far.describe()
    assert far.describe().machine


def test_an_engine_that_is_collected_within_a_job_disturbs_nothing(far, bundle):
    """A finalizer runs in the middle of anything; what it says waits for the next job."""
    backend = far.backend(Target.parse("ort-fp32"))
    engine = backend.open(bundle.file(bundle.engine.entry), bundle.engine, OpenSettings())
    told = []

    def progress(message, done=0, total=0):
        told.append(message)
        engine.close()

    assert far.describe(progress).targets and told
    assert far.describe().machine
    with pytest.raises(InputError, match="is open"):
        engine.layers()


def test_a_question_within_the_progress_of_another_is_refused(far):
    with pytest.raises(RuntimeError, match="within the progress"):
        far.describe(lambda *_: far.describe())
    assert far.describe().machine


def test_an_interrupt_stays_one(far, bundle):
    def interrupt(*_):
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        Session(bundle, OpenSettings(), backends=far.backend),
    ):
        far.describe(interrupt)


def test_a_message_that_the_device_cannot_hold_is_an_error():
    memory = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"

    def small(arguments):
        python, option, program, *rest = arguments
        return [python, option, memory + program, *rest]

    with Remote("small", small, sys.executable) as device, pytest.raises((InputError, MissingDevice)):
        infos, parts = messages.arrays({"frames": np.zeros(1 << 31, np.uint8)})
        device._agent.ask(jobs.Run(engine=1, request=0, inputs=infos * 2), parts * 2)


def test_links_in_a_bundle_do_not_leave_this_machine(far, bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    (tmp_path / "secret").write_text("secret")
    (copy / "notes.txt").symlink_to(tmp_path / "secret")
    (copy / ".DS_Store").write_text("of the host")
    assert far.bench(copy, BenchSettings(min_runs=30, min_seconds=0.0)).bundle_id == bundle.id
    engine = copy / "engine" / "notes.txt"
    engine.symlink_to(tmp_path / "secret")
    entry = EngineFile(copy / bundle.engine.entry, bundle.engine)
    with pytest.raises(InputError, match="is a link"):
        far.race([entry], RaceSettings(rounds=Rounds(1, 1), effort=Effort(runs=1, seconds=0.0)))
    kept = [file for file in (tmp_path / "far").rglob("*") if file.is_file()]
    assert b"secret" not in [file.read_bytes() for file in kept]


def test_a_bundle_stays_there_and_a_trial_goes(tmp_path, bundle):
    folder = tmp_path / "far" / "home" / ".cache" / "edgeseg" / "device" / "files"
    with far_device(tmp_path / "far") as device:
        entry = EngineFile(bundle.file(bundle.engine.entry), bundle.engine)
        device.race([entry], RaceSettings(rounds=Rounds(1, 1), effort=Effort(runs=1, seconds=0.0)))
        assert list((tmp_path / "far" / "tmp").rglob("model.onnx"))
    assert not list(folder.iterdir()) and not list((tmp_path / "far" / "tmp").rglob("model.onnx"))
    with far_device(tmp_path / "far") as device:
        device.bench(bundle.path, BenchSettings(min_runs=30, min_seconds=0.0))
    assert len(list(folder.iterdir())) == len({f.sha256 for f in bundle.manifest.files.values()}) + 1


def test_a_damaged_file_is_sent_again(tmp_path, bundle):
    settings = BenchSettings(min_runs=30, min_seconds=0.0)
    with far_device(tmp_path / "far") as device:
        device.bench(bundle.path, settings)
    for file in (tmp_path / "far" / "home" / ".cache" / "edgeseg" / "device" / "files").iterdir():
        file.write_bytes(b"")
    with far_device(tmp_path / "far") as device:
        assert device.bench(bundle.path, settings).bundle_id == bundle.id


def test_a_device_needs_no_toml_and_ignores_modules_in_its_folder(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "zipfile.py").write_text("raise SystemExit('the folder was imported')")
    blocked = "import sys; sys.modules.update(dict.fromkeys(('tomllib', 'tomli')))\n"

    def command(arguments):
        python, option, program, *rest = arguments
        return ["env", f"--chdir={tmp_path / 'far'}", python, option, blocked + program, *rest]

    with Remote("old", command, sys.executable) as device:
        assert device.describe().machine


def test_errors_say_where_they_happened(far):
    with pytest.raises(InputError, match="on the device 'far'"):
        far._agent.ask(jobs.Layers(engine=99))
    assert far.describe().machine, "the agent goes on"


def test_a_broken_bundle_is_refused_before_it_is_sent(far, tmp_path, sent):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    with pytest.raises(BundleError):
        far.bench(tmp_path / "bundle", BenchSettings())
    assert not sent


def test_what_nobody_foresaw_is_no_error_of_the_user(far):
    with pytest.raises(InputError, match="no engine 99 is open"):
        far._agent.ask(jobs.Layers(engine=99))
    failure = _failure(RuntimeError("no memory on this chip"))
    fault = far._agent._error(failure)
    assert isinstance(fault, connection.RemoteFault) and "no memory on this chip" in str(fault)
    full = far._agent._error(_failure(OSError(28, "No space left on device")))
    assert isinstance(full, InputError) and "No space left" in full.message


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
    assert list((tmp_path / "far" / "tmp").rglob("model.onnx"))


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
    store = Store(tmp_path / "cache")
    with pytest.raises(InputError, match="a file came as"):
        store.put(DIGEST, b"something else", last=True)
    assert store.missing([FileEntry(14, DIGEST)]) == (DIGEST,)
    with pytest.raises(InputError, match="is no sha256"):
        store.missing([FileEntry(1, "../../etc/passwd")])
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "mine").write_text("mine")
    entry = store.add_folder(tmp_path / "source")["mine"]
    with pytest.raises(InputError, match="begins with a dot"):
        store.folder({"../outside": entry})
    with pytest.raises(InputError, match="never sent"):
        store.folder({"a": FileEntry(3, DIGEST)})
    place = store.folder({"engine/mine": entry, "copy": entry})
    assert (place / "engine" / "mine").read_text() == (place / "copy").read_text() == "mine"
    assert store.folder({"engine/mine": entry, "copy": entry}) == place
    kept = store.folder({"mine": entry}, lasting=True)
    store.close()
    assert not place.exists() and (kept / "mine").read_text() == "mine"
    other = Store(tmp_path / "cache")
    assert other.missing([entry]) == () and other.folder({"mine": entry}, lasting=True) == kept
    other.close()


@pytest.mark.parametrize(
    "line", [b"hello\n", b'{"body": 1, "parts": [-1]}\n', b'{"body": 1, "parts": [5]}\nab']
)
def test_what_is_no_message_is_refused(line):
    with pytest.raises(InputError, match=r"no message|too early"):
        messages.read(io.BytesIO(line))
    assert messages.read(io.BytesIO(b"")) is None
