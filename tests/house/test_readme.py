"""The README, done: its commands run in its order, its snippet runs, its picture is drawn anew."""

from __future__ import annotations

import os
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

LEFT_OUT = ("make ", "pip ", "git ")
"""Lines that install, or run the suite from inside itself."""

TIMED = ("edgeseg bench", "edgeseg run", "python -m edgeseg.device bench")
"""Lines that may end with 3: the machine was too busy to tell."""


def blocks(clone, language):
    return re.findall(rf"```{language}\n(.*?)```", (clone / "README.md").read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def lived(clone, run, tmp_path_factory):
    """A folder in which every command of the README was run: {line: result}."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(clone / "docs" / "images", folder / "docs" / "images")
    (folder / "docs" / "images" / "street.overlay.png").unlink()
    what_a_reader_has(clone, folder, run)
    results = {}
    for line in "".join(blocks(clone, "sh")).splitlines():
        if line and not line.startswith(LEFT_OUT):
            results[line] = run(*shlex.split(line), cwd=folder, env={**os.environ, "COLUMNS": "160"})
    return folder, results


def what_a_reader_has(clone, folder, run):
    """A trained network `net.py` + `net.pt`, and labelled images in `streets/`."""
    for code in blocks(clone, "python"):
        if match := re.match(r"# (\w+\.py)\n", code):
            (folder / match[1]).write_text(code)
    code = (
        "import torch, net\n"
        "torch.manual_seed(0)\n"
        "torch.save(net.network(10).state_dict(), 'net.pt')\n"
        "from PIL import Image\n"
        "from pathlib import Path\n"
        "from edgeseg.datasets import open_dataset\n"
        "data = open_dataset('synthetic-streets')\n"
        "for name in ('images', 'masks'): Path('streets', name, 'val').mkdir(parents=True)\n"
        "for i in range(3):\n"
        "    Image.fromarray(data.split('val').image(i)).save(f'streets/images/val/{i}.png')\n"
        "    Image.fromarray(data.split('val').label(i)).save(f'streets/masks/val/{i}.png')\n"
        "rows = [f'[[classes]]\\nname = {c.name!r}\\ncolor = {list(c.color)}\\n' for c in data.classes]\n"
        "head = 'schema_version = 1\\nignore_index = 255\\n'\n"
        "Path('streets/dataset.toml').write_text(head + ''.join(rows))\n"
    )
    result = run("python", "-c", code, cwd=folder)
    assert result.returncode == 0, result.stderr


def test_every_command_runs(lived):
    _, results = lived
    assert len(results) >= 7
    for line, result in results.items():
        allowed = (0, 3) if line.startswith(TIMED) else (0,)
        assert result.returncode in allowed, f"{line}\n{result.stdout}\n{result.stderr}"


def test_the_embedding_snippet_runs_and_is_ten_lines(clone, lived, run):
    folder, _ = lived
    code = next(code for code in blocks(clone, "python") if "edgeseg.runtime" in code)
    assert len([line for line in code.splitlines() if line]) <= 10
    result = run("python", "-c", code, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "road\n"


def test_the_picture_is_what_the_command_beside_it_draws(clone, lived):
    folder, _ = lived
    drawn, shown = (
        np.asarray(Image.open(path).convert("RGB")).astype(int)
        for path in (
            folder / "predictions" / "street.overlay.png",
            clone / "docs" / "images" / "street.overlay.png",
        )
    )
    assert (np.abs(drawn - shown).max(axis=-1) <= 2).mean() > 0.99


def test_the_frame_in_the_picture_is_generated(clone):
    from edgeseg.datasets import open_dataset

    frame = np.asarray(Image.open(clone / "docs" / "images" / "street.png"))
    assert np.array_equal(frame, open_dataset("synthetic-streets").split("val").image(4))


def test_both_commands_are_there(clone):
    makefile = (clone / "Makefile").read_text()
    for line in blocks(clone, "sh")[1].splitlines():
        assert re.search(rf"^{line.split()[1]}:", makefile, flags=re.MULTILINE)
