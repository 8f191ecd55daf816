"""Projects that tests run."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "example_project"


def with_steps(folder: str, block: str, steps: str) -> str:
    """The project with steps of its own in its template."""
    template = f"{{% block {block} %}}\n{steps}\n{{% endblock %}}\n"
    Path(folder, "Dockerfile.j2").write_text(template)
    return folder
