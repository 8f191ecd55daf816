"""A request takes effect once, however often a client sends it."""

from __future__ import annotations

import threading

import pytest

from container_backend.runs.tracking.serving.repeats import Repeats, key_of
from container_backend.store import Answer, Request
from tests.support.waiting import wait_until

REQUEST = Request("POST", "/api/2.0/mlflow/runs/create", "", b'{"start_time": 1}')
KEY = key_of(REQUEST)


class Store:
    """Counts what takes effect."""

    def __init__(self) -> None:
        self.calls = 0
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()

    def call(self) -> Answer:
        self.calls += 1
        answer = Answer(self.status, str(self.calls).encode())
        assert self.may_answer.wait(30)
        return answer


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def repeats(tmp_path) -> Repeats:
    return Repeats(tmp_path / "journal")


def gone() -> bool:
    """The connection of the client is closed."""
    return False


def ask(repeats: Repeats, store: Store, *, waits: bool = False, found: Answer | None = None):
    """Send the request; ``waits``: the client is there until the answer is sent, and after."""
    is_waited_for = (lambda: True) if waits else gone
    return repeats.once(KEY, store.call, lambda _: found, is_waited_for, noted=True)


def test_a_request_whose_answer_was_lost_takes_effect_once(repeats, store):
    assert ask(repeats, store).body == b"1"
    assert ask(repeats, store).body == b"1"
    assert store.calls == 1


def test_equal_requests_whose_answers_arrived_are_two(repeats, store):
    assert ask(repeats, store).body == b"1"
    repeats.arrived(KEY, gone)
    assert ask(repeats, store).body == b"2"


def test_equal_requests_of_clients_that_wait_are_two(repeats, store):
    assert ask(repeats, store, waits=True).body == b"1"
    assert ask(repeats, store).body == b"2"


def test_the_answer_of_one_of_two_equal_requests_says_nothing_of_the_other(repeats, store):
    def first() -> bool:
        return True

    repeats.once(KEY, store.call, lambda _: None, first, noted=True)
    assert ask(repeats, store).body == b"2"
    repeats.arrived(KEY, first)
    assert ask(repeats, store).body == b"2"


def test_a_request_that_is_repeated_while_it_is_answered_waits_for_that_answer(repeats, store):
    store.may_answer.clear()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(repeats, store)))]
    threads[0].start()
    wait_until(lambda: store.calls == 1)
    threads.append(threading.Thread(target=lambda: answers.append(ask(repeats, store))))
    threads[1].start()
    store.may_answer.set()
    for thread in threads:
        thread.join(30)
    assert [answer.body for answer in answers] == [b"1", b"1"]


def test_another_proxy_gives_the_answer_of_one_that_was_killed(repeats, store, tmp_path):
    assert ask(repeats, store).body == b"1"
    assert ask(Repeats(tmp_path / "journal"), store).body == b"1"
    repeats.arrived(KEY, gone)
    assert ask(Repeats(tmp_path / "journal"), store).body == b"2"


def test_what_a_proxy_made_before_it_was_killed_is_found(store, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _killed_within(tmp_path)
    assert ask(Repeats(tmp_path / "journal"), store, found=Answer(200, b"made")).body == b"made"
    assert store.calls == 0


def test_what_a_proxy_had_not_made_is_made(store, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _killed_within(tmp_path)
    assert ask(Repeats(tmp_path / "journal"), store).body == b"1"


def _killed_within(tmp_path) -> None:
    def call() -> Answer:
        raise KeyboardInterrupt

    Repeats(tmp_path / "journal").once(KEY, call, lambda _: None, lambda: True, noted=True)


@pytest.mark.parametrize("status", [500, 503])
def test_a_request_that_failed_is_sent_to_the_store_again(repeats, store, status):
    store.status = status
    assert ask(repeats, store).status == status
    store.status = 200
    assert ask(repeats, store).body == b"2"


def test_a_refusal_is_an_answer(repeats, store):
    store.status = 400
    ask(repeats, store)
    ask(repeats, store)
    assert store.calls == 1


def test_a_journal_that_is_cut_off_is_read_as_far_as_it_goes(repeats, store, tmp_path):
    ask(repeats, store)
    with (tmp_path / "journal").open("a") as file:
        file.write('{"key": "x", "sta')
    assert ask(Repeats(tmp_path / "journal"), store).body == b"1"


def test_other_requests_have_other_keys():
    others = [
        Request("POST", REQUEST.path, "", b'{"start_time": 2}'),
        Request("POST", REQUEST.path, "a=1", REQUEST.body),
        Request("PATCH", REQUEST.path, "", REQUEST.body),
        Request("POST", REQUEST.path + "x", "", REQUEST.body),
    ]
    assert len({KEY, *map(key_of, others)}) == 5
