"""What must be true of the answer to a bad input."""

from __future__ import annotations

from pathlib import Path

from wholeness import broken

from fuzzing.case import Case
from fuzzing.worker import Done

EXIT_CODES = (0, 1, 2, 3, 4)
MOST_SAID = 6_000
"""Characters of a message that somebody reads."""
HIDDEN = ("partial", ".part", ".old-", ".tmp")


def faults(case: Case, done: Done, before: set[Path], folder: Path, cache: Path) -> list[str]:
    """Empty when the answer is as it must be."""
    found = [*_of_the_end(done), *_of_the_message(case, done), *_of_the_files(done, before, folder)]
    if (folder / "executed").exists():
        found.append("code of the input was run")
    found += [f"left in the cache: {p.name}" for p in cache.rglob(".*") if any(w in p.name for w in HIDDEN)]
    return found


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _of_the_end(done: Done) -> list[str]:
    if done.code is None:
        return [f"still running after {done.seconds:.0f} s"]
    if done.code < 0:
        return [f"ended by signal {-done.code}"]
    if done.code not in EXIT_CODES:
        return [f"exit code {done.code}"]
    if done.code == 1 and "fail" not in done.out:
        return ["exit code 1 without a missed budget"]
    return []


def _of_the_message(case: Case, done: Done) -> list[str]:
    found = []
    if "Traceback (most recent call last)" in done.out + done.err:
        found.append("a traceback")
    if "this is a fault of edgeseg" in done.err:
        found.append("an exception that nobody foresaw")
    if done.code in (2, 4) and 2 not in case.closed:
        said = [line for line in done.err.splitlines() if line.strip()]
        told = done.err + done.out
        if not any(form in told for word in case.given if word for form in _forms(word)):
            found.append("a message that does not name what was given")
        if len(done.err) > MOST_SAID:
            found.append(f"a message of {len(done.err)} characters")
        if not done.out and not any(line.lower().startswith(("error", "╭─ error", "usage")) for line in said):
            found.append("no error was told")
    return found


def _of_the_files(done: Done, before: set[Path], folder: Path) -> list[str]:
    new = [p for p in files_in(folder) - before if "__pycache__" not in p.parts]
    found = [f"left behind: {p.name}" for p in new if any(word in p.name for word in HIDDEN)]
    if done.code in (2, 4):
        found += [f"left behind: {p.relative_to(folder)}" for p in new if p.is_file()]
    return found + [text for p in new if p.is_file() for text in _half_written(p)]


def _half_written(path: Path) -> list[str]:
    fault = broken(path)
    return [f"half written: {path.name}: {fault}"] if fault else []


def _forms(word: str) -> tuple[str, ...]:
    """As it was given, as a path is shown, and as a number is."""
    try:
        return word, str(Path(word)), f"{float(word):g}"
    except ValueError:
        return word, str(Path(word))
