"""What a real engine answers, as errors of ours; and files that the machine itself cannot give."""

from __future__ import annotations

import io
import tarfile
from contextlib import closing

import pytest

from container_backend.engine import EngineHost, connect, container_verbs
from container_backend.errors import EngineUnavailable, NotThere, Refused
from tests.support.engines import OwnEngine
from tests.support.worker import BASE


@pytest.fixture
def container(engine):
    """One that runs until it is removed."""
    made = engine.containers.create(BASE, command=["sleep", "600"])
    engine.containers.start(made)
    yield made
    engine.containers.remove(made)


@pytest.mark.parametrize(
    "question",
    [
        lambda engine: engine.containers.inspect("missing"),
        lambda engine: engine.containers.start("missing"),
        lambda engine: engine.containers.statistics("missing"),
        lambda engine: engine.containers.attach("missing"),
        lambda engine: engine.containers.execute("missing", ["true"]),
        lambda engine: next(engine.containers.logs("missing")),
        lambda engine: engine.containers.put_archive("missing", "/", io.BytesIO()),
        lambda engine: engine.containers.create("missing:1", command=["true"]),
        lambda engine: engine.images.inspect("missing:1"),
        lambda engine: engine.images.tag("missing:1", "another:1"),
        lambda engine: engine.images.remove("missing:1"),
        lambda engine: next(engine.images.save(["missing:1"])),
    ],
)
def test_what_the_engine_does_not_have(engine, question):
    with pytest.raises(
        NotThere, match=r"No such (container|image)|reference does not exist"
    ) as got:
        question(engine)
    assert got.value.status == 404


def test_a_missing_container_is_no_reason_not_to_be_rid_of_it(engine):
    engine.containers.remove("missing")
    engine.containers.stop("missing")
    assert not engine.containers.rename("missing", "another")
    assert not engine.images.has("missing:1")


def test_a_name_that_another_container_has(engine, container):
    name = engine.containers.inspect(container)["Name"].removeprefix("/")
    with pytest.raises(Refused, match="already in use") as caught:
        engine.containers.create(BASE, command=["true"], name=name)
    assert caught.value.status == 409
    assert not isinstance(caught.value, NotThere)


def test_a_container_that_is_called_so_already(engine, container):
    name = engine.containers.inspect(container)["Name"].removeprefix("/")
    assert engine.containers.rename(container, name)


def test_a_folder_that_cannot_be_mounted(engine):
    with pytest.raises(Refused, match=r"invalid mount config|bind source path does not exist"):
        engine.containers.create(
            BASE,
            command=["true"],
            host_config={"mounts": [{"Type": "bind", "Source": "/missing", "Target": "/x"}]},
        )


def test_a_program_that_is_missing(engine):
    made = engine.containers.create(BASE, command=["/missing"])
    try:
        with pytest.raises(Refused, match="no such file or directory"):
            engine.containers.start(made)
    finally:
        engine.containers.remove(made)


def test_an_option_that_the_version_of_the_api_does_not_know(engine):
    with closing(connect(engine.host)) as old:
        old.connection.speak("1.39")
        with pytest.raises(Refused, match="device_requests") as caught:
            old.containers.create(BASE, host_config={"device_requests": [{"Count": -1}]})
    assert caught.value.status == 0


