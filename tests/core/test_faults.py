from __future__ import annotations

import numpy as np
import pytest

from edgeseg.core.faults import DEBUG, explained
from edgeseg.core.target import Target
from edgeseg.errors import BundleError, InputError, InternalError


def raised(call) -> Exception:
    try:
        call()
    except Exception as fault:
        return fault
    raise AssertionError


def deep():
    return deep()


def test_an_error_of_edgeseg_is_its_own():
    fault = BundleError("broken")
    assert explained(fault) is fault


def test_memory_tells_what_was_too_large():
    found = explained(raised(lambda: np.empty((10**7, 10**7))))
    assert type(found) is InputError and found.exit_code == 2
    assert "memory is not enough" in found.message and "(10000000, 10000000)" in found.message
    assert "smaller" in found.hint
    assert "memory" in explained(RuntimeError("DefaultCPUAllocator: can't allocate memory")).message


def test_recursion_is_told():
    assert "nested too deeply" in explained(raised(deep)).message


def test_anything_else_is_a_fault_of_edgeseg_with_its_place(monkeypatch):
    monkeypatch.delenv(DEBUG, raising=False)
    fault = raised(lambda: Target.parse(7))
    found = explained(fault)
    assert isinstance(found, InternalError) and found.exit_code == 2
    assert "this is a fault of edgeseg: TypeError: " in found.message and "(core/target.py:" in found.message
    assert "report" in found.hint and "Traceback" not in str(found)
    monkeypatch.setenv(DEBUG, "1")
    assert "Traceback (most recent call last)" in explained(fault).message


@pytest.mark.parametrize("off", ["", "0"])
def test_debugging_can_be_switched_off(monkeypatch, off):
    monkeypatch.setenv(DEBUG, off)
    assert "Traceback" not in str(explained(ValueError("x")))
