"""Files of ``.dockerignore``, and what BuildKit leaves in a build context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FILES: Final = (
    ".h/v.py", "[k]/z.py", "a b/w.py", "a/b/c/s.py", "a/b/q.py", "a/b/r.txt", "a/m.py", "a/n.txt",
    "ab/t.py", "b/a/u.py", "b/foo", "b/q.py", "b/xfoo", "foo", "x.py", "y.txt",
)  # fmt: skip
_IN_A: Final = {name for name in FILES if name.startswith("a/")}
_IN_B: Final = {name for name in FILES if name.startswith("b/")}
# The text of the file → the files that are left out. As buildx 0.29 does; so do older clients.
LEFT_OUT: Final[dict[str, set[str]]] = {
    "": set(),
    "*.txt": {"y.txt"},
    "**/*.txt": {"a/b/r.txt", "a/n.txt", "y.txt"},
    "a": _IN_A,
    "/a/": _IN_A,
    "./a": _IN_A,
    " a ": _IN_A,
    "A": set(),
    "../a": set(),
    "a/../b": _IN_B,
    "a/b": {"a/b/c/s.py", "a/b/q.py", "a/b/r.txt"},
    "a/*": _IN_A,
    "a/**": _IN_A,
    "**/b": _IN_B | {"a/b/c/s.py", "a/b/q.py", "a/b/r.txt"},
    "*/b": {"a/b/c/s.py", "a/b/q.py", "a/b/r.txt"},
    "**/a/**": _IN_A | {"b/a/u.py"},
    "a/**/s.py": {"a/b/c/s.py"},
    "**/foo": {"b/foo", "foo"},
    "?b": {"ab/t.py"},
    "a b": {"a b/w.py"},
    ".*": {".h/v.py"},
    "[ab]": _IN_A | _IN_B,
    "[!a]": _IN_A,  # "!" is a character like any other
    "[^a]": _IN_B,
    "\\[k\\]": {"[k]/z.py"},
    "# a": set(),
    "# a\n#b\nfoo\n": {"foo"},
    "\ufeffa": _IN_A,
    "*\n!*.py": {*FILES} - {"x.py"},
    "*\n!a": {*FILES} - _IN_A,
    "*\n!a/b": {*FILES} - {"a/b/c/s.py", "a/b/q.py", "a/b/r.txt"},
    "*\n!a*\nab": {*FILES} - _IN_A - {"a b/w.py"},
    "*.py\n!x.py": set(),
    "!a\na": _IN_A,
    "a/**\n!a/m.py": _IN_A - {"a/m.py"},
    "a\r\n!a/b\r\n": {"a/m.py", "a/n.txt"},
    "a\n!a/b/*.py": _IN_A - {"a/b/q.py"},
    "**": {*FILES},
}
# Clients without buildx, and the classic builder, read these in another way.
LEFT_OUT_BY_BUILDX: Final[dict[str, set[str]]] = {
    "*\n!**/*.py": {name for name in FILES if not name.endswith(".py")},
    "a\n!**/q.py\na/b/c": _IN_A - {"a/b/q.py"},
    "a\n!a/b\na": {"a/m.py", "a/n.txt"},
    "b\n![ab]/a/.": {"b/foo", "b/q.py", "b/xfoo"},
    "**o": {"b/foo", "b/xfoo", "foo"},
}
REFUSED: Final = ("!", "[", "[]a]", "[a", "a\\", "a\n!/\n")


def make_files(folder: Path) -> None:
    for name in FILES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
