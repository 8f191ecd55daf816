"""Requirements files are read as pip reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container_backend.environment.declared import Line
from container_backend.environment.requirements import lines_of, read_requirements
from container_backend.errors import InvalidEnvironment, InvalidProject
from container_backend.privileges import Giver, Permissions
from tests.support.projects import TRUSTED_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

OF_ANOTHER = Permissions(Giver.FETCHED, trusted=True)


def read(root: Path, text: str, permissions=TRUSTED_FOLDER, **environ: str):
    file = root / "requirements.txt"
    file.write_text(text, encoding="utf-8")
    lines = [Line("-r requirements.txt", root / "MLproject", 1)]
    return read_requirements(lines, root, permissions, environ)


def texts(lines) -> list[str]:
    return [line.text for line in lines]


def test_comments_blank_lines_and_continuations(tmp_path):
    found = read(tmp_path, "# all of it\n\npandas  # frames\nscipy \\\n  >=1.10\n  # indented\n")
    assert texts(found.requirements) == ["pandas", "scipy>=1.10"]


def test_a_hash_sign_within_an_address_is_no_comment(tmp_path):
    found = read(tmp_path, "thing @ https://example.test/thing-1.0.zip#sha256=abc\n")
    assert texts(found.requirements) == ["thing @ https://example.test/thing-1.0.zip#sha256=abc"]


def test_the_spelling_of_a_requirement_does_not_matter(tmp_path):
    one = read(tmp_path, "Scikit_Learn [a,b] >= 1.0 , <2 ; python_version<'3.12'\n")
    other = read(tmp_path, 'scikit-learn[b,a]<2,>=1.0;python_version < "3.12"\n')
    assert texts(one.requirements) == texts(other.requirements)


def test_included_files_are_read_from_where_they_stand(tmp_path):
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "base.txt").write_text("-r more.txt\nnumpy\n")
    (tmp_path / "deps" / "more.txt").write_text("scipy\n")
    (tmp_path / "limits.txt").write_text("numpy<3\n")
    found = read(tmp_path, "-r deps/base.txt\n--constraint=limits.txt\nmlflow\n")
    assert texts(found.requirements) == ["scipy", "numpy", "mlflow"]
    assert texts(found.constraints) == ["numpy<3"]


def test_a_file_may_be_included_twice(tmp_path):
    (tmp_path / "base.txt").write_text("numpy\n")
    found = read(tmp_path, "-r base.txt\n-r base.txt\n")
    assert texts(found.requirements) == ["numpy", "numpy"]


def test_index_options_in_all_spellings(tmp_path):
    found = read(
        tmp_path,
        "-i https://one.test/simple\n--extra-index-url=https://two.test/simple\n"
        "--extra-index-url 'https://three.test/simple'\n-f https://four.test/\n"
        "--trusted-host five.test\n--no-binary :all:\n",
    )
    assert found.index_url == "https://one.test/simple"
    assert found.extra_index_urls == ["https://two.test/simple", "https://three.test/simple"]
    assert found.find_links == ["https://four.test/"]
    assert found.trusted_hosts == ["five.test"]
    assert texts(found.requirements) == ["--no-binary :all:"]


def test_several_options_on_one_line(tmp_path):
    """https://pip.pypa.io/en/stable/reference/requirements-file-format/: split as a shell does."""
    found = read(
        tmp_path,
        "-i https://one.test/simple --trusted-host one.test --extra-index-url https://two.test/s\n"
        "--index-url 'https://three.test/s' --pre --no-binary=a,b --find-links https://four.test\n",
    )
    assert found.index_url == "https://three.test/s"
    assert found.extra_index_urls == ["https://two.test/s"]
    assert (found.trusted_hosts, found.find_links) == (["one.test"], ["https://four.test"])
    assert texts(found.requirements) == ["--pre", "--no-binary a,b"]


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ("-e git+https://x.test/a/lib@0123#egg=lib", "lib @ git+https://x.test/a/lib@0123"),
        ("--editable=git+ssh://git@x.test/a/b.git@main", "git+ssh://git@x.test/a/b.git@main"),
        (
            "-e git+https://x.test/a.git@v1#egg=My_Lib&subdirectory=src/lib",
            "My_Lib @ git+https://x.test/a.git@v1#subdirectory=src/lib",
        ),
        (
            "-e git+https://x.test/a#subdirectory=b&egg=b ; python_version > '3'",
            "b @ git+https://x.test/a#subdirectory=b ; python_version > '3'",
        ),
    ],
)
def test_an_editable_package_of_a_repository_is_installed(tmp_path, line, requirement):
    """As `pip freeze` writes one. There is no checkout in an image to edit."""
    assert texts(read(tmp_path, f"{line}\n").requirements) == [requirement]


