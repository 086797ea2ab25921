"""Bundles appear whole or not at all, and replace nothing unasked."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_bundles import MANIFEST, write

from edgeseg.core.bundle import Bundle
from edgeseg.core.drafts import draft
from edgeseg.errors import BundleError


@pytest.fixture
def bundle(tmp_path) -> Path:
    return write(tmp_path / "net")


def test_nothing_appears_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="broken"), draft(tmp_path / "net") as work:
        (work.path / "graph.onnx").write_bytes(b"half")
        raise RuntimeError("broken")
    assert not any(tmp_path.iterdir())


def test_nothing_appears_without_finish(tmp_path):
    with draft(tmp_path / "net") as work:
        (work.path / "graph.onnx").write_bytes(b"half")
    assert not any(tmp_path.iterdir())


def test_the_bundle_is_not_there_before_the_end(tmp_path):
    with draft(tmp_path / "net") as work:
        (work.path / "graph.onnx").write_bytes(b"graph")
        work.finish(MANIFEST)
        assert not (tmp_path / "net").exists()
    assert Bundle.open(tmp_path / "net").file("graph.onnx").read_bytes() == b"graph"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_an_existing_bundle_is_kept_unless_told(bundle, tmp_path):
    with pytest.raises(BundleError, match="--overwrite"):
        write(bundle, b"new")
    assert Bundle.open(bundle).file("graph.onnx").read_bytes() == b"graph"
    write(bundle, b"new", overwrite=True)
    assert Bundle.open(bundle).file("graph.onnx").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_an_error_while_overwriting_keeps_the_old_bundle(bundle, tmp_path):
    with pytest.raises(RuntimeError), draft(bundle, overwrite=True):
        raise RuntimeError
    assert Bundle.open(bundle).file("graph.onnx").read_bytes() == b"graph"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.tex").write_text("mine")
    with pytest.raises(BundleError, match="not a bundle"):
        write(tmp_path / "net", overwrite=True)
    assert (tmp_path / "net" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("old", [False, True])
def test_remains_of_a_killed_process_are_removed(tmp_path, old):
    stale = tmp_path / ".net.partial-abcd_123"
    (stale / "new").mkdir(parents=True)
    (stale / "lock").write_bytes(b"")
    (stale / "new" / "graph.onnx").write_bytes(b"half")
    if old:
        write(tmp_path / "net")
        shutil.copytree(tmp_path / "net", stale / "old")
    write(tmp_path / "net", b"new", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert Bundle.open(tmp_path / "net").file("graph.onnx").read_bytes() == b"new"


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from small_bundles import write
rename, left = Path.rename, [int(sys.argv[2])]
def counted(self, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return rename(self, target)
Path.rename = counted
write(Path(sys.argv[1]), b"new", overwrite=True)
"""


@pytest.mark.parametrize("renames", range(5))
def test_a_kill_while_replacing_loses_neither_old_nor_new(bundle, tmp_path, renames):
    """Before the first rename, between them, and after the last."""
    script = [sys.executable, "-c", KILLED, str(bundle), str(renames), str(Path(__file__).parent)]
    done = subprocess.run(script, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    with pytest.raises(BundleError, match="exists"):
        write(bundle)
    assert Bundle.open(bundle).file("graph.onnx").read_bytes() in (b"graph", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_work_of_a_living_process_is_left_alone(tmp_path):
    with draft(tmp_path / "net") as work:
        write(tmp_path / "net", b"first")
        assert work.path.is_dir()


def test_a_bundle_that_appeared_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(BundleError, match=r"net exists"), draft(tmp_path / "net") as work:
        (work.path / "graph.onnx").write_bytes(b"late")
        work.finish(MANIFEST)
        write(tmp_path / "net", b"first")
    assert Bundle.open(tmp_path / "net").file("graph.onnx").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_of_two_that_overwrite_the_last_stays(bundle, tmp_path):
    with draft(bundle, overwrite=True) as work:
        (work.path / "graph.onnx").write_bytes(b"last")
        work.finish(MANIFEST)
        write(bundle, b"first", overwrite=True)
    assert Bundle.open(bundle).file("graph.onnx").read_bytes() == b"last"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path, overwrite):
    (tmp_path / "net").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="not a bundle"):
        write(tmp_path / "net", overwrite=overwrite)
    assert (tmp_path / "net").is_symlink()
