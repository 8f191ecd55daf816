"""What is written down of a run so that it can be repeated: ``record/run.json`` of its artifacts.

No secret is in it: variables whose names say that they hold one are written down by name alone.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)
