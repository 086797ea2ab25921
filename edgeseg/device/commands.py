"""`python -m edgeseg.device build|check|bench`: needs nothing but the device zone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from edgeseg.core.bundle import Bundle
from edgeseg.core.cache import cache_folder
from edgeseg.core.documents import encode
from edgeseg.core.drafts import refuse_existing
from edgeseg.core.faults import explained, printable
from edgeseg.core.measurement import Measurement, PairedRatio
from edgeseg.core.ports import BuildSettings, OpenSettings, Progress
from edgeseg.core.target import parse_cpus
from edgeseg.device.bench import BenchSettings, bench, bench_pair
from edgeseg.device.build import build, ready
from edgeseg.device.infer import infer, score
from edgeseg.device.report import judge, measurement_text, ratio_text
from edgeseg.errors import EdgesegError, InputError
from edgeseg.runtime.check import self_check
from edgeseg.runtime.session import Session
from edgeseg.runtime.signature import require_signed

INTERRUPTED = 130


class _Made(msgspec.Struct, frozen=True):
    """What `build` and `infer` print as JSON."""

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int
    path: str
    notes: tuple[str, ...] = ()


class _Checked(msgspec.Struct, frozen=True):
    """What `check` prints as JSON. None: the bundle has no golden frames."""

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int
    target: str
    agreement: float | None
    pixels: int
    limit: float | None
    notes: tuple[str, ...] = ()


class _Comparison(msgspec.Struct, frozen=True):
    """What `bench --vs --json` prints."""

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int
    a: Measurement
    b: Measurement
    device: PairedRatio
    host: PairedRatio


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 budget missed, 2 bad input, 3 invalid measurement, 4 missing
    dependency or device, and with it a limit that could not be measured."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        options.cache = options.cache or cache_folder()
        require_signed(options.require_signature, options.bundle, getattr(options, "vs", None))
        return command(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as fault:
        error = explained(fault)
        print(printable(f"error: {error}"), file=sys.stderr)
        fields = {name: getattr(error, name) for name in ("message", "expected", "hint", "exit_code")}
        if options.lines:
            _line({"error": fields})
        elif options.json:
            print(encode({"error": fields}).decode())
        return error.exit_code


def _build(options: argparse.Namespace) -> int:
    place = options.bundle.resolve()
    output = options.output or place.with_name(f"{place.name}-built")
    refuse_existing(output, options.overwrite)
    bundle = Bundle.open(options.bundle)
    settings = BuildSettings(cache=options.cache, options=dict(map(_option, options.option)))
    child = build(bundle, output, settings, overwrite=options.overwrite, progress=_teller(options))
    notes = child.manifest.sentences()
    made = _Made(_Made.SCHEMA_VERSION, str(child.path), notes)
    _show(options, made, "\n".join((str(child.path), *(f"note: {note}" for note in notes))))
    return 0


def _option(text: str) -> tuple[str, str | int | float | bool]:
    """`KEY=VALUE` with its value as JSON has it, else as text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"--option {text}", expected="--option KEY=VALUE")
    try:
        return key, msgspec.json.decode(value, type=str | int | float | bool)
    except msgspec.MsgspecError:
        return key, value


def _check(options: argparse.Namespace) -> int:
    with Session(Bundle.open(options.bundle), OpenSettings(cache=options.cache), check=False) as session:
        result = self_check(session.outputs, session.bundle)
        target, notes = str(session.target), session.notes
    said = f"{target}: opens and runs; the bundle has no golden frames to compare"
    checked = _Checked(_Checked.SCHEMA_VERSION, target, None, 0, None, notes)
    if result is not None:
        said = f"{target}: {result.agreement:.3%} of {result.pixels} {result.decisions} agree"
        said += f" (limit {result.limit:.2%})"
        checked = msgspec.structs.replace(
            checked, agreement=result.agreement, pixels=result.pixels, limit=result.limit
        )
    _show(options, checked, "\n".join((*(f"note: {note}" for note in notes), said)))
    return 0


def _infer(options: argparse.Namespace) -> int:
    refuse_existing(options.output, options.overwrite)
    with Session(Bundle.open(options.bundle), OpenSettings(cache=options.cache)) as session:
        written = infer(session, options.frames, options.output, _teller(options))
        made = _Made(_Made.SCHEMA_VERSION, str(options.output), session.notes)
    named = (f"{info.name} " if len(written) > 1 else "" for info in written)
    told = ", ".join(f"{name}{info.dtype} {list(info.shape)}" for name, info in zip(named, written))
    _show(options, made, f"{options.output}: {told}")
    return 0


def _score(options: argparse.Namespace) -> int:
    with Session(Bundle.open(options.bundle), OpenSettings(cache=options.cache)) as session:
        found = score(session, options.frames, options.labels, _teller(options))
    value = "nothing is labelled" if found.value is None else f"{found.metric} {found.value:.2%}"
    classes = (f"  {n}: {'-' if one is None else format(one, '.2%')}" for n, one in found.classes.items())
    _show(options, found, "\n".join((f"{value} on {found.frames} frames", *classes)))
    return 0


