"""Docker arguments mean what ``docker run`` means."""

from __future__ import annotations

import pytest

from container_backend.container.docker_args import DockerArgs, parse_docker_args
from container_backend.errors import InvalidConfig


def test_sizes_numbers_and_flags():
    args = parse_docker_args({"m": "1g", "shm-size": "64m", "cpus": "1.5", "privileged": True})
    assert args.host_config == {
        "mem_limit": 1024**3,
        "shm_size": 64 * 1024**2,
        "nano_cpus": 1_500_000_000,
        "privileged": True,
    }


def test_names_may_be_short_or_with_dashes():
    args = parse_docker_args({"-u": "1:2", "--network": "host", "w": "/x"})
    assert (args.user, args.network, args.container) == ("1:2", "host", {"working_dir": "/x"})


def test_variables_with_a_value_from_here_and_from_a_file(tmp_path):
    file = tmp_path / "vars"
    file.write_text("# comment\nC=3=4\nD\n")
    args = parse_docker_args(
        {"e": ["A=1", "B", "GONE"], "env-file": str(file)}, environ={"B": "2", "D": "5"}
    )
    assert args.environment == {"A": "1", "B": "2", "C": "3=4", "D": "5"}
    assert args.unwritten == {"B", "C", "D"}
    args = parse_docker_args({"e": ["B", "B=typed"]}, environ={"B": "2"})
    assert (args.environment, args.unwritten) == ({"B": "typed"}, set())


def test_volumes_are_absolute_and_named_ones_stay_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = parse_docker_args({"v": ["./data:/data:ro", "cache:/cache", "/a:/b"]})
    assert args.binds == [f"{tmp_path}/data:/data:ro", "cache:/cache", "/a:/b"]


def test_gpus():
    request = parse_docker_args({"gpus": "all"}).host_config["device_requests"][0]
    assert (request["Count"], request["Capabilities"]) == (-1, [["gpu"]])
    request = parse_docker_args({"gpus": "device=0,2"}).host_config["device_requests"][0]
    assert request["DeviceIDs"] == ["0", "2"]


def test_lists():
    args = parse_docker_args(
        {"add-host": ["a:1.2.3.4"], "ulimit": "nofile=10:20", "tmpfs": "/x:size=1m", "cap-add": "A"}
    )
    assert args.host_config["extra_hosts"] == {"a": "1.2.3.4"}
    assert args.host_config["ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    assert args.host_config["tmpfs"] == {"/x": "size=1m"}
    assert args.host_config["cap_add"] == ["A"]


def test_what_every_run_does_anyway_is_let_pass():
    given = {"rm": True, "init": True, "t": True, "i": True, "name": "mine"}
    assert parse_docker_args(given) == DockerArgs()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("memroy", "1g", "'memroy' is not supported. Did you mean 'memory'?"),
        ("memory", "many", "docker argument 'memory': 'many' cannot be read"),
        ("memory", True, "a value is needed"),
        ("gpus", "some", "docker argument 'gpus'"),
        ("volume", "/only", "write it as host-folder:/container/folder"),
        ("env-file", "/no/such", "No such file"),
        ("label", "container-backend.run-id=x", "are reserved"),
        ("privileged", "perhaps", "true or false"),
        ("env", "=x", "a name is needed"),
    ],
)
def test_what_is_wrong_is_said(name, value, message):
    with pytest.raises(InvalidConfig) as caught:
        parse_docker_args({name: value})
    assert message in str(caught.value)


def test_the_value_of_a_variable_is_in_no_message():
    with pytest.raises(InvalidConfig) as caught:
        parse_docker_args({"env": "=s3cret"})
    assert "s3cret" not in str(caught.value)


def test_mounts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = parse_docker_args(
        {"mount": ["type=bind,src=data,dst=/data,readonly", "type=volume,source=v,target=/v"]}
    )
    first, second = args.host_config["mounts"]
    assert (first["Type"], first["Source"], first["Target"], first["ReadOnly"]) == (
        "bind", f"{tmp_path}/data", "/data", True
    )  # fmt: skip
    assert (second["Type"], second["Source"], second["ReadOnly"]) == ("volume", "v", False)


def test_platform_and_groups():
    args = parse_docker_args({"platform": "linux/arm64", "group-add": ["audio", "44"]})
    assert (args.platform, args.groups) == ("linux/arm64", ["audio", "44"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("restart", "always", "'restart' is refused: a run is started once"),
        ("memory-swap", "4g", "it needs 'memory'"),
        ("entrypoint", True, "a value is needed"),
        ("platform", "arm", "os/architecture"),
        ("mount", "type=bind", "write it as type=bind"),
        ("mount", "type=magic,target=/x", "write it as type=bind"),
        ("memry", "1g", "Did you mean 'memory'?"),
    ],
)
def test_what_is_refused_says_why(name, value, message):
    with pytest.raises(InvalidConfig) as caught:
        parse_docker_args({name: value})
    assert message in str(caught.value)


ENV_FILES = {
    "a byte order mark": (b"\xef\xbb\xbfA=1\nB=2\n", {"A": "1", "B": "2"}),
    "lines of Windows": (b"A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    "comments and empty lines": (b"  # a\n#b\n\n   \nA=#1\n", {"A": "#1"}),
    "space around a value": (b"\t A= 1 \n", {"A": " 1 "}),
    "quotes": (b"A=\"1\"\nB='2'\n", {"A": '"1"', "B": "'2'"}),
    "no value": (b"A=\nHERE\nGONE\n", {"A": "", "HERE": "h"}),
    "signs that end a line elsewhere": (
        "A=1\u20282\nB=\x0c3\x85\n".encode(), {"A": "1\u20282", "B": "\x0c3\x85"}
    ),
    "the same name twice": (b"A=1\nA=2\n", {"A": "2"}),
}  # fmt: skip


@pytest.mark.parametrize("case", ENV_FILES)
def test_a_file_of_variables_is_read_as_docker_reads_it(tmp_path, case):
    content, expected = ENV_FILES[case]
    (tmp_path / "vars").write_bytes(content)
    args = parse_docker_args({"env-file": str(tmp_path / "vars")}, environ={"HERE": "h"})
    assert args.environment == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nB C=2\n", "line 2 has"),
        (b"=1\n", "line 1 has"),
        (b"\xff=1\n", "line 1 is not UTF-8"),
    ],
)
def test_a_file_of_variables_that_docker_refuses(tmp_path, content, message):
    (tmp_path / "vars").write_bytes(content)
    with pytest.raises(InvalidConfig, match=message):
        parse_docker_args({"env-file": str(tmp_path / "vars")})
