"""An image that is built again from a record, which the program of the run may have written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from container_backend.environment import EnvironmentSpec, Indexes
from container_backend.environment.conda import CONDA_TEMPLATE
from container_backend.environment.declared import CondaPackages
from container_backend.errors import InvalidConfig
from container_backend.image import BaseImage, plan_image
from container_backend.privileges import Giver, Permissions
from container_backend.rerun.rebuild import _scope_of, _with_rights

DIGEST = "sha256:" + "1" * 64
BASE = BaseImage("python:3.11-slim", DIGEST, f"python:3.11-slim@{DIGEST}")
SPEC = EnvironmentSpec("3.11", "", ("six",))
CONDA = replace(SPEC, conda=CondaPackages(("conda-forge",), ("r-base",)), template=CONDA_TEMPLATE)
RECORD = Permissions(Giver.RECORD)
TRUSTED = Permissions(Giver.RECORD, trusted=True)


def recorded(spec: EnvironmentSpec = SPEC, base: BaseImage = BASE):
    """A plan as a record gives it: no login, and a cache of its own."""
    plan = plan_image(spec, base, "linux/amd64")
    scope = _scope_of(plan.context)
    return replace(
        plan, hash="that of another environment", withholds_logins=True, cache_scope=scope
    )


@pytest.mark.parametrize("spec", [SPEC, CONDA], ids=["python", "conda"])
@pytest.mark.parametrize("reference", ["python:3.11-slim", "evil.test:5000/x"])
def test_steps_of_a_record_get_no_login_and_no_cache_of_others(spec, reference):
    base = BaseImage(reference, DIGEST, f"{reference.rpartition(':')[0]}@{DIGEST}")
    plan = _with_rights(recorded(spec, base), "run", RECORD)
    assert (plan.withholds_logins, plan.trusts_packages) == (True, False)
    assert plan.cache_scope
    trusted = _with_rights(recorded(spec, base), "run", TRUSTED)
    assert (trusted.withholds_logins, trusted.trusts_packages) == (False, True)
    assert trusted.cache_scope


def test_the_image_is_not_taken_for_the_environment_that_the_record_names():
    plan = _with_rights(recorded(), "run", RECORD)
    assert plan.hash != recorded().hash
    assert plan.hash[:12] in plan.tag
    other = _with_rights(recorded(replace(SPEC, requirements=("seven",))), "run", RECORD)
    assert other.hash != plan.hash


@pytest.mark.parametrize(
    "files",
    [
        {"build/install.sh": b"id\n"},
        {"build/struct.py": b"import os\n"},
        {"build/sub/json.py": b"import os\n"},
    ],
)
def test_scripts_of_a_record_are_run_if_it_is_trusted(files):
    plan = recorded()
    plan = replace(plan, context={**plan.context, **files})
    with pytest.raises(InvalidConfig, match="by other steps than this version") as caught:
        _with_rights(plan, "run", RECORD)
    assert "--trust" in str(caught.value)
    assert _with_rights(plan, "run", TRUSTED).context["build/install.sh"]


def test_settings_of_the_installer_are_those_of_this_machine(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine.test/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    evil = Indexes(default="https://evil.test/simple")
    plan = recorded(replace(SPEC, indexes=evil, installer_indexes=evil))
    assert b"evil.test" in plan.context["build/pip.conf"]
    context = _with_rights(plan, "run", RECORD).context
    assert b"mine.test" in context["build/pip.conf"]
    assert b"evil.test" not in context["build/pip.conf"]
    # What others take from the cache is not of an index that a record names.
    assert context["declared/index.txt"] == b""
