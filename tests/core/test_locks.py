"""A lock holds between processes, and ends with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from edgeseg.core.locks import only_one, take
from edgeseg.errors import InputError

BUSY = InputError("busy")
HOLDER = """
import os, signal, sys, time
from pathlib import Path
from edgeseg.core.locks import take
lock = take(Path(sys.argv[1]))
if "fork" not in sys.argv or os.fork() == 0:
    print("held", flush=True)  # by the child: it has let go of the lock then
time.sleep(30)
os._exit(0)
"""


def holder(file, *more: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file), *more],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_and_nothing_stays(tmp_path):
    with only_one(tmp_path / "new" / "lock", refusal=BUSY):
        with pytest.raises(InputError, match="busy"), only_one(tmp_path / "new" / "lock", refusal=BUSY):
            pass
        assert (tmp_path / "new" / "lock").exists()
    assert not any((tmp_path / "new").iterdir())


def test_the_second_waits_for_the_first(tmp_path):
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with only_one(tmp_path / "lock", waiting=waits.set):
            order.append("second")

    with only_one(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("forked", [(), ("fork",)])
def test_a_killed_process_holds_nothing(tmp_path, forked):
    """Nor do the children it had forked, such as those that load images."""
    process = holder(tmp_path / "lock", *forked)
    try:
        assert take(tmp_path / "lock") is None
        process.kill()
        process.wait()
        with only_one(tmp_path / "lock", refusal=BUSY):
            pass
    finally:
        process.stdout.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        take(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
