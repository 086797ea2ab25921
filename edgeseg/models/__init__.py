"""Networks: one architecture family per file, and the loaders for the user's own.

A family file states `NAMES` and has `def family(name: str) -> Family`.
"""

from __future__ import annotations

from edgeseg.core.plugins import PluginFolder
from edgeseg.errors import ModelError
from edgeseg.models._family import Family

__all__ = ["MODELS", "Family", "family"]

MODELS = PluginFolder("edgeseg.models", "model", listing="edgeseg models", error=ModelError)


def family(name: str) -> Family:
    """The zoo entry of that name. Raises ModelError, with the nearest name, when there is none."""
    found: Family = MODELS.load(name).family(name)
    return found
