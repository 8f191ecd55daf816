"""Programs in a build that reach for what other builds use, and for the user's logins."""

from __future__ import annotations

import base64
import functools
import shutil
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend.image import build, dockerfile
from container_backend.image import hash as image_hash
from tests.support.packages import PASSWORD as INDEX_PASSWORD
from tests.support.packages import USER, serving, wheel
from tests.support.projects import TRUSTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "p4ssw0rd-0f-mine"
# Reads what it finds of the user's logins, and adds a line to each copy of a package that it finds.
POISON = """
import glob, os, pathlib
loot = "".join(
    pathlib.Path(file).read_text()
    for file in glob.glob("/run/secrets/*") + [os.environ.get("NETRC", "/none")]
    if os.path.isfile(file) and "bundle" not in file
)
for top in set(os.listdir("/")) - {"dev", "mlflow", "proc", "sys"}:
    for folder, _, files in os.walk(f"/{top}"):
        if "victim.py" in files:
            pathlib.Path(folder, "victim.py").write_text("print('poisoned')\\n")
            loot += f" {folder}"
"""
# Versions of a package without content: each makes another environment, whose steps no build has run.
SALTS = [str(uuid.uuid4().int % 2**60) for _ in range(20)]
THIRD = SALTS.pop()
SHOW = "entry_points: {main: {command: 'python -c \"import victim\"'}}"


@pytest.fixture(scope="module")
def index(engine) -> Iterator[str]:
    hook = f"import sys; exec({POISON!r}, {{}})\n"
    program = f"#!/usr/bin/env -S python3 -I\nexec({POISON!r}, {{}})\n"
    names = ("rm", "cp", "find", "head", "mktemp")
    programs = {f"third-{THIRD}.data/scripts/{name}": program for name in names}
    sources = {
        "victim-1.0-py3-none-any.whl": wheel("victim", "1.0", {"victim.py": "print('fine')\n"}),
        "first-1.0-py3-none-any.whl": wheel(
            "first", "1.0", {"first.py": "", "first.pth": hook}, requires="second"
        ),
        "second-1.0-py3-none-any.whl": wheel("second", "1.0", {"second.pth": hook}),
        f"third-{THIRD}-py3-none-any.whl": wheel("third", THIRD, {"third.py": "", **programs}),
        **{f"salt-{each}-py3-none-any.whl": wheel("salt", each) for each in SALTS},
    }
    with serving(engine, sources) as address:
        yield f"http://{address}"


@pytest.fixture
def home(tmp_path, monkeypatch, index) -> None:
    """A user with a login for the index, which is that of the machine."""
    host = index.removeprefix("http://").partition(":")[0]
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {host} login me password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{index}/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", host)


@pytest.fixture
def write(tmp_path) -> Callable[[dict[str, str]], str]:
    """Write a project into a folder of its own; gives the folder."""

    def written(files: dict[str, str]) -> str:
        folder = tmp_path / uuid.uuid4().hex
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return str(folder)

    return written


@pytest.fixture
def victim(write, home, capfd) -> Callable[[], str]:
    """Run an environment of its own that has the package; gives what the program says."""

    def run() -> str:
        folder = write(
            {"MLproject": SHOW, "requirements.txt": f"victim==1.0\nsalt=={SALTS.pop()}\n"}
        )
        container_backend.run(folder)
        return capfd.readouterr().out

    return run


def setup_py(write) -> str:
    """A package of the project, whose build runs the attack."""
    script = f"{POISON}\nfrom setuptools import setup\n"
    script += "pathlib.Path('found.py').write_text('LOOT = ' + repr(loot))\n"
    script += "setup(name='pkg', version='1', py_modules=['found'])\n"
    show = 'python -c "import found; print(found.LOOT)"'
    return write(
        {
            "MLproject": f"entry_points: {{main: {{command: '{show}'}}}}",
            "requirements.txt": f"./pkg\nsalt=={SALTS.pop()}\n",
            "pkg/setup.py": script,
        }
    )


def template(write) -> str:
    """Steps of the project's own, which mount what they can name."""
    script = f"{POISON}\npathlib.Path('/loot').write_text(loot)"
    coded = base64.b64encode(script.encode()).decode()
    block = (
        "{% block final %}\n{{ super() }}\n"
        "RUN --mount=type=cache,id=container-backend-packages,target=/cache "
        "--mount=type=secret,id=netrc --mount=type=secret,id=build-netrc "
        f"python3 -c 'import base64; exec(base64.b64decode(\"{coded}\"))'\n"
        "{% endblock %}\n"
    )
    return write(
        {
            "MLproject": "entry_points: {main: {command: 'cat /loot'}}",
            "requirements.txt": f"victim\nsalt=={SALTS.pop()}\n",
            "Dockerfile.j2": block,
        }
    )


def pth(write) -> str:
    """Wheels that run at each start of an interpreter that finds them."""
    return write(
        {
            "MLproject": "entry_points: {main: {command: 'true'}}",
            "requirements.txt": f"first==1.0\nvictim==1.0\nsalt=={SALTS.pop()}\n",
        }
    )


def scripts(write) -> str:
    """A wheel whose programs have the names of those that the steps use."""
    return write(
        {
            "MLproject": "entry_points: {main: {command: 'true'}}",
            "requirements.txt": f"third=={THIRD}\nvictim==1.0\nsalt=={SALTS.pop()}\n",
        }
    )


