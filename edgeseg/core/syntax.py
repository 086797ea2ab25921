"""Python 3.11 counts the depth of a syntax tree for all threads together: a collection of garbage that lets
another thread in while one is made ends both with a SystemError (python/cpython#106905). NumPy makes one of
the header of every `.npy`."""

from __future__ import annotations

from threading import RLock

ONE_TREE = RLock()
"""Held while a syntax tree is made."""
