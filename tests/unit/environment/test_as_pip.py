"""What pip takes of a requirements file, we take, and it means the same: asked of pip's own parser."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pip._internal.exceptions import PipError
from pip._internal.req.req_file import RequirementsFileParser, get_line_parser

from container_backend.environment.declared import Line
from container_backend.environment.requirements import read_requirements
from container_backend.errors import InvalidEnvironment
from tests.support.projects import TRUSTED_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

Meaning = dict[str, object]


class Contradiction(Exception):
    """Of two pins; pip says so when it resolves."""


def by_pip(file: Path) -> Meaning:
    requirements, constraints = [], []
    found: Meaning = {"index": None, "extra": [], "links": [], "hosts": []}
    for line in RequirementsFileParser(None, get_line_parser(None)).parse(str(file), False):
        if requirement := getattr(line, "requirement", None):  # older versions of pip lack it
            hashes = [
                f"--hash={kind}:{value}"
                for kind, values in (line.opts.hashes or {}).items()
                for value in values
            ]
            entry = (*spelled(requirement), *sorted(hashes))
            (constraints if line.constraint else requirements).append(entry)
            continue
        found["index"] = line.opts.index_url or found["index"]
        found["extra"] += line.opts.extra_index_urls or []
        found["links"] += line.opts.find_links or []
        found["hosts"] += line.opts.trusted_hosts or []
    return {**found, "requirements": requirements, "constraints": constraints}


def by_us(file: Path) -> Meaning:
    lines = [Line(f"-r {file.name}", file.parent / "MLproject", 1)]
    try:
        found = read_requirements(lines, file.parent, TRUSTED_FOLDER, {})
    except InvalidEnvironment as error:
        raise (Contradiction if "contradicts" in error.message else error) from error
    return {
        "index": found.index_url,
        "extra": found.extra_index_urls,
        "links": found.find_links,
        "hosts": found.trusted_hosts,
        "requirements": [meant(line.text) for line in found.requirements if line.text[:2] != "--"],
        "constraints": [meant(line.text) for line in found.constraints],
    }


def meant(text: str) -> tuple[str, ...]:
    requirement, *hashes = text.split(" --")
    return (*spelled(requirement), *sorted(f"--{each.strip()}" for each in hashes))


def spelled(text: str) -> tuple[str, ...]:
    parsed = Requirement(text)
    return (
        canonicalize_name(parsed.name), *sorted(parsed.extras), str(parsed.specifier),
        str(parsed.marker), str(parsed.url),
    )  # fmt: skip


names = st.sampled_from(["numpy", "Scikit_Learn", "a.b-c", "x", "zope.interface"])
extras = st.sampled_from(["", "[dev]", "[b,a]", " [ a , b ]"])
versions = st.sampled_from(
    ["", "==1.0", ">= 1.0 , <2", "~=1.4.2", "!=1.*", "===1.0+local", "==1!2.0", "(>=1.0)", ">=1.0rc1",
     " @ https://x.test/x-1.0.tar.gz", " @ https://x.test/a.zip#sha256=abc"]
)  # fmt: skip
markers = st.sampled_from(
    ["", " ; python_version < '3.13'", ' ; sys_platform == "linux" and extra == "x"',
     " ; (os_name=='posix' or os_name=='nt')"]
)  # fmt: skip
hashes = st.sampled_from(
    ["", " --hash=sha256:ab", " \\\n  --hash=sha256:ab \\\n\t--hash=sha384:cd"]
)
ends = st.sampled_from(["", "  # why", "\t#", "   ", " #a --hash=x"])
requirements = st.tuples(names, extras, versions, markers, hashes, ends).map("".join)
options = st.sampled_from(
    [
        "-i https://one.test/simple", "--index-url=https://two.test/simple", "-ihttps://three.test",
        "--index-url 'https://quoted.test'", "--extra-index-url https://e.test --pre",
        "-f https://links.test/", "--find-links=https://links.test/a", "--trusted-host h.test:80",
        "-i https://a.test --trusted-host a.test", "--no-binary :all:", "--only-binary=x,y",
        "--prefer-binary", "--require-hashes", "-c limits.txt", "--constraint=limits.txt",
        "-r more.txt", "--requirement  more.txt", "-rmore.txt", "--no-index  # not at all",
        "--use-feature=fast-deps", "--pre",
    ]
)  # fmt: skip
others = st.sampled_from(["", "# comment", "   ", "\t# é", "# ends in \\", "\\"])
files = st.lists(st.one_of(requirements, options, others), max_size=6).map("\n".join)


@settings(
    derandomize=True, max_examples=400, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(text=files, ending=st.sampled_from(["\n", "\r\n"]), mark=st.sampled_from(["", "\ufeff"]))
def test_a_requirements_file_means_what_it_means_to_pip(tmp_path, text, ending, mark):
    file = tmp_path / "requirements.txt"
    (tmp_path / "more.txt").write_text("inner==1\n-c limits.txt\n")
    (tmp_path / "limits.txt").write_text("numpy<3\n")
    file.write_bytes((mark + text.replace("\n", ending)).encode())
    try:
        expected = by_pip(file)
    except (InvalidRequirement, PipError):
        return
    with suppress(Contradiction):
        assert by_us(file) == expected, text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_requirements_file_is_in_the_encodings_of_pip(tmp_path, encoding):
    file = tmp_path / "requirements.txt"
    file.write_bytes(f"# -*- coding: {encoding} -*-\nnumpy  # é\n".encode(encoding))
    try:
        expected = by_pip(file)
    except (InvalidRequirement, PipError, UnicodeError):
        with pytest.raises(InvalidEnvironment):
            by_us(file)
        return
    assert by_us(file) == expected
