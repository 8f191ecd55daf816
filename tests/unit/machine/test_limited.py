"""Functions on input of others, within limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from container_backend.environment import EnvironmentSpec
from container_backend.errors import InvalidConfig
from container_backend.image.dockerfile import UserTemplate, render
from container_backend.machine import limited

TEMPLATE = Path("/x/Dockerfile.j2")


def rendered(text: str) -> str:
    return render(EnvironmentSpec("3.11", ""), "base", UserTemplate(TEMPLATE, text))


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ ('x' * 99999) * 99999 }}",
    ],
    ids=["time", "memory"],
)
def test_a_template_without_end_is_given_up(text, monkeypatch):
    monkeypatch.setattr(limited, "_SECONDS", 1)
    with pytest.raises(InvalidConfig, match=f"{TEMPLATE}: it takes more than 1 s or 1024 MB"):
        rendered(f"{{% block final %}}{text}{{% endblock %}}")


@pytest.mark.parametrize("name", ["json.py", "resource.py", "container_backend/__init__.py"])
def test_no_file_of_the_current_folder_stands_for_a_module(name, tmp_path, monkeypatch):
    """It may be the folder of a project."""
    mark = tmp_path / "was-run"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    assert "FROM base" in rendered("")
    assert not mark.exists()


def test_without_the_guard_a_file_of_the_current_folder_is_run(tmp_path, monkeypatch):
    mark = tmp_path / "was-run"
    (tmp_path / "json.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.setattr(limited, "module_variables", lambda _: {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(InvalidConfig):
        rendered("")
    assert mark.exists()
