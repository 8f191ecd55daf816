"""Git is asked, and no program that a repository names is run."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from container_backend.errors import InvalidProject
from container_backend.project.git import (
    fetch_commit,
    find_repository,
    opened,
    remote,
    repository_at,
)
from container_backend.project.git.checkout import read_checkout
from container_backend.project.git.repository import GitError
from container_backend.project.git.tree import read_git_tree
from container_backend.project.source import fetch
from container_backend.share.revision import revision_of
from tests.hostile_git import (
    FILTER,
    FSMONITOR,
    PROCESS,
    Marks,
    configure,
    git,
    lay_out_as_repository,
    make_repository,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def marks(tmp_path) -> Marks:
    return Marks(tmp_path / "marks")


@pytest.fixture
def user(tmp_path, monkeypatch) -> Path:
    """The user's own configuration."""
    file = tmp_path / "gitconfig"
    file.write_text("[user]\n\tname = me\n\temail = me@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    return file


def ask_everything(directory: Path) -> None:
    repository = find_repository(directory)
    read_git_tree(repository, directory)
    read_checkout(repository, directory, "main")
    revision_of(repository, directory)
    with ExitStack() as needed:
        fetch(str(directory), None, needed)
        with suppress(InvalidProject):
            fetch(str(directory), "main", needed)


def with_own_configuration(folder: Path, marks: Marks) -> Path:
    made = make_repository(folder)
    configure(made / ".git", marks.configuration())
    return made


def laid_out_as_one(folder: Path, marks: Marks) -> Path:
    return lay_out_as_repository(folder, marks.configuration())


def with_its_git_elsewhere(folder: Path, marks: Marks) -> Path:
    made = with_own_configuration(folder, marks)
    (made / ".git").rename(made / "notes")
    (made / ".git").write_text("gitdir: notes\n")
    return made


def with_an_include(folder: Path, marks: Marks) -> Path:
    made = make_repository(folder)
    (made / "notes").write_text(marks.configuration())
    configure(
        made / ".git",
        f'[include]\n\tpath = {made}/notes\n[includeIf "gitdir:/**"]\n\tpath = ../notes\n',
    )
    return made


def with_configuration_of_its_work_tree(folder: Path, marks: Marks) -> Path:
    made = make_repository(folder)
    configure(made / ".git", "[extensions]\n\tworktreeConfig = true\n")
    (made / ".git" / "config.worktree").write_text(marks.configuration())
    return made


def with_another_work_tree(folder: Path, marks: Marks) -> Path:
    made = with_own_configuration(folder, marks)
    configure(made / ".git", f"[core]\n\tworktree = {made}\n")
    return made


def within_another_repository(folder: Path, marks: Marks) -> Path:
    outer = make_repository(folder)
    inner = with_own_configuration(outer / "inner", marks)
    git(outer, "-c", "advice.addEmbeddedRepo=false", "add", "inner")
    git(outer, "commit", "--quiet", "--message", "second")
    (inner / "data.txt").write_text("again")
    return outer


LAYOUTS = [
    with_own_configuration,
    laid_out_as_one,
    with_its_git_elsewhere,
    with_an_include,
    with_configuration_of_its_work_tree,
    with_another_work_tree,
    within_another_repository,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_program_that_a_repository_names_is_run(layout, tmp_path, marks):
    directory = layout(tmp_path / "project", marks)
    ask_everything(directory)
    assert marks.left == []
    subprocess.run(["git", "status"], cwd=directory, capture_output=True, check=False)
    assert FSMONITOR in marks.left  # git itself runs it


@pytest.mark.parametrize("name", [FILTER, PROCESS])
def test_no_filter_that_a_repository_names_is_run(name, tmp_path, marks):
    directory = make_repository(tmp_path / "project")
    configure(directory / ".git", marks.configuration(name))
    ask_everything(directory)
    assert marks.left == []
    subprocess.run(["git", "status"], cwd=directory, capture_output=True, check=False)
    assert marks.left == [name]


def test_only_git_makes_a_repository(tmp_path, marks):
    inner = lay_out_as_repository(tmp_path / "outer" / "inner", marks.configuration())
    assert find_repository(inner) is None
    git(tmp_path / "outer", "init", "--quiet")
    assert find_repository(inner).root == tmp_path / "outer"
    assert find_repository(inner, within=inner) is None


def test_a_filter_of_the_user_is_run(tmp_path, user):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    with user.open("a") as file:
        file.write('[filter "lfs"]\n\tclean = "tr a-z A-Z"\n\trequired = true\n')
    (folder / "x.bin").write_text("content")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    assert git(folder, "show", "HEAD:x.bin") == "CONTENT"
    (folder / "x.bin").write_text("Content")  # the same to the filter
    assert not read_git_tree(find_repository(folder), folder).others
    (folder / "x.bin").write_text("another")
    assert read_git_tree(find_repository(folder), folder).others == {"x.bin"}


@pytest.mark.parametrize("is_users", [False, True])
def test_what_the_want_of_a_filter_changes_is_said(tmp_path, user, caplog, is_users):
    folder = make_repository(tmp_path / "project")
    git(folder, "config", "filter.f.clean", "printf first")
    if is_users:
        with user.open("a") as file:
            file.write('[filter "f"]\n\tclean = printf first\n')
    tree = read_git_tree(find_repository(folder), folder)
    assert ("data.txt" in tree.others) is not is_users
    assert ("names the filter 'f'. The filter is not run" in caplog.text) is not is_users


def test_how_files_are_to_be_read_is_taken_from_the_repository(tmp_path, user):
    folder = make_repository(tmp_path / "project")
    git(folder, "config", "core.autocrlf", "true")
    git(folder, "config", "core.fileMode", "false")
    (folder / "MLproject").unlink()
    git(folder, "checkout", "--quiet", ".")
    assert (folder / "MLproject").read_bytes().endswith(b"\r\n")
    (folder / "MLproject").chmod(0o755)
    (folder / "MLproject").touch()
    assert not read_git_tree(find_repository(folder), folder).others


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_objects_of_either_format(tmp_path, object_format):
    git(tmp_path, "init", "--quiet", f"--object-format={object_format}")
    (tmp_path / "a").touch()
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    tree = read_git_tree(find_repository(tmp_path), tmp_path)
    assert tree.commit == git(tmp_path, "rev-parse", "HEAD")
    assert not tree.others


def test_a_further_work_tree(tmp_path):
    folder = make_repository(tmp_path / "project")
    git(folder, "pack-refs", "--all")
    git(folder, "worktree", "add", "--quiet", "-b", "other", "../further")
    further = tmp_path / "further"
    git(further, "commit", "--quiet", "--allow-empty", "--message", "second")
    tree = read_git_tree(find_repository(further), further)
    assert tree.commit == git(further, "rev-parse", "HEAD") != git(folder, "rev-parse", "HEAD")
    assert not tree.others


def test_a_split_index(tmp_path):
    folder = make_repository(tmp_path / "project")
    git(folder, "update-index", "--split-index")
    assert read_git_tree(find_repository(folder), folder).others == {"data.txt", "more.txt"}


def test_a_repository_of_another_user(tmp_path, monkeypatch):
    folder = make_repository(tmp_path / "project")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):
        git(folder, "rev-parse", "HEAD")
    commit = read_checkout(find_repository(folder), folder).commit
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert commit == git(folder, "rev-parse", "HEAD")


def test_a_changed_submodule(tmp_path):
    outer = make_repository(tmp_path / "outer")
    git(outer, "checkout", "--quiet", ".")
    inner = make_repository(outer / "inner")
    git(inner, "checkout", "--quiet", ".")
    git(outer, "-c", "advice.addEmbeddedRepo=false", "add", "inner")
    git(outer, "commit", "--quiet", "--message", "second")

    def tree():
        return read_git_tree(find_repository(outer), outer)

    assert tree().has_all_of(["inner/data.txt"])
    (inner / "data.txt").write_text("again")
    assert tree().others == {"inner/data.txt"}
    assert tree().is_dirty
    (inner / "more.txt").unlink()
    assert tree().lacks
    git(inner, "commit", "--quiet", "--all", "--message", "second")
    assert "inner" in tree().others


def test_a_submodule_behind_a_link_is_not_followed(tmp_path):
    outer = make_repository(tmp_path / "outer")
    inner = make_repository(outer / "inner")
    git(outer, "-c", "advice.addEmbeddedRepo=false", "add", "inner")
    git(outer, "commit", "--quiet", "--all", "--message", "second")
    inner.rename(tmp_path / "moved")
    inner.symlink_to(outer)
    assert "inner" in read_git_tree(find_repository(outer), outer).others


@pytest.mark.parametrize("names", ["remote", "uploadpack"])
def test_no_program_of_a_repository_that_is_fetched_from(tmp_path, marks, names):
    folder = make_repository(tmp_path / "project")
    configure(folder / ".git", marks.configuration(names, FSMONITOR, FILTER))
    with ExitStack() as needed:
        fetched = fetch(str(folder), "main", needed)
        assert (fetched.directory / "data.txt").read_text() == "first"
    assert marks.left == []


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_version_of_a_local_repository(tmp_path, is_bare):
    folder = make_repository(tmp_path / "project")
    commit = git(folder, "rev-parse", "HEAD")
    if is_bare:
        git(tmp_path, "clone", "--quiet", "--bare", str(folder), "bare")
        folder = tmp_path / "bare"
    for version in ("main", commit, commit[:8]):
        with ExitStack() as needed:
            fetched = fetch(str(folder), version, needed)
            found = read_checkout(fetched.repository, fetched.directory, version)
        assert found.commit == commit
        assert found.address == str(folder)
        assert found.is_branch is (version == "main")


def add_submodule(folder: Path, address: str, more: str = "") -> None:
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},part")
    (folder / ".gitmodules").write_text(
        f'[submodule "part"]\n\tpath = part\n\turl = "{address}"\n{more}'
    )
    git(folder, "add", ".gitmodules")
    git(folder, "commit", "--quiet", "--message", "submodule")