def with_cache_for_all(read: Callable[[str], str], name: str) -> str:
    """The templates without the guard: the build of packages has the cache and the logins."""
    text = read(name)
    if name == "Dockerfile.python.j2":
        text = text.replace(
            "--mount=type=secret,id=build-netrc,target=/run/secrets/netrc",
            "--mount=type=secret,id=netrc --mount=type=cache,id=container-backend-packages,target=/cache",
        )
    return text.replace("UV_CACHE_DIR=$HOME/uv", "true") if name == "wheels.sh" else text


@pytest.fixture
def own_cache(monkeypatch) -> Iterator[None]:
    """Controls do not poison the cache of the other tests."""
    scope = uuid.uuid4().hex
    with_ids = build.with_cache_ids
    monkeypatch.setattr(
        build,
        "with_cache_ids",
        lambda engine, plan, **anew: with_ids(
            engine, replace(plan, cache_scope=plan.cache_scope + scope), **anew
        ),
    )
    dockerfile._environment.cache_clear()  # with the templates that Jinja has compiled
    yield
    dockerfile._environment.cache_clear()


ATTACKS = [
    setup_py,
    *(pytest.param(each, marks=pytest.mark.slow) for each in (template, pth, scripts)),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
def test_no_program_of_a_project_reaches_the_cache_of_others_or_a_login(
    attack, write, victim, capfd
):
    assert victim() == "fine\n"
    container_backend.run(attack(write))
    assert PASSWORD not in capfd.readouterr().out
    assert victim() == "fine\n"


@pytest.mark.slow
def test_without_the_guard_the_build_of_a_package_reaches_both(
    write, victim, own_cache, capfd, monkeypatch
):
    for module in (dockerfile, image_hash):
        read = functools.partial(with_cache_for_all, module.read_template)
        monkeypatch.setattr(module, "read_template", read)
    assert victim() == "fine\n"
    container_backend.run(setup_py(write))
    assert PASSWORD in capfd.readouterr().out
    assert victim() == "poisoned\n"


def _one_cache(name: str) -> Callable[..., bytes]:
    """All builds share a cache, whose name a project knows."""
    before = b"container-backend-packages"
    return lambda _engine, plan, **_anew: plan.dockerfile.encode().replace(before, name.encode())


@pytest.mark.slow
def test_without_the_guard_a_template_reaches_both(write, victim, own_cache, capfd, monkeypatch):
    monkeypatch.setattr(build, "with_cache_ids", _one_cache(uuid.uuid4().hex))
    assert victim() == "fine\n"
    container_backend.run(template(write), backend_config=TRUSTED)
    assert PASSWORD in capfd.readouterr().out
    assert victim() == "poisoned\n"


@pytest.mark.slow
def test_without_the_guard_a_wheel_reaches_the_cache(write, victim, own_cache, capfd, monkeypatch):
    def read(name: str, read: Callable[[str], str] = image_hash.read_template) -> str:
        text = read(name).replace("/pristine/bin/python -I -S", "/pristine/bin/python")
        return text.replace("/pristine/bin/python", '"$environment/bin/python"')

    monkeypatch.setattr(image_hash, "read_template", read)
    assert victim() == "fine\n"
    container_backend.run(pth(write))
    assert victim() == "poisoned\n"


@pytest.mark.slow
def test_without_the_guard_a_program_of_a_wheel_reaches_the_cache(
    write, victim, own_cache, capfd, monkeypatch
):
    def read(name: str, read: Callable[[str], str] = image_hash.read_template) -> str:
        return read(name).replace(
            "PATH=/usr/local/sbin:", "PATH=/mlflow/environment/bin:/usr/local/sbin:"
        )

    monkeypatch.setattr(image_hash, "read_template", read)
    assert victim() == "fine\n"
    container_backend.run(scripts(write))
    assert victim() == "poisoned\n"


LEFT = """
import os
from setuptools import setup
for layer in os.listdir("/wheels"):
    link = f"/wheels/{layer}/extra-1-py3-none-any.whl"
    if os.path.isdir(f"/wheels/{layer}") and not os.path.lexists(link):
        os.symlink("/run/secrets/netrc", link)
setup(name="pkg", version="1", py_modules=[])
"""


@pytest.mark.slow
def test_what_a_build_leaves_leads_to_no_secret_of_the_next_step(write, home, capfd):
    folder = write(
        {
            "MLproject": "entry_points: {main: {command: 'cat /mlflow/environment/requirements.lock'}}",
            "requirements.txt": f"./pkg\nvictim\nsalt=={SALTS.pop()}\n",
            "pkg/setup.py": LEFT,
        }
    )
    with pytest.raises(
        container_backend.BuildError, match="something that is not a file"
    ) as caught:
        container_backend.run(folder)
    assert PASSWORD not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_fetched_project_sends_no_login_to_an_index_that_it_names(
    index, write, tmp_path, monkeypatch
):
    host = index.removeprefix("http://").partition(":")[0]
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {host} login {USER} password {INDEX_PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    folder = write(
        {
            "MLproject": SHOW,
            "requirements.txt": f"--extra-index-url {index}/private/simple\n"
            f"--trusted-host {host}\nvictim==1.0\nsalt=={SALTS.pop()}\n",
        }
    )
    uri = shutil.make_archive(folder, "zip", folder)
    with pytest.raises(container_backend.BuildError) as caught:
        container_backend.build(uri)
    assert INDEX_PASSWORD not in str(caught.value)
    # The control: the index has the packages for those who send the login.
    container_backend.build(uri, backend_config=TRUSTED)
