"""What the tracked files may hold."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

LONGEST = 400
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "nvcr" + ".io", "download.py" + "torch.org"]
PLACES = [f"/{name}/" for name in ("wo" + "rk", "ro" + "ot", "ho" + "me", "op" + "t", "mnt")]


def test_no_file_of_the_package_is_longer_than_400_lines(package):
    lengths = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in package.rglob("*.py")}
    assert not {str(f): n for f, n in lengths.items() if n > LONGEST}


def tracked(clone):
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = clone / name
        if path.suffix in (".png", ".safetensors") or not path.is_file():
            continue
        yield name, path.read_text(encoding="utf-8")


def test_no_registry_host_and_no_path_of_one_machine(clone):
    forbidden = re.compile("|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.]){p}\w" for p in PLACES)]))
    found = {name: match[0] for name, text in tracked(clone) if (match := forbidden.search(text))}
    assert not found


def test_constraints_are_exact_versions_only(clone):
    for line in (clone / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.+]+", line), line


def test_what_is_written_appears_through_one_module(package):
    """Temporary names and renames have one owner, who makes them exclusive and cleans up behind kills."""
    renames = {"core/whole.py", "core/drafts.py", "core/cache.py", "device/build.py", "prediction/predict.py"}
    makes = {"mkdtemp", "mkstemp", "TemporaryDirectory", "NamedTemporaryFile"}
    for file in package.rglob("*.py"):
        name = file.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
            moves = called in ("rename", "replace") and len(node.args) == 1 and not node.keywords
            assert not moves or name in renames, f"{name}, line {node.lineno}: use core/whole.py"
            assert called not in makes or name == "core/whole.py", (
                f"{name}, line {node.lineno}: use core/whole.py"
            )
