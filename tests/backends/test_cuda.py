import numpy as np
import pytest
from fake_gpu import FakeDriver

from edgeseg.backends import _cuda
from edgeseg.backends._cuda import Buffer, Cuda, Device, Stream
from edgeseg.core.bundle import TensorInfo
from edgeseg.errors import MissingDevice


def test_no_driver_is_named(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    _cuda.cuda.cache_clear()
    with pytest.raises(MissingDevice, match=r"no NVIDIA driver: (libcuda\.so\.1|nvcuda\.dll)"):
        _cuda.cuda()


def test_driver_without_gpu():
    with pytest.raises(MissingDevice, match="finds no GPU"):
        Cuda(FakeDriver(devices=0))


def test_device():
    assert Cuda(FakeDriver()).device() == Device(0, "Fake GPU", "sm89")


def test_refused_call_carries_the_drivers_words():
    cuda = Cuda(FakeDriver(refuse=["alloc"]))
    with pytest.raises(MissingDevice, match="refused cuMemAlloc_v2: refused by the test"):
        Buffer(cuda, TensorInfo("x", "float32", (2, 3)))


def test_buffer_moves_bytes_both_ways():
    driver = FakeDriver()
    cuda = Cuda(driver)
    stream = Stream(cuda)
    buffer = Buffer(cuda, TensorInfo("x", "float32", (2, 3)))
    assert buffer.host.shape == (2, 3) and buffer.host.dtype == np.float32
    buffer.host[:] = np.arange(6).reshape(2, 3)
    buffer.upload(stream)
    buffer.host[:] = 0
    buffer.download(stream)
    assert np.array_equal(buffer.host, np.arange(6).reshape(2, 3))
    assert buffer.address in driver.memory
    buffer.close()
    stream.close()
    assert driver.memory == {}
