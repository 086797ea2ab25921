from __future__ import annotations

from colors import colors, make_bundle

__all__ = ["colors", "make_bundle"]
