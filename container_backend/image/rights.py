"""What the steps of a build may have: caches, logins; and whether the steps are ours."""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import is_same_registry, registry_of
from container_backend.environment import (
    TEMPLATES,
    EnvironmentSpec,
    Template,
    ca_bundle,
    netrc_file,
    proxies,
    proxy_file,
    python_settings,
    with_netrc,
)
from container_backend.image.dockerfile import LOCAL_LAYER, render
from container_backend.image.hash import PYTHON_SETTINGS, SCRIPTS, pip_settings, uv_files
from container_backend.image.registry import logins_of
from container_backend.machine import digest_of, owner_key, read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container_backend.engine import Engine, Login
    from container_backend.environment import Indexes
    from container_backend.image.hash import ImagePlan

# References of images, names of Debian packages, versions, names of files.
_PLAIN: Final = re.compile(r"[A-Za-z0-9.:/@=+~_-]+")
_CACHE_ID: Final = re.compile(rb"\bid=container-backend-[a-z]+\b")
_OWN_CACHE: Final = b"-builds"
_CACHE_DIGITS: Final = 16


def has_our_steps(plan: ImagePlan) -> bool:
    """True if a plan of a record has the steps and scripts of this version, and no others."""
    scripts = {f"build/{name}": read_template(name).encode() for name in SCRIPTS}
    settings = {"build/pip.conf", PYTHON_SETTINGS, *uv_files(plan.indexes)}
    found = {path: plan.context[path] for path in plan.context if path.startswith("build/")}
    if {path: text for path, text in found.items() if path not in settings} != scripts:
        return False
    packages = re.search(r"sh /build/system\.sh (.+)$", plan.dockerfile, re.MULTILINE)
    source = re.search(r"sh /build/resolve\.sh (\S+) ", plan.dockerfile)
    system = packages[1].split() if packages else []
    lock = source[1] if source and source[1] != "requirements" else ""
    # What is put into the template must bring along no steps of its own.
    if not all(
        _PLAIN.fullmatch(text) for text in (plan.python, plan.base.pinned, *system, lock or "-")
    ):
        return False
    spec = EnvironmentSpec(
        python=plan.python,
        python_source="",
        requirements=("any",) if source else (),
        system_packages=tuple(system),
        fetches_python="/build/python.sh" in plan.dockerfile,
        finds_libraries="/build/libraries.sh" in plan.dockerfile,
        files={"any": b""} if f" {LOCAL_LAYER}\n" in plan.dockerfile else {},
        lock=lock,
    )
    specs = [replace(spec, template=Template(name)) for name in sorted(TEMPLATES)]
    return any(render(each, plan.base.pinned) == plan.dockerfile for each in specs)


def scope_of_builds(plan: ImagePlan, project: str) -> str:
    """A digest of whose programs build packages, and of where: what changes their result.

    Args:
        project: The folder or the address of the project.
    """
    told = [project, plan.platform, plan.dockerfile, str(plan.context.get("declared/conda.yaml"))]
    return digest_of(json.dumps(told).encode())


def settings_of_machine(plan: ImagePlan, machine: Indexes) -> dict[str, bytes]:
    """Path → content of those files of a plan's context that must not be another person's.

    Args:
        machine: The indexes of this machine's settings.
    """
    files = {
        **uv_files(plan.indexes),
        "build/pip.conf": pip_settings(machine),
        "declared/index.txt": "",
        PYTHON_SETTINGS: python_settings(),
    }
    return {path: text.encode() for path, text in files.items()}


def credentials(
    plan: ImagePlan, docker_auth: Mapping[str, Any] | None
) -> Callable[[str], Login | None]:
    """The logins for registries: only for that of the base image, if steps are the project's."""
    logins = logins_of(docker_auth)
    if not plan.withholds_logins:
        return logins
    registry = registry_of(plan.base.pinned)
    return lambda host: logins(host) if is_same_registry(host, registry) else None


def with_cache_ids(engine: Engine, plan: ImagePlan, *, anew: bool = False) -> bytes:
    """The Dockerfile with ids of caches that no project can know.

    A step of a project's own template could mount any cache whose id it knows.

    Args:
        anew: Packages without a wheel are built again.
    """
    everybodys = f"{engine.facts.id or owner_key()} {plan.cache_scope}"
    fresh = uuid.uuid4() if anew else ""
    own = f"{engine.facts.id} {owner_key()} {plan.build_scope or plan.hash} {fresh}"

    def with_scope(match: re.Match[bytes]) -> bytes:
        scope = own if match[0].endswith(_OWN_CACHE) else everybodys
        return match[0] + b"-" + digest_of(scope.encode())[:_CACHE_DIGITS].encode()

    return _CACHE_ID.sub(with_scope, plan.dockerfile.encode())


def build_secrets(plan: ImagePlan, environ: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """The secrets for the access to packages: certificates and logins."""
    every = with_netrc(plan.indexes, plan.login_hosts, environ).logins
    logins = {
        "netrc": plan.own_logins if plan.withholds_logins else every,
        "build-netrc": every if plan.trusts_packages else plan.own_logins,
    }
    secrets = {name: netrc_file(given) for name, given in logins.items() if given}
    if proxy := proxy_file(proxies(environ)):
        secrets |= {} if plan.withholds_logins else {"proxy": proxy}
        secrets |= {"build-proxy": proxy} if plan.trusts_packages else {}
    if (bundle := ca_bundle(environ)) is not None:
        secrets["ca-bundle"] = bundle
    return secrets
