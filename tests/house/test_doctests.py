"""The examples in the docstrings of the metrics are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from edgeseg import metrics

MODULES = [f"edgeseg.metrics.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) > 0
