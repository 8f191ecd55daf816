"""Who is trusted with what, as a table: ``python -m tests.trust``."""

from __future__ import annotations

from container_backend.privileges.table import ALLOWED, NO, YES, Giver, Right

_SWITCHES = {Giver.RECORD: "`--trust`"}
_HEADS = {
    Giver.USER: "you",
    Giver.OWN: "a project in your folder",
    Giver.FETCHED: "a fetched project",
    Giver.RECORD: "a record",
    Giver.IMAGE: "an image",
    Giver.INDEX: "an index",
    Giver.LABEL: "a label",
    Giver.OTHERS: "another user of the engine",
}


def table() -> str:
    """The table in Markdown: a row for each right."""
    rows = [["may it …", *_HEADS.values()], ["---"] * (1 + len(_HEADS))]
    rows += [[right.value, *(_cell(giver, right) for giver in _HEADS)] for right in Right]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(giver: Giver, right: Right) -> str:
    allowed = ALLOWED[giver][right]
    if allowed in {YES, NO}:
        return allowed
    return _SWITCHES.get(giver, f"`{allowed}`")


if __name__ == "__main__":
    print(table(), end="")
