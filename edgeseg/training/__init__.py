"""The one loop that trains."""

from __future__ import annotations
