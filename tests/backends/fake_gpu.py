"""A CUDA driver and a TensorRT runtime in plain Python: they keep the order of calls and move real bytes.

The engine they run gives 1 where the first channel of a frame is above 127.
"""

from __future__ import annotations

import ctypes
import json
import types

import numpy as np

SHAPE = (1, 4, 6, 3)


class FakeDriver:
    """Functions of libcuda with their C signatures, on host memory."""

    def __init__(self, *, devices=1, refuse=()):
        self.calls: list[str] = []
        self.memory: dict[int, object] = {}
        self.devices = devices
        self.refuse = set(refuse)
        self.capturing = None
        self.handles = 0

    def __getattr__(self, name):
        def unknown(*arguments):
            self.calls.append(name)
            return 999 if name in self.refuse else 0

        return unknown

    def _log(self, name):
        self.calls.append(name)
        return 999 if name in self.refuse else 0

    def _new(self, where):
        self.handles += 1
        where._obj.value = self.handles

    def cuGetErrorString(self, code, text):
        text._obj.value = b"refused by the test"
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.devices
        return 0

    def cuDeviceGetName(self, name, size, device):
        name.value = b"Fake GPU"
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = {75: 8, 76: 9}[attribute.value]
        return 0

    def _allocate(self, name, where, size):
        memory = ctypes.create_string_buffer(size.value)
        self.memory[ctypes.addressof(memory)] = memory
        where._obj.value = ctypes.addressof(memory)
        return self._log(name)

    def cuMemAlloc_v2(self, where, size):
        return self._allocate("alloc", where, size)

    def cuMemHostAlloc(self, where, size, flags):
        return self._allocate("alloc", where, size)

    def cuMemFree_v2(self, address):
        del self.memory[address.value]
        return 0

    cuMemFreeHost = cuMemFree_v2

    def cuMemcpyHtoDAsync_v2(self, target, source, size, stream):
        ctypes.memmove(target.value, source.value, size.value)
        return self._log("upload")

    def cuMemcpyDtoHAsync_v2(self, target, source, size, stream):
        ctypes.memmove(target.value, source.value, size.value)
        return self._log("download")

    def cuStreamCreate(self, where, flags):
        self._new(where)
        return self._log("stream")

    def cuEventCreate(self, where, flags):
        self._new(where)
        return 0

    def cuEventElapsedTime(self, where, start, end):
        assert start.value != end.value
        where._obj.value = 2.5
        return 0

    def cuStreamBeginCapture_v2(self, stream, mode):
        code = self._log("begin capture")
        self.capturing = [] if code == 0 else None
        return code

    def cuStreamEndCapture(self, stream, where):
        self._new(where)
        self.graph, self.capturing = self.capturing, None
        return self._log("end capture")

    def cuGraphInstantiateWithFlags(self, where, graph, flags):
        self._new(where)
        return self._log("instantiate")

    def cuGraphLaunch(self, graph, stream):
        for run in self.graph:
            run()
        return self._log("launch")

    def cuStreamSynchronize(self, stream):
        return self._log("sync")

    def cuEventRecord(self, event, stream):
        return self._log("record")


class _Base:
    pass


class FakeContext:
    def __init__(self, driver, config=None):
        self._driver = driver
        self.config = config
        self.addresses: dict[str, int] = {}
        self.profiler = None
        self.works = True

    def set_tensor_address(self, name, address):
        self._driver.calls.append(f"address {name}")
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        assert isinstance(stream_handle, int) and stream_handle
        assert set(self.addresses) == {"frames", "class_map"}
        self._driver.calls.append("enqueue")
        if self._driver.capturing is not None:
            self._driver.capturing.append(self._run)
        else:
            self._run()
        return self.works

    def _run(self):
        frames = self._array("frames", SHAPE)
        self._array("class_map", SHAPE[:3])[:] = frames[..., 0] > 127
        if self.profiler is not None:
            self.profiler.report_layer_time("conv1", 0.5)

    def _array(self, name, shape):
        raw = (ctypes.c_uint8 * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(raw).reshape(shape)


class FakeCache:
    def __init__(self):
        self.loaded = b""

    def deserialize(self, data):
        self.loaded = data
        return True

    def serialize(self):
        return b"kernels"


class FakeConfig:
    cuda_graph_strategy = "DISABLED"
    cache = None

    def create_runtime_cache(self):
        return FakeCache()

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class FakeEngine:
    def __init__(self, driver, shape=SHAPE):
        self._driver = driver
        self._shapes = {"frames": shape, "class_map": shape[:3]}
        self.contexts: list[FakeContext] = []

    def get_tensor_shape(self, name):
        return self._shapes[name]

    def get_tensor_dtype(self, name):
        return "UINT8"

    def create_runtime_config(self):
        return FakeConfig()

    def create_execution_context(self, config=None):
        self.contexts.append(FakeContext(self._driver, config))
        return self.contexts[-1]

    def create_engine_inspector(self):
        layers = [{"Name": "conv1", "LayerType": "CaskConvolution", "Outputs": [{"DataType": "Half"}]}]
        return types.SimpleNamespace(get_engine_information=lambda form: json.dumps({"Layers": layers}))


def fake_trt(driver, *, engine=True, version="10.3.0", shape=SHAPE):
    """The parts of the `tensorrt` module that run a plan. `.engine` is the deserialised engine."""
    made = FakeEngine(driver, shape) if engine else None

    class Runtime:
        def __init__(self, logger):
            self._logger = logger

        def deserialize_cuda_engine(self, plan):
            if made is None:
                self._logger.log("ERROR", "Version tag does not match")
            return made

        def get_engine_validity(self, plan):
            return "INVALID", 2

    class ILogger(_Base):
        Severity = types.SimpleNamespace(ERROR="ERROR", INTERNAL_ERROR="INTERNAL_ERROR")

    return types.SimpleNamespace(
        __version__=version,
        engine=made,
        ILogger=ILogger,
        IProfiler=_Base,
        Runtime=Runtime,
        nptype=lambda dtype: np.uint8,
        CudaGraphStrategy=types.SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE"),
        LayerInformationFormat=types.SimpleNamespace(JSON="json"),
        EngineInvalidityDiagnostics=types.SimpleNamespace(
            __members__={"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2}
        ),
    )