def test_files_of_a_container(engine, container, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("folder/a", "folder/b/c"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    packed.seek(0)
    engine.containers.put_archive(container, "/tmp", packed)
    assert engine.containers.read_file(container, "/tmp/folder/a") == b"folder/a"
    assert engine.containers.read_file(container, "/tmp/folder/missing") is None
    assert engine.containers.has_path(container, "/tmp/folder/b")
    assert not engine.containers.has_path(container, "/tmp/missing")
    engine.containers.copy_folder(container, "/tmp/folder", tmp_path)
    assert (tmp_path / "b/c").read_text() == "folder/b/c"
    engine.containers.copy_folder(container, "/tmp/missing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


class Broken(io.RawIOBase):
    """A file on a disk that breaks after the first bytes."""

    def __init__(self) -> None:
        self.left = 3

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self.left:
            raise OSError(5, "Input/output error")
        self.left -= 1
        return b"\0" * min(size if size > 0 else 512, 512)


def test_a_file_that_cannot_be_read_is_not_an_engine_that_is_away(engine, container):
    with pytest.raises(OSError, match="Input/output error"):
        engine.containers.put_archive(container, "/tmp", Broken())
    with pytest.raises(OSError, match="Input/output error"):
        list(engine.images.load(Broken()))


def test_a_disk_that_takes_nothing_is_not_an_engine_that_is_away(engine, container, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError):
        engine.containers.copy_folder(container, "/etc/apt", tmp_path / "file")


def test_an_engine_that_can_no_longer_be_reached(engine, container, tmp_path):
    link = tmp_path / "engine.sock"
    link.symlink_to(engine.host.url.removeprefix("unix://"))
    connected = connect(EngineHost(f"unix://{link}"))
    link.unlink()
    connected.close()  # what is asked next needs a new connection
    missing = "The engine does not answer: No such file or directory"
    for ask in (
        lambda: connected.containers.inspect(container),
        lambda: connected.containers.attach(container),
        lambda: connected.containers.stop(container, 0),
        lambda: connected.images.find("x"),
        lambda: next(connected.containers.logs(container)),
        lambda: next(connected.images.save([BASE])),
        connected.clock,
        lambda: connected.events("x"),
    ):
        with pytest.raises(EngineUnavailable, match=missing):
            ask()
    connected.containers.give_up(container)


@pytest.mark.slow
def test_an_engine_that_is_killed_while_it_is_asked(engine):
    with OwnEngine() as own:
        own.take(BASE, of=engine)
        with own.connected() as connected:
            made = connected.containers.create(BASE, command=["sleep", "600"])
            connected.containers.start(made)
            logs = connected.containers.logs(made, follow=1)
            output = connected.containers.attach(made)
            events = iter(connected.events("x"))
            own.kill()
            for stream in (logs, events, iter(output.read, b"")):
                # Whether a stream that is open ends or breaks is up to the kernel.
                with pytest.raises((EngineUnavailable, StopIteration)):
                    next(stream)
            output.close()
            with pytest.raises(EngineUnavailable, match="The engine does not answer: "):
                connected.containers.inspect(made)
            connected.containers.give_up(made)


def test_facts_are_those_of_the_engine(engine):
    info = engine.connection.questions.info()
    assert engine.facts.has_buildkit
    assert not engine.facts.is_podman
    assert engine.facts.log_driver == info["LoggingDriver"]
    assert engine.facts.cgroup_driver == info["CgroupDriver"]
    assert ("memory" in engine.facts.limits) == info["MemoryLimit"]
    assert engine.facts.image_store in {info["Driver"], "containerd"}


def test_a_file_or_folder_that_is_too_big_is_not_read(engine, container, tmp_path, monkeypatch):
    """The program of a container makes any."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, size in (("record/big", 100_000), ("record/small", 10)):
            entry = tarfile.TarInfo(name)
            entry.size = size
            tar.addfile(entry, io.BytesIO(bytes(size)))
        link = tarfile.TarInfo("record/link")
        link.type, link.linkname = tarfile.SYMTYPE, "big"
        tar.addfile(link)
    packed.seek(0)
    containers = engine.containers
    containers.put_archive(container, "/", packed)
    assert containers.read_file(container, "/record/big") == bytes(100_000)
    assert containers.read_file(container, "/record/link") is None
    monkeypatch.setattr(container_verbs, "_MOST_OF_A_FILE", 50_000)
    assert containers.read_file(container, "/record/big") is None
    assert containers.read_file(container, "/record/small") == bytes(10)
    containers.copy_folder(container, "/record", tmp_path, most=50_000)
    assert list(tmp_path.iterdir()) == []
    containers.copy_folder(container, "/record", tmp_path, most=200_000)
    assert {file.name for file in tmp_path.iterdir()} == {"big", "small"}
