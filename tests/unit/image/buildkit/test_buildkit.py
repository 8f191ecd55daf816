"""The parts of building that need no engine."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_backend.image.buildkit.build import BuildRequest, _mask, _masked
from container_backend.image.buildkit.context import packed
from container_backend.image.buildkit.protobuf import encode_bytes, encode_number, fields
from container_backend.image.buildkit.trace import BuildLog, StepEvent
from container_backend.machine.content import FileChanged, hash_file

numbers = st.integers(min_value=0, max_value=2**64 - 1)
messages = st.lists(st.tuples(st.integers(1, 2**20), st.one_of(numbers, st.binary(max_size=300))))


@given(messages)
def test_what_is_written_is_read(message):
    encoded = b"".join(
        encode_bytes(field, value) if isinstance(value, bytes) else encode_number(field, value)
        for field, value in message
    )
    assert list(fields(encoded)) == message


@given(st.binary(min_size=1, max_size=50))
def test_a_message_that_is_cut_off_is_refused(content):
    encoded = encode_bytes(1, content)
    with pytest.raises(ValueError, match="cut off"):
        list(fields(encoded[:-1]))


def time(seconds: int) -> bytes:
    return encode_number(1, seconds) + encode_number(2, 500_000_000)


def vertex(digest: str, name: str, **parts: object) -> bytes:
    message = encode_bytes(1, digest.encode()) + encode_bytes(3, name.encode())
    if parts.get("cached"):
        message += encode_number(4, 1)
    for key, field in (("started", 5), ("completed", 6)):
        if key in parts:
            message += encode_bytes(field, time(parts[key]))
    if "error" in parts:
        message += encode_bytes(7, str(parts["error"]).encode())
    return encode_bytes(1, message)


def output(digest: str, data: bytes) -> bytes:
    message = encode_bytes(1, digest.encode()) + encode_bytes(4, data)
    return encode_bytes(3, message)


def test_the_life_of_a_step_is_told_once():
    log = BuildLog()
    events = list(log.add(vertex("a", "RUN x", started=1)))
    events += log.add(vertex("a", "RUN x", started=1) + output("a", b"one\ntw"))
    events += log.add(output("a", b"o\nrest"))
    events += log.add(vertex("a", "RUN x", started=1, completed=3))
    events += log.add(vertex("a", "RUN x", started=1, completed=3))
    assert events == [
        StepEvent("RUN x", "started"),
        StepEvent("RUN x", "output", text="one"),
        StepEvent("RUN x", "output", text="two"),
        StepEvent("RUN x", "completed", 2.0),
    ]


def test_a_step_that_begins_again():
    log = BuildLog()
    events = list(log.add(vertex("a", "FROM x", started=1, completed=2)))
    events += log.add(vertex("a", "FROM x", started=5))
    events += log.add(vertex("a", "FROM x", started=5, completed=8))
    assert events == [
        StepEvent("FROM x", "started"),
        StepEvent("FROM x", "completed", 1.0),
        StepEvent("FROM x", "started"),
        StepEvent("FROM x", "completed", 4.0),
    ]


def test_output_in_the_message_that_ends_its_step_is_told_first():
    log = BuildLog()
    message = vertex("a", "A", started=1) + vertex("a", "A", started=1, completed=2)
    events = list(log.add(message + output("a", b"hello\n")))
    assert [event.kind for event in events] == ["started", "output", "completed"]


def test_two_steps_of_one_name_that_end_in_one_message_are_both_told():
    log = BuildLog()
    list(log.add(vertex("a", "A", started=1) + vertex("b", "A", started=1)))
    ends = (vertex(each, "A", started=1, completed=2) for each in ("a", "b"))
    assert list(log.add(b"".join(ends))) == [StepEvent("A", "completed", 1.0)] * 2


def test_a_step_that_begins_again_within_one_message():
    log = BuildLog()
    times = ((("started", 1), ("completed", 2)), (("started", 5), ("completed", 8)))
    events = list(log.add(b"".join(vertex("a", "FROM x", **dict(each)) for each in times)))
    assert [event.kind for event in events] == ["started", "completed"] * 2


def test_cached_and_failed_steps():
    log = BuildLog()
    (_, cached) = log.add(vertex("a", "A", started=1, completed=1, cached=True))
    assert cached == StepEvent("A", "cached", 0.0)
    (_, failed) = log.add(vertex("b", "B", started=1, completed=2, error="boom"))
    assert failed == StepEvent("B", "failed", 1.0, "boom")


def test_the_failed_step_is_the_one_that_the_final_error_names():
    log = BuildLog()
    list(log.add(vertex("a", "A", started=1, completed=2, error="context canceled")))
    list(log.add(vertex("b", "B", started=1) + output("b", b"no such thing")))
    list(log.add(vertex("b", "B", started=1, completed=2, error="exit code: 1")))
    step = log.failed_step("executor failed running [x]: exit code: 1")
    assert (step.name, step.output()) == ("B", ("no such thing",))


def test_memory_is_bounded():
    log = BuildLog()
    list(log.add(vertex("a", "A", started=1)))
    for number in range(10_000):
        list(log.add(output("a", b"%d\n" % number)))
    list(log.add(vertex("a", "A", started=1, completed=2, error="e")))
    lines = log.failed_step("e").output()
    assert (len(lines), lines[-1]) == (400, "9999")


def status(
    digest: str, layer: str, current: int, total: int, name: bytes = b"downloading"
) -> bytes:
    message = encode_bytes(1, layer.encode()) + encode_bytes(2, digest.encode())
    message += encode_bytes(3, name) + encode_number(4, current)
    return encode_bytes(2, message + encode_number(5, total))


def transfers(log: BuildLog, *messages: bytes) -> list[tuple[int, int]]:
    events = [event for message in messages for event in log.add(message)]
    return [(event.current, event.total) for event in events if event.kind == "transfer"]


def test_the_transfers_of_a_step_are_added_up():
    log = BuildLog()
    begun = vertex("a", "FROM x", started=1)
    messages = (status("a", "l1", 0, 100), status("a", "l2", 50, 200), status("a", "l1", 100, 100))
    assert transfers(log, begun, *messages) == [(0, 100), (50, 300), (150, 300)]


def test_transfers_of_unknown_steps_and_sizes_are_passed_over():
    log = BuildLog()
    begun = vertex("a", "FROM x", started=1)
    assert transfers(log, begun, status("b", "l", 1, 2), status("a", "l", 5, 0)) == []
    assert transfers(log, status("a", "l", 2**64 - 1, 2**64 - 1)) == []


def test_a_transfer_is_told_of_a_hundred_times_and_not_more():
    log = BuildLog()
    size = 1_000_000
    steps = (status("a", "l", current, size) for current in range(0, size + 1, 100))
    told = transfers(log, vertex("a", "FROM x", started=1), *steps)
    assert len(told) == 101
    assert told[-1] == (size, size)


def test_what_was_transferred_is_unpacked():
    log = BuildLog()
    for message in (vertex("a", "FROM x", started=1), status("a", "l", 5, 5)):
        list(log.add(message))
    extract = status("a", "l", 0, 0, b"extract")
    assert list(log.add(extract)) == [StepEvent("FROM x", "transfer", None, "extract", 5, 5)]
    assert list(log.add(extract)) == []


def test_the_memory_for_transfers_is_bounded():
    log = BuildLog()
    layers = (status("a", f"layer {number}", 10, 10) for number in range(1000))
    assert transfers(log, vertex("a", "FROM x", started=1), *layers)[-1] == (2000, 2000)


def tar_of(files) -> bytes:
    return b"".join(packed(files))


def test_the_same_files_make_the_same_bytes():
    one = tar_of({"b": b"2", "Dockerfile": b"FROM x", "a": b"1"})
    assert one == tar_of({"a": b"1", "Dockerfile": b"FROM x", "b": b"2"})
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert tar.getnames() == ["Dockerfile", "a", "b"]


def test_the_first_header_is_a_plain_one_whatever_follows():
    sent = tar_of({"Dockerfile": b"FROM x", "ü" * 200: b"long"})
    assert sent[156:157] == tarfile.REGTYPE
    assert sent[:10] == b"Dockerfile"


def test_a_program_of_the_project_may_be_executed_in_a_build(tmp_path):
    (tmp_path / "configure").touch(0o700)
    (tmp_path / "a.c").touch(0o600)
    files = {
        "Dockerfile": b"",
        "project/configure": hash_file(tmp_path / "configure"),
        "project/a.c": hash_file(tmp_path / "a.c"),
    }
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(files)))) as tar:
        modes = {entry.name: entry.mode for entry in tar}
    assert modes == {"Dockerfile": 0o644, "project/a.c": 0o644, "project/configure": 0o755}


def test_a_context_without_a_dockerfile():
    with pytest.raises(ValueError, match="Dockerfile"):
        packed({"a": b""})


def test_a_file_is_sent_in_pieces_and_as_it_was_hashed(tmp_path):
    content = bytes(range(256)) * 8192 + b"odd"
    file = tmp_path / "big"
    file.write_bytes(content)
    hashed = hash_file(file)
    assert (hashed.size, hashed.digest) == (len(content), hashlib.sha256(content).hexdigest())
    pieces = list(packed({"Dockerfile": b"FROM x", "big": hashed}))
    assert max(map(len, pieces)) < len(content) / 2
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        assert tar.extractfile("big").read() == content


@pytest.mark.parametrize("now", [b"other", b"short", b"as it was and more", None])
def test_a_file_that_changed_since_it_was_hashed_is_not_sent(tmp_path, now):
    file = tmp_path / "file"
    file.write_bytes(b"as it was")
    hashed = hash_file(file)
    file.unlink()
    if now is not None:
        file.write_bytes(now)
    with pytest.raises(FileChanged, match=re.escape(str(file))):
        tar_of({"Dockerfile": b"FROM x", "file": hashed})


def test_words_of_secrets_are_masked():
    request = BuildRequest({}, secrets={"netrc": b"machine a.b login me password s3cretpassw0rd\n"})
    assert _mask("refused: me s3cretpassw0rd", request) == "refused: me ***"


def test_words_of_secrets_are_masked_in_what_is_shown():
    request = BuildRequest({}, secrets={"s": b"sup3rs3cret"})
    assert _masked(StepEvent("a", "output", text="is sup3rs3cret"), request).text == "is ***"


def test_a_secret_is_not_in_the_text_of_a_request():
    assert "s3cret" not in repr(BuildRequest({}, secrets={"x": b"s3cret"}))
