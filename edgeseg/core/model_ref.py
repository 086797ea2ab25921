"""What `--model` and `name` of a recipe mean. No other file looks at how the name of a network ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ModelKind = Literal["zoo", "python", "pt2", "onnx", "weights"]
_KINDS: dict[str, ModelKind] = {".onnx": "onnx", ".pt2": "pt2", ".pt": "weights", ".pth": "weights"}


@dataclass(frozen=True)
class ModelRef:
    """
    Attributes:
        kind: `zoo`: a name, known or not. `python`: `file.py:factory`, which is run. `weights`: a file
            without a network, which is refused wherever it is read.
        path: the file; None: of the zoo.
        factory: of a Python file; empty where none was named.
        text: as it was given.
    """

    kind: ModelKind
    path: Path | None
    factory: str
    text: str

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        python = re.fullmatch(r"(.+\.py)(?::([^:/]*))?", text, re.IGNORECASE | re.DOTALL)
        if python:
            return cls("python", Path(python[1]), python[2] or "", text)
        path = Path(text)
        kind = _KINDS.get(path.suffix.lower())
        return cls(kind, path, "", text) if kind else cls("zoo", None, "", text)

    @property
    def name(self) -> str:
        """What bundles of the network are called by: of the zoo, or of its file."""
        return self.path.stem if self.path else self.text

    @property
    def runs_code(self) -> bool:
        """Whether naming it runs a file of the user's: known to him, and never to be taken from a cache."""
        return self.kind == "python" and self.factory.isidentifier()

    def at(self, path: Path) -> str:
        """The text that names the same network in a file at `path`."""
        return f"{path}:{self.factory}" if self.factory else str(path)
