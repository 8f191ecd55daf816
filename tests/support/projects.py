"""Projects that tests run."""

from __future__ import annotations

import json
from pathlib import Path

from container_backend.privileges import Giver, Permissions

# A backend config, and the same as options of a command.
TRUSTED = {"trust_project": True}
TRUST = ("-c", json.dumps(TRUSTED))
TRUSTED_FOLDER = Permissions(Giver.OWN, trusted=True)
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "example_project"


def with_steps(folder: str, block: str, steps: str) -> str:
    """The project with steps of its own in its template."""
    template = f"{{% block {block} %}}\n{steps}\n{{% endblock %}}\n"
    Path(folder, "Dockerfile.j2").write_text(template)
    return folder