def _bench(options: argparse.Namespace) -> int:
    settings = BenchSettings(
        warmup=options.warmup,
        min_runs=options.min_runs,
        min_seconds=options.min_seconds,
        streams=options.streams,
        threads=options.threads,
        cpus=options.cpus,
        openings=options.openings,
        blocks=options.blocks,
        cache=options.cache,
        check=not options.no_check,
    ).judging(options.max_p99_ms)
    tell = _teller(options)
    path = ready(options.bundle, options.cache, tell)
    if options.vs is None:
        measurement = bench(path, settings, tell)
        verdict = judge(measurement, options.max_p99_ms)
        _show(options, measurement, measurement_text(measurement))
    else:
        other = ready(options.vs, options.cache, tell)
        pair = _Comparison(_Comparison.SCHEMA_VERSION, *bench_pair(path, other, settings, tell))
        verdict = judge(pair.a, options.max_p99_ms, pair.device, pair.host)
        parts = (*map(measurement_text, (pair.a, pair.b)), *map(ratio_text, (pair.device, pair.host)))
        _show(options, pair, "\n".join(parts))
    for reason in verdict.reasons:
        print(f"{verdict.status}: {reason}", file=sys.stderr)
    return verdict.exit_code


def _show(options: argparse.Namespace, noun: object, text: str) -> None:
    if options.lines:
        _line({"result": noun})
    else:
        print(encode(noun).decode() if options.json else text)


def _line(data: object) -> None:
    """One JSON document on one line: what a program at the other end of a pipe reads."""
    print(msgspec.json.encode(data).decode(), flush=True)


def _teller(options: argparse.Namespace) -> Progress:
    return _tell_lines if options.lines else _tell


def _tell_lines(message: str, done: int = 0, total: int = 0) -> None:
    _line({"progress": message, "done": done, "total": total})


def _tell(message: str, done: int = 0, total: int = 0) -> None:
    """One line on the terminal that overwrites itself; nothing when the output is collected."""
    if sys.stderr.isatty():
        share = f" {100 * done // total}%" if total else ""
        end = "\n" if total and done >= total else ""
        print(f"\r{message}{share}\x1b[K", end=end, file=sys.stderr, flush=True)


def _cpus(text: str) -> tuple[int, ...]:
    try:
        return parse_cpus(text)
    except EdgesegError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgeseg.device", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.add_argument("bundle", type=Path)
        sub.add_argument("--cache", type=Path, help="compiled models and timing caches")
        sub.add_argument(
            "--require-signature",
            type=Path,
            metavar="PUBLIC.pem",
            help="refuse bundles not signed by this key",
        )
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument(
            "--lines", action="store_true", help="print JSON lines: progress, then one result or error"
        )
        sub.set_defaults(command=run)
        return sub

    sub = command("build", _build, "build the engine of a deferred bundle on this device")
    sub.add_argument("--output", "-o", type=Path, help="folder of the new bundle (default: BUNDLE-built)")
    sub.add_argument("--overwrite", action="store_true")
    sub.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE",
        help="of the engine's builder, as workspace_mb=1024 or cuda_graph=false of TensorRT",
    )  # fmt: skip

    command("check", _check, "open a bundle and compare its class maps with the golden ones")

    sub = command("infer", _infer, "class maps of a .npy of frames, as a .npy")
    sub.add_argument("frames", type=Path, help="[N,...] as the bundle's frames")
    sub.add_argument("--output", "-o", type=Path, required=True, help="uint8 [N,H,W]")
    sub.add_argument("--overwrite", action="store_true")

    sub = command("score", _score, "how right the engine is on a .npy of frames with a .npy of labels")
    sub.add_argument("frames", type=Path, help="[N,...] as the bundle's frames")
    sub.add_argument("labels", type=Path, help="class ids, uint8 [N,H,W]")

    sub = command("bench", _bench, "measure latency; a deferred bundle is built first")
    usual = BenchSettings()
    sub.add_argument(
        "--vs", type=Path, metavar="BUNDLE", help="alternate with this bundle, give the paired ratio"
    )
    sub.add_argument("--min-runs", type=int, default=usual.min_runs)
    sub.add_argument("--min-seconds", type=float, default=usual.min_seconds)
    sub.add_argument("--warmup", type=int, default=usual.warmup)
    sub.add_argument("--openings", type=int, default=usual.openings, help="of both bundles, with --vs")
    sub.add_argument("--blocks", type=int, default=usual.blocks, help="pairs of blocks in all, with --vs")
    sub.add_argument("--streams", type=int, default=usual.streams, help="requests at work for throughput")
    sub.add_argument("--threads", type=int, help="inference threads; 0: all cores (default: the bundle's)")
    sub.add_argument("--cpus", type=_cpus, default=(), metavar="0,2-3", help="pin the process to these cores")
    sub.add_argument(
        "--max-p99-ms",
        type=float,
        help="exit 1 when the 99th percentile of host_ms is above; 1,000 runs or more",
    )
    sub.add_argument("--no-check", action="store_true", help="time without the self-check")
    return parser