@pytest.mark.parametrize(
    ("address", "more", "said"),
    [
        ("ext::sh -c 'touch {mark}'", "", "'ext' not allowed"),
        ("{other}", "", "'file' not allowed"),
        ("file://{other}", "", "'file' not allowed"),
        ("-u./payload", "", "part"),
        ("{other}", "\tupdate = !touch {mark}\n", "update"),
    ],
)
def test_a_submodule_that_is_no_address_is_refused(tmp_path, user, address, more, said):
    with user.open("a") as file:
        file.write('[protocol "file"]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n')
    folder, mark = make_repository(tmp_path / "project"), tmp_path / "was-run"
    words = {"mark": mark, "other": make_repository(tmp_path / "other")}
    add_submodule(folder, address.format(**words), more.format(**words))
    with ExitStack() as needed, pytest.raises(InvalidProject) as caught:
        fetch(str(folder), "main", needed)
    assert said in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("address", "version"),
    [
        ("--upload-pack=touch {mark}", None),
        ("ext::touch {mark}", None),
        ("{repository}", "--upload-pack=touch {mark}"),
        ("-oProxyCommand=touch {mark}@host:x", "main"),
    ],
)
def test_an_option_is_no_address_and_no_version(tmp_path, address, version):
    mark = tmp_path / "was-run"
    words = {"mark": mark, "repository": make_repository(tmp_path / "project")}
    (tmp_path / "root").mkdir()
    with pytest.raises(GitError, match="is refused"):
        fetch_commit(
            address.format(**words), version and version.format(**words), tmp_path / "root"
        )
    assert not mark.exists()