ENCODINGS = {
    "of PowerShell": "numpy  # für\r\nscipy\r\n".encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + "numpy\nscipy".encode("utf-16-be"),
    "UTF-32": "numpy\nscipy\n".encode("utf-32"),
    "UTF-8 with a mark": "numpy\nscipy\n".encode("utf-8-sig"),
    "a line that says so": "# -*- coding: latin-1 -*-\nnumpy  # f\u00fcr\nscipy\n".encode("latin-1"),
    "lines of old Macs": b"numpy\rscipy\r",
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_is_read_in_its_encoding(tmp_path, encoding):
    (tmp_path / "other.txt").write_bytes(ENCODINGS[encoding])
    assert texts(read(tmp_path, "-r other.txt\n").requirements) == ["numpy", "scipy"]


@pytest.mark.parametrize("named", ["one-hot", "undefined", "unicode_escape", "hex", "punycode"])
def test_a_comment_does_not_choose_what_is_no_encoding_of_texts(tmp_path, named):
    (tmp_path / "other.txt").write_text(f"# label encoding: {named}\nnumpy\n")
    assert texts(read(tmp_path, "-r other.txt\n").requirements) == ["numpy"]


@pytest.mark.parametrize(
    "content", [b"\xff\xfen", b"numpy\xff\n", b"# coding: punycode\nnumpy\xff\n"]
)
def test_a_file_in_no_encoding_is_named(tmp_path, content):
    (tmp_path / "other.txt").write_bytes(content)
    with pytest.raises(InvalidEnvironment, match=r"other\.txt: not .* text"):
        read(tmp_path, "-r other.txt\n")


def test_hashes_stay_with_their_requirement(tmp_path):
    found = read(tmp_path, "pip==24.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n")
    assert texts(found.requirements) == ["pip==24.0 --hash=sha256:aa --hash=sha256:bb"]


def test_variables_are_expanded(tmp_path):
    found = read(tmp_path, "-i https://${TOKEN}@one.test/simple\n", TOKEN="abc")
    assert found.index_url == "https://abc@one.test/simple"


def test_version_control_addresses_are_taken_as_they_are(tmp_path):
    found = read(tmp_path, "git+https://example.test/a/b.git@main#egg=b\n")
    assert texts(found.requirements) == ["git+https://example.test/a/b.git@main#egg=b"]


def test_a_file_that_is_not_there_is_named_with_the_line_that_names_it(tmp_path):
    with pytest.raises(InvalidEnvironment, match=r"requirements.txt, line 2: .*missing.txt"):
        read(tmp_path, "numpy\n-r missing.txt\n")


def test_files_that_include_each_other(tmp_path):
    (tmp_path / "other.txt").write_text("-r requirements.txt\n")
    with pytest.raises(
        InvalidEnvironment, match=r"requirements\.txt → other\.txt → requirements\.txt"
    ):
        read(tmp_path, "-r other.txt\n")


def test_a_file_outside_of_a_project_of_another_person_is_not_read(tmp_path):
    (tmp_path / "outside.txt").write_text("numpy\n")
    (tmp_path / "project").mkdir()
    with pytest.raises(InvalidEnvironment, match=r"'../outside.txt' is outside of the project"):
        read(tmp_path / "project", "-r ../outside.txt\n", OF_ANOTHER)
    assert texts(read(tmp_path / "project", "-r ../outside.txt\n").requirements) == ["numpy"]


def test_contradicting_pins_are_both_named(tmp_path):
    with pytest.raises(InvalidEnvironment) as caught:
        read(tmp_path, "pandas==1.0\nnumpy\nPandas==2.0\n")
    assert "line 3: 'pandas==2.0' contradicts 'pandas==1.0'" in str(caught.value)
    assert "line 1" in str(caught.value)


def test_pins_for_different_platforms_do_not_contradict(tmp_path):
    found = read(
        tmp_path, "a==1 ; sys_platform == 'linux'\na==2 ; sys_platform == 'darwin'\na>=1\n"
    )
    assert len(found.requirements) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pandas=2.1.3", "write 'pandas==2.1.3'"),
        ("alembic=1.7.7=pypi_0", "write 'alembic==1.7.7'"),
        ("--index-url https://x.test --extra-index-url", "'--extra-index-url' needs a value"),
        ("--pre 'x", "No closing quotation"),
        ("pandas==2.1 oops", "is not a requirement"),
        ("./local", "there is no"),
        ("-e ..", "'..' is outside of the project"),
        ("-r ../.netrc", "'../.netrc' is outside of the project"),
        ("thing-1.0-py3-none-any.whl", "there is no"),
        ("thing @ file:///thing.whl", "'file:///thing.whl' is outside of the project"),
        ("-f ../wheels", "'../wheels' is outside of the project"),
        ("--frobnicate", "the option '--frobnicate' is not supported"),
        ("-r https://example.test/requirements.txt", "only files of the project"),
        ("--index-url", "needs a value"),
    ],
)
def test_what_cannot_be_read_is_said_with_file_and_line(tmp_path, line, message):
    with pytest.raises(InvalidEnvironment) as caught:
        read(tmp_path, f"numpy\n{line}\n", OF_ANOTHER)
    assert message in str(caught.value)
    assert "requirements.txt, line 2" in str(caught.value)


def test_line_numbers_of_continued_lines_are_those_of_their_beginning(tmp_path):
    lines = list(lines_of(tmp_path / "x", "a\nb \\\n==1\nc\n"))
    assert [(line.text, line.number) for line in lines] == [("a", 1), ("b ==1", 2), ("c", 4)]


@pytest.mark.parametrize("giver", [Giver.OWN, Giver.FETCHED, Giver.RECORD])
@pytest.mark.parametrize(
    "line", ["-i https://one.test/${TOKEN}", "x @ https://one.test/${TOKEN}.whl"]
)
def test_variables_of_the_user_are_for_trusted_projects_alone(tmp_path, giver, line):
    with pytest.raises(
        InvalidProject, match=r"requirements\.txt, line 1.* TOKEN of your environment"
    ):
        read(tmp_path, line, Permissions(giver), TOKEN="abc")


@pytest.mark.parametrize(
    "line",
    [
        "--require-hashes -r /run/secrets/netrc",
        "--pre https://evil.test/r.txt",
        "--no-binary :all: -r x",
        "--only-binary=six\t-r x",
    ],
)
def test_nothing_follows_an_option_that_the_installer_would_read_as_another(tmp_path, line):
    """It would print the user's logins."""
    with pytest.raises(InvalidEnvironment, match=r"cannot follow|outside of|there is no file"):
        read(tmp_path, line)
    assert texts(read(tmp_path, "--no-binary six, numpy\n--pre\n").requirements) == [
        "--no-binary six, numpy", "--pre",
    ]  # fmt: skip
