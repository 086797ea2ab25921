"""The CUDA driver through ctypes: memory, streams, events and graphs. No CUDA package is needed.

The driver library comes with every NVIDIA driver (also on Jetson) and shares its primary context
with the CUDA runtime inside TensorRT. Signatures: the CUDA Driver API reference,
https://docs.nvidia.com/cuda/cuda-driver-api. Every pointer and size is wrapped: ctypes would pass a
bare int as 32 bits.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import byref, c_char, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.ports import Array
from edgeseg.errors import MissingDevice

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may use CUDA meanwhile


class Device(NamedTuple):
    """A GPU: its name and its compute capability as `sm89`."""

    ordinal: int
    name: str
    capability: str


class CudaError(MissingDevice):
    """A call the driver refused."""


class Cuda:
    """The driver.

    Args:
        library: an object with the driver's functions; None: the driver of this machine.

    Raises:
        MissingDevice: no driver, or it finds no GPU.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or _load()
        self.call("cuInit", c_uint(0))
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        if count.value == 0:
            raise MissingDevice("the NVIDIA driver finds no GPU", hint="check `nvidia-smi`")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a driver function. Raises CudaError with the driver's own words."""
        code = getattr(self._library, name)(*arguments)
        if code == 0:
            return
        text = c_char_p()
        self._library.cuGetErrorString(c_int(code), byref(text))
        reason = (text.value or b"unknown error").decode()
        raise CudaError(
            f"the CUDA driver refused {name}: {reason} (code {code})",
            hint="close other programs that use the GPU, or update the NVIDIA driver",
        )

    def device(self, index: int = 0) -> Device:
        handle = self._device(index)
        name = (c_char * 256)()
        self.call("cuDeviceGetName", name, c_int(len(name)), handle)
        major, minor = c_int(), c_int()
        self.call("cuDeviceGetAttribute", byref(major), c_int(_MAJOR), handle)
        self.call("cuDeviceGetAttribute", byref(minor), c_int(_MINOR), handle)
        return Device(index, name.value.decode(), f"sm{major.value}{minor.value}")

    def retain(self, index: int = 0) -> c_void_p:
        """The primary context of a device, made current for this thread."""
        context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(context), self._device(index))
        self.use(context)
        return context

    def release(self, index: int = 0) -> None:
        self.call("cuDevicePrimaryCtxRelease_v2", self._device(index))

    def use(self, context: c_void_p) -> None:
        """Make a context current for the calling thread."""
        self.call("cuCtxSetCurrent", context)

    def _device(self, index: int) -> c_int:
        handle = c_int()
        self.call("cuDeviceGet", byref(handle), c_int(index))
        return handle


class Stream:
    """A stream with two timing events, and the graph captured on it."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._handle, self._start, self._end = c_void_p(), c_void_p(), c_void_p()
        self._graph = c_void_p()
        cuda.call("cuStreamCreate", byref(self._handle), c_uint(_NON_BLOCKING))
        cuda.call("cuEventCreate", byref(self._start), c_uint(0))
        cuda.call("cuEventCreate", byref(self._end), c_uint(0))

    @property
    def handle(self) -> int:
        return self._handle.value or 0

    def synchronize(self) -> None:
        self._cuda.call("cuStreamSynchronize", self._handle)

    def start_clock(self) -> None:
        self._cuda.call("cuEventRecord", self._start, self._handle)

    def stop_clock(self) -> float:
        """Wait for the stream; milliseconds since `start_clock`, measured on the device."""
        self._cuda.call("cuEventRecord", self._end, self._handle)
        self.synchronize()
        elapsed = c_float()
        self._cuda.call("cuEventElapsedTime", byref(elapsed), self._start, self._end)
        return elapsed.value

    def begin_capture(self) -> None:
        self._cuda.call("cuStreamBeginCapture_v2", self._handle, c_int(_THREAD_LOCAL))

    def end_capture(self) -> None:
        """Keep what was enqueued since `begin_capture` as a graph. Raises CudaError if it broke off."""
        graph = c_void_p()
        self._cuda.call("cuStreamEndCapture", self._handle, byref(graph))
        self._cuda.call("cuGraphInstantiateWithFlags", byref(self._graph), graph, c_uint64(0))
        self._cuda.call("cuGraphDestroy", graph)

    @property
    def captured(self) -> bool:
        return bool(self._graph.value)

    def launch(self) -> None:
        self._cuda.call("cuGraphLaunch", self._graph, self._handle)

    def close(self) -> None:
        if self.captured:
            self._cuda.call("cuGraphExecDestroy", self._graph)
        self._cuda.call("cuEventDestroy_v2", self._start)
        self._cuda.call("cuEventDestroy_v2", self._end)
        self._cuda.call("cuStreamDestroy_v2", self._handle)


class Buffer:
    """Device memory for one tensor, with page-locked host memory to copy through.

    Attributes:
        address: of the device memory.
        host: the page-locked side as an array.
    """

    def __init__(self, cuda: Cuda, info: TensorInfo) -> None:
        self._cuda = cuda
        self._bytes = int(np.prod(info.shape)) * np.dtype(info.dtype).itemsize
        self._device, self._pinned = c_uint64(), c_void_p()
        cuda.call("cuMemAlloc_v2", byref(self._device), c_size_t(self._bytes))
        cuda.call("cuMemHostAlloc", byref(self._pinned), c_size_t(self._bytes), c_uint(0))
        raw = (ctypes.c_uint8 * self._bytes).from_address(self._pinned.value or 0)
        self.host: Array = np.ctypeslib.as_array(raw).view(info.dtype).reshape(info.shape)

    @property
    def address(self) -> int:
        return self._device.value

    def upload(self, stream: Stream) -> None:
        handle = c_void_p(stream.handle)
        self._cuda.call("cuMemcpyHtoDAsync_v2", self._device, self._pinned, c_size_t(self._bytes), handle)

    def download(self, stream: Stream) -> None:
        handle = c_void_p(stream.handle)
        self._cuda.call("cuMemcpyDtoHAsync_v2", self._pinned, self._device, c_size_t(self._bytes), handle)

    def close(self) -> None:
        self._cuda.call("cuMemFree_v2", self._device)
        self._cuda.call("cuMemFreeHost", self._pinned)


@lru_cache(maxsize=1)
def cuda() -> Cuda:
    """The driver of this machine. Raises MissingDevice (not cached) when it is not here."""
    return Cuda()


def _load() -> Any:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError:
        raise MissingDevice(
            f"no NVIDIA driver: {name} cannot be loaded",
            hint="run it on a machine with an NVIDIA GPU and its driver",
        ) from None