def test_the_users_own_addresses_are_used(tmp_path, user):
    folder = make_repository(tmp_path / "project")
    with user.open("a") as file:
        file.write(f'[url "{tmp_path}/"]\n\tinsteadOf = "https://example.test/"\n')
    (tmp_path / "root").mkdir()
    fetch_commit("https://example.test/project", None, tmp_path / "root")
    root = tmp_path / "root"
    assert git(root, "rev-parse", "HEAD") == git(folder, "rev-parse", "HEAD")
    assert read_checkout(repository_at(root), root).address == "https://example.test/project"


def test_variables_that_configure_git_stay_in_force(tmp_path, monkeypatch):
    folder = make_repository(tmp_path / "project")
    for name, value in {"COUNT": "1", "KEY_0": "my.key", "VALUE_0": "mine"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    with opened(find_repository(folder)) as view:
        assert view.tells("config", "--get", "my.key") == "mine"


def test_git_is_missing(tmp_path, monkeypatch):
    folder = make_repository(tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_git_tree(find_repository(folder), folder) is None
    assert not read_checkout(find_repository(folder), folder).commit
    with ExitStack() as needed, pytest.raises(InvalidProject, match="git is not installed"):
        fetch(str(folder), "main", needed)


@pytest.mark.parametrize("last", ["100644 blob", "040000 tree"])
def test_a_commit_of_any_number_of_files_is_not_checked_out(tmp_path, monkeypatch, last):
    """Four trees of forty entries are 2.5 million files, or empty folders, from a few objects."""
    monkeypatch.setattr(remote, "MOST_FILES", 1000)
    repository = tmp_path / "bomb"
    repository.mkdir()
    git(repository, "init", "--quiet", "--initial-branch=main")
    (repository / "file").write_text("x")
    kind, entry = last, git(repository, "hash-object", "-w", "file")
    if kind.endswith("tree"):
        entry = git(repository, "mktree")
    for _ in range(4):
        lines = "".join(f"{kind} {entry}\t{number}\n" for number in range(40))
        made = subprocess.run(
            ["git", "mktree"],
            cwd=repository,
            input=lines,
            capture_output=True,
            text=True,
            check=True,
        )
        kind, entry = "040000 tree", made.stdout.strip()
    commit = git(repository, "commit-tree", "-m", "boom", entry)
    git(repository, "update-ref", "refs/heads/main", commit)
    with ExitStack() as needed, pytest.raises(InvalidProject, match="more than 1,000 files"):
        fetch(str(repository), "main", needed)


@pytest.mark.parametrize("with_logins", [True, False])
def test_a_submodule_is_fetched_with_the_keys_of_the_user_only_if_that_is_allowed(
    tmp_path, user, with_logins
):
    """The repository chooses its address: that of a private repository, maybe."""
    mark = tmp_path / "was-run"
    with user.open("a") as file:
        file.write(f"[core]\n\tsshCommand = touch {mark};\n")
    folder = make_repository(tmp_path / "project")
    add_submodule(folder, "ssh://git@private.test/x.git")
    (tmp_path / "root").mkdir()
    with pytest.raises(GitError) as caught:
        fetch_commit(str(folder), None, tmp_path / "root", with_logins=with_logins)
    assert mark.exists() == with_logins
    assert ("without your logins" in str(caught.value)) != with_logins


def test_a_repository_of_another_user_is_read_and_none_of_its_settings(
    tmp_path, user, monkeypatch, caplog
):
    folder = make_repository(tmp_path / "project")
    commit = git(folder, "rev-parse", "HEAD").strip()
    git(folder, "config", "core.fsmonitor", f"touch {tmp_path}/ran")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):  # the control: "dubious ownership"
        git(folder, "status")
    repository = find_repository(folder)
    assert read_checkout(repository, folder).commit == commit
    assert read_git_tree(repository, folder).commit == commit
    assert not caplog.records
    assert not (tmp_path / "ran").exists()


def test_a_commit_that_cannot_be_read_is_said(tmp_path, user, monkeypatch, caplog):
    folder = make_repository(tmp_path / "project")
    repository = find_repository(folder)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert read_checkout(repository, folder).commit == ""
    assert "whose commit cannot be read, so it is no tag of the run: git is not installed" in (
        caplog.text
    )
    caplog.clear()
    shutil.rmtree(folder / ".git" / "objects")
    (folder / ".git" / "objects").mkdir()
    assert read_checkout(repository, folder).commit == ""
    assert "whose commit cannot be read" in caplog.text


def test_a_repository_without_a_commit_is_nothing_to_warn_of(tmp_path, user, caplog):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    assert read_checkout(find_repository(folder), folder).commit == ""
    assert not caplog.records
