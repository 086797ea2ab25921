"""A bundle, opened: frames in, out what its task finds in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any

import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import Bundle, TensorInfo
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array, Backends, Engine, OpenSettings, Request, own
from edgeseg.core.target import Target
from edgeseg.errors import EdgesegError, InputError
from edgeseg.runtime import signature
from edgeseg.runtime.check import self_check
from edgeseg.runtime.engine_faults import engine_error, engine_of
from edgeseg.runtime.frames import (
    Color,
    Frames,
    as_frames,
    copy_frames,
    fitting,
    for_engine,
    given_frame,
    given_size,
)
from edgeseg.runtime.recorded import engine_record, require_recorded
from edgeseg.runtime.results import arrays, require_outputs
from edgeseg.runtime.stream import in_order
from edgeseg.runtime.tasks import Outputs, Result, task_of
from edgeseg.runtime.tiled import Tiled


def load(
    path: Path | str,
    *,
    color: Color | None = None,
    threads: int | None = None,
    streams: int = 1,
    cache: Path | None = None,
    check: bool = True,
    warm_up: int = 2,
    profile: bool = False,
    copy: bool = True,
    require_signature: Path | str | None = None,
) -> Session:
    """Open an engine bundle.

    Every file is compared with its hash, the golden frames are run and compared, and each request
    is warmed up, so that the first frame is neither wrong nor slow. The affinity of the process is
    left to the program.

    Args:
        color: order of the colours in the frames you give: `bgr` for those of OpenCV. None: the order the
            bundle was exported for (`Session.frame`). Frames in another order are swapped in one more copy;
            a bundle exported with `--set frame=bgr` takes OpenCV's as they are.
        threads: inference threads on a CPU instead of the bundle's; 0: all cores.
        streams: requests that may run at the same time.
        cache: folder for compiled models; None: no cache.
        check: run the golden frames.
        warm_up: runs of each request before the session is handed out.
        profile: collect time per layer (slower).
        copy: results are arrays of your own. False: those of calls with exactly `batch` frames lie in the
            memory of the engine, until the next call or `close()`; of one stream only. What `stream` gives is
            always copied.
        require_signature: public Ed25519 key (PEM) of who must have signed the bundle.

    Raises:
        BundleError: not an engine bundle, a file was changed, or the self-check or the signature failed.
        EngineMismatch: built for another device or engine version.
        InputError: a `color` that is not known, or senseless settings: several streams without `copy`.
        MissingDependency, MissingDevice: the engine cannot run here.
    """
    settings = OpenSettings(streams=streams, cache=cache, profile=profile)
    if require_signature is not None:
        signature.require_signature(Path(path), Path(require_signature))
    return Session(
        Bundle.open(path), settings, color=color, threads=threads, check=check, warm_up=warm_up, copy=copy
    )


class Session:
    """An engine with its requests. Calls may come from several threads; use `load` to make one. With the
    `backends` of another device, the engine runs there.

    C-contiguous frames in exactly the engine's batch are handed on as they are: the request copies
    them in once, and the results are copied out once, into new arrays or the caller's; with `copy=False` not
    at all. Another channel order costs one more copy of the frames. Frames may be anything that NumPy or
    DLPack takes as an array of this machine's memory, and the arrays that come back are open to DLPack.

    With an engine for tiles, frames of any size from one tile up are cut and joined here, each by itself.

    Attributes:
        frame: what the frames are that it takes.
        engine: the open engine (`layers()` tells its layers).
        bundle, spec, target: what was opened; `task`: what its outputs mean.
        notes: warnings of the engine, such as a CPU family it was not tuned for.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: OpenSettings,
        *,
        color: Color | None = None,
        threads: int | None = None,
        check: bool = True,
        warm_up: int = 2,
        copy: bool = True,
        backends: Backends = backend_for,
    ) -> None:
        if not copy and settings.streams > 1:
            raise InputError(
                f"copy is False with {settings.streams} streams",
                expected="one stream: the next call may run where a result still lies",
            )
        self._copies = copy
        self.frame = given_frame(bundle.manifest.model.preprocess.frame, color)
        record = engine_record(bundle, threads, settings.streams)
        self.bundle = bundle
        self.spec: ModelSpec = bundle.manifest.model
        self.task = task_of(self.spec)
        self.target = Target.parse(record.target)
        with engine_of(bundle, "open"):
            self.engine: Engine = backends(self.target).open(bundle.file(record.entry), record, settings)
        try:
            require_recorded(self.engine, record, bundle)
            with engine_of(bundle, "start"):
                self._prepare(settings.streams, check, warm_up)
        except BaseException:
            self.engine.close()
            raise

    def _prepare(self, streams: int, check: bool, warm_up: int) -> None:
        self._input = self.engine.inputs[0]
        record = self.bundle.engine
        self._tiled = Tiled(self._tiles, record.batch, record.tiles, self.spec) if record.tiles else None
        self._shape = self.frame.shape(record.frames_at_once, *self.camera_size)
        self._streams = streams
        self._process = os.getpid()
        self._closing = Lock()
        self._closed = False
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        requests = [self.engine.request() for _ in range(streams)]
        for request in requests:
            self._requests.put(request)
        self.notes = self.engine.notes
        given, own = self.frame, self.spec.preprocess.frame
        self._positions = own.positions(own)  # golden frames are in the bundle's own order
        agreement = self_check(self.outputs, self.bundle) if check else None
        self._positions = given.positions(own)
        if agreement is not None and agreement.pixels == 0:
            self.notes += ("the self-check compared no pixel: the network is sure of none",)
        blank = {self._input.name: np.zeros(self._input.shape, self._input.dtype)}
        for request in requests:
            for _ in range(warm_up):
                request.write(blank)
                request.execute()

    @property
    def batch(self) -> int:
        """Frames per run of the engine; of one for tiles 1, whose tiles take several runs."""
        return self._shape[0]

    @property
    def camera_size(self) -> tuple[int, int]:
        """(height, width) of the picture in a frame, in pixels. With an engine for tiles, others fit too."""
        return self.bundle.engine.camera_size

    @property
    def streams(self) -> int:
        return self._streams

    def __call__(self, frames: Frames, *, to: Outputs | None = None) -> Any:
        """What the task finds in a frame [H,W,C], or in [N,H,W,C] with any N. Of one channel, C may be left
        out; for other layouts, arrays as `frame.shape` tells.

        Args:
            to: arrays of the caller that the results are written to, by the names of the engine's outputs, as
                in `{"class_map": array}`; others are new.

        Returns:
            Of a semantic network the class ids [H,W] or [N,H,W], uint8 (int32 for more than 256 classes); of
            a multi-label one the bit masks, uint8 [H,W,B] or [N,H,W,B] with B = ceil(C/8); of one of
            instances an `Instances`, or a list of N.

        Raises:
            InputError: frames of another size or dtype, arrays in `to` that do not fit, the session is
                closed, or was opened before a fork.
        """
        return self._read(self.task.found, frames, to)

    def predict(self, frames: Frames, *, to: Outputs | None = None) -> Result:
        """Like a call, with the confidence where the bundle gives it: a `ClassMap`, a `BitMasks`, an
        `Instances`, or what else the task has."""
        found: Result = self._read(self.task.result, frames, to)
        return found

    def _read(self, read: Callable[..., Any], frames: Frames, to: Outputs | None) -> Any:
        given = as_frames(frames)
        outputs = self.outputs(given, to=to)
        return read(outputs, self.spec, self._size(given))

    def outputs(self, frames: Frames, *, to: Outputs | None = None) -> Outputs:
        """What the engine returns, by the names of its outputs."""
        return self.timed(frames, to=to)[0]

    def timed(self, frames: Frames, *, to: Outputs | None = None) -> tuple[Outputs, float]:
        """Like `outputs`, with the device milliseconds of the runs it took; of an engine for tiles, with the
        milliseconds from the cutting of the frame to its result."""
        frames = self._checked(frames)
        single = frames.ndim < len(self._shape)
        try:
            given = frames
            if self._swaps:
                given = np.empty(frames.shape, frames.dtype)
                copy_frames(frames, given, positions=self._positions)
            shown = given[None] if single else given
            if to is not None:
                to = require_outputs(to, self._infos(shown), single=single)
            outputs, elapsed = self._runs(shown, to, copy=self._copies)
        except MemoryError:
            raise InputError(
                f"the memory is not enough for {list(frames.shape)} frames", hint="give fewer in one call"
            ) from None
        if single:
            outputs = {name: array[0] for name, array in outputs.items()}
        return outputs, elapsed

    def stream(self, frames: Iterable[Frames], queue: int = 4, *, copy: bool = True) -> Iterator[Any]:
        """What a call gives for each frame of a source, in its order, while the source is read ahead.

        A thread reads the source and `streams` threads run it; a result is handed out as soon as it
        and all before it are ready. Frames share a run in groups of `batch`. An error of the source
        or of a frame is raised after the results of the groups before it. Closing the iterator (or dropping
        it) stops the threads; one that waits in the source ends with the source's next frame.

        Args:
            frames: one each, without N.
            queue: groups that may be waiting, running or ready at a time.
            copy: take each frame out of the source's memory before the source is asked for the next, so that
                a camera may fill one buffer again and again. False saves that copy: each frame must then keep
                its memory, unchanged, until its result was handed out. Frames that share a run, or whose
                channels are swapped, are copied anyway.

        Raises:
            InputError: `queue` is below 1.
        """
        if queue < 1:
            raise InputError(f"queue is {queue}", expected="at least 1")
        return in_order(self._found, self._groups(frames, copy), workers=self._streams, limit=queue)

    def close(self) -> None:
        """Wait for the runs in progress and free the engine. Closing twice does nothing.

        Nor does closing in a forked child: the engine is the parent's.
        """
        if os.getpid() != self._process:
            return
        with self._closing:
            if self._closed:
                return
            self._closed = True
            for _ in range(self._streams):
                self._requests.get()
            self._requests.put(None)
            self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _swaps(self) -> bool:
        return self._positions != tuple(range(len(self._positions)))

    def _checked(self, frames: Frames, *, single: bool = False) -> Array:
        """Raises InputError for others than those of the bundle."""
        given = as_frames(frames)
        size = given_size(given, self.frame) if self._tiled else None
        return fitting(given, self.frame, size or self.camera_size, self.bundle.manifest.name, single=single)

    def _found(self, frames: Array) -> Any:
        """Of frames [N,...] in the bundle's own channel order."""
        return self.task.found(self._runs(frames)[0], self.spec, self._size(frames))

    def _size(self, frames: Array) -> tuple[int, int]:
        """(height, width) of the picture in frames that were taken."""
        return (given_size(frames, self.frame) if self._tiled else None) or self.camera_size

    def _infos(self, frames: Array) -> tuple[TensorInfo, ...]:
        """Of the outputs of frames [N,...]."""
        size, confidence = self.frame.picture_size(frames.shape), self.bundle.engine.returns_confidence
        return self.task.outputs(self.spec, len(frames), size, confidence=confidence)

    def _runs(self, frames: Array, to: Outputs | None = None, *, copy: bool = True) -> tuple[Outputs, float]:
        """Outputs and device milliseconds of frames [N,...] in the bundle's own channel order.

        Args:
            to: where outputs are written, [N,...]; others are new.
            copy: they may not lie in the memory of a request.
        """
        if not copy and to is None and not self._tiled and len(frames) == self.batch:
            whole, elapsed = self._run(frames, dict)
        else:
            whole = arrays(self._infos(frames), to or {})
            elapsed = self._tiled.fill(frames, whole) if self._tiled else self._split(frames, whole)
        if (remark := self.task.remark(whole)) and remark not in self.notes:
            self.notes += (remark,)
        return whole, elapsed

    def _tiles(self, given: Array) -> Outputs:
        return self._run(given, own)[0]

    def _run(self, frames: Array, read: Callable[[Outputs], Outputs]) -> tuple[Outputs, float]:
        """One run of the engine, on frames or tiles in exactly its batch.

        Args:
            read: what is kept of the outputs before the request runs again.
        """
        if os.getpid() != self._process:
            raise InputError(
                f"the session of '{self.bundle.manifest.name}' was opened before this process was forked: "
                "the threads of its engine are not here",
                expected="load() in the process that runs frames",
                hint="load after the fork, or start processes with multiprocessing's 'spawn'",
            )
        request = self._requests.get()
        if request is None:
            self._requests.put(None)
            raise InputError(
                f"the session of '{self.bundle.manifest.name}' is closed", hint="open it again with load()"
            )
        try:
            request.write({self._input.name: for_engine(frames, self._input)})
            elapsed = request.execute()
            return read(request.read()), elapsed
        except (EdgesegError, MemoryError):
            raise
        except Exception as fault:  # exceptions of engines have no common base
            raise engine_error(self.bundle, "run", fault) from fault
        finally:
            self._requests.put(request)

    def _split(self, frames: Array, whole: Outputs) -> float:
        """Runs of `batch` frames, the last one filled up with black frames, into `whole`. Returns device
        milliseconds."""
        total = 0.0
        for start in range(0, len(frames), self.batch):
            part = frames[start : start + self.batch]
            rows, count = slice(start, start + len(part)), len(part)

            def kept(outputs: Outputs, rows: slice = rows, count: int = count) -> Outputs:
                for name, array in whole.items():
                    np.copyto(array[rows], outputs[name][:count])
                return {}

            total += self._run(part if count == self.batch else _filled(part, self.batch), kept)[1]
        return total

    def _groups(self, frames: Iterable[Frames], copy: bool) -> Iterator[Frames]:
        """Batches [n,...] of consecutive frames, n = `batch` but for the last, in the bundle's order."""
        borrows = self.batch == 1 and not copy and not self._swaps
        count = 0
        for frame in frames:
            array = self._checked(frame, single=True)
            if borrows:
                yield array[None]
                continue
            if count == 0:
                group = np.empty((self.batch, *array.shape), array.dtype)
            copy_frames(array, group[count], positions=self._positions)
            count += 1
            if count == self.batch:
                yield group
                count = 0
        if count:
            yield group[:count]


def _filled(frames: Array, batch: int) -> Array:
    whole = np.zeros((batch, *frames.shape[1:]), frames.dtype)
    whole[: len(frames)] = frames
    return whole
