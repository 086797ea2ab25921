"""The error tree. Every error says what was given, what was expected and what to do.

Exit codes of results that are no errors, as 4 for a limit that could not be measured: `core/verdict.py`.

EdgesegError                    exit 2
├── InputError                  exit 2   an argument, option or file the user gave
│   ├── TargetError             exit 2   a target that does not exist or cannot do this
│   ├── RecipeError             exit 2   a recipe that cannot be planned
│   ├── CheckpointError         exit 2   weights that are missing, broken or of another network
│   ├── ModelError              exit 2   a network that cannot be built or does not fit its input
│   ├── DataError               exit 2   images, masks or lists that cannot be used
│   ├── GraphError              exit 2   an ONNX graph that cannot be exported or rewritten
│   │   └── UnsupportedOperator exit 2   an operator that an engine refuses, with its node
│   ├── BundleError             exit 2   a bundle that is broken, changed or of the wrong kind
│   └── EngineMismatch          exit 2   an engine made for another device or engine version
├── InternalError               exit 2   an exception that nobody foresaw: a fault of edgeseg
├── MissingDependency           exit 4   a package that is not installed
└── MissingDevice               exit 4   hardware or a driver that is not here
"""

from __future__ import annotations


class EdgesegError(Exception):
    """Base of all errors a user may see.

    Args:
        message: what is wrong, naming the value that was given.
        expected: what would have been accepted.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.hint:
            lines.append(f"to fix: {self.hint}")
        return "\n".join(lines)


class InputError(EdgesegError):
    pass


class TargetError(InputError):
    pass


class RecipeError(InputError):
    pass


class CheckpointError(InputError):
    pass


class ModelError(InputError):
    pass


class DataError(InputError):
    pass


class GraphError(InputError):
    pass


class UnsupportedOperator(GraphError):
    pass


class BundleError(InputError):
    pass


class EngineMismatch(InputError):
    pass


class InternalError(EdgesegError):
    pass


class MissingDependency(EdgesegError):
    """A package is missing. `extra` names the edgeseg extra that brings it."""

    exit_code = 4

    def __init__(self, package: str, extra: str, *, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed",
            hint=f'pip install "edgeseg[{extra}]"',
        )
        self.package = package
        self.extra = extra


class MissingDevice(EdgesegError):
    exit_code = 4


class EdgesegWarning(UserWarning):
    """Something the user gave is used otherwise than it may be meant. The command line prints it."""
