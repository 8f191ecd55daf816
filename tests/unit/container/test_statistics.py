"""The engine's statistics of a container → system metrics, and what a table shows.

The readings in ``statistics/`` were taken from an engine (20.10, cgroup v1, 2 CPUs): of a busy
container, two 7 s apart; of one with ``--cpus 0.5 --memory 512m``, likewise; of one with
``--network host``; of one that had ended. `docker stats` showed 55.38 % CPU and 81.71MiB for the
busy one, and 50.82 %, 82.2MiB of 512MiB for the limited one, a moment after.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from container_backend.container import statistics
from container_backend.container.statistics import (
    NVIDIA_QUERY,
    Sample,
    Usage,
    append_sample,
    gpu_values,
    read_samples,
    usage_of,
    values_of,
)

# Making up the first text takes hypothesis a second, in a checkout that is new.
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
READINGS = Path(__file__).parent / "statistics"

# In the shape of the example of the API's documentation, and of what it says is left out with
# cgroup v2; not recorded.
# https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
CGROUP_2 = {
    "read": "2015-01-08T22:57:31.547920715Z",
    "pids_stats": {"current": 3},
    "networks": {
        "eth0": {"rx_bytes": 5338, "rx_packets": 36, "tx_bytes": 648, "tx_packets": 8},
        "eth5": {"rx_bytes": 4641, "rx_packets": 26, "tx_bytes": 690, "tx_packets": 9},
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 259, "minor": 0, "op": "read", "value": 7_000_000},
            {"major": 259, "minor": 0, "op": "write", "value": 2_000_000},
            {"major": 253, "minor": 0, "op": "read", "value": 500_000},
            {"major": 253, "minor": 0, "op": "write", "value": 0},
        ],
        "io_serviced_recursive": None,
    },
    "memory_stats": {
        "stats": {"anon": 5_000_000, "file": 1_500_000, "inactive_file": 1_000_000},
        "usage": 6_537_216,
        "limit": 67_108_864,
    },
    "cpu_stats": {
        "cpu_usage": {"total_usage": 100_215_355, "usage_in_usermode": 30_000_000},
        "system_cpu_usage": 739_306_590_000_000,
        "online_cpus": 4,
    },
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
}


def reading(name):
    return json.loads((READINGS / f"{name}.json").read_text())


def cpu(total, system, online=4):
    return {
        "cpu_stats": {
            "cpu_usage": {"total_usage": total},
            "system_cpu_usage": system,
            "online_cpus": online,
        }
    }


def names_in(monitor):
    """What one of MLflow's monitors logs; by its source, for it needs psutil and a GPU."""
    package = importlib.util.find_spec("mlflow").submodule_search_locations[0]
    source = Path(package, "system_metrics", "metrics", f"{monitor}.py").read_text()
    return set(re.findall(r'self\._metrics\[\s*f?"([^"]+)"', source))


def percent(raw, before, **limits):
    return values_of(raw, before, **limits).get("system/cpu_utilization_percentage")


def test_a_reading_says_what_mlflow_calls_system_metrics():
    # No disk: this engine's kernel counts no blocks for it, the list is empty.
    assert values_of(reading("busy"), reading("busy_before")) == {
        "system/cpu_utilization_percentage": pytest.approx(28.05, abs=0.01),
        "system/system_memory_usage_megabytes": pytest.approx(85.528576),
        "system/system_memory_usage_percentage": pytest.approx(0.338, abs=0.001),
        "system/network_receive_megabytes": pytest.approx(0.01199),
        "system/network_transmit_megabytes": pytest.approx(1.166082),
    }


def test_the_names_are_those_that_mlflow_logs():
    logged = {f"system/{name}" for name in names_in("cpu_monitor") | names_in("network_monitor")}
    assert set(values_of(reading("busy"), reading("busy_before"))) == logged


def test_cpu_is_a_share_of_all_cores():
    assert percent(cpu(3_000, 12_000), cpu(1_000, 4_000)) == 25.0


def test_cpu_is_a_share_of_what_the_container_may_use():
    assert percent(cpu(3_000, 12_000), cpu(1_000, 4_000), cpus=2) == 50.0
    limited = percent(reading("limited"), reading("limited_before"), cpus=0.5)
    assert limited == pytest.approx(99.7, abs=0.1)


def test_a_limit_of_more_than_the_machine_has_is_none():
    assert percent(cpu(3_000, 12_000), cpu(1_000, 4_000), cpus=16) == 25.0


def test_a_limit_of_zero_is_none():
    assert percent(cpu(3_000, 12_000), cpu(1_000, 4_000), cpus=0) == 25.0


def test_cpu_is_never_more_than_all():
    assert percent(cpu(3_000, 12_000), cpu(1_000, 4_000), cpus=0.9) == 100.0


def test_a_container_that_waits_uses_no_cpu():
    assert percent(cpu(1_000, 12_000), cpu(1_000, 4_000)) == 0.0


def test_the_first_reading_says_nothing_of_the_cpu():
    first = reading("busy")
    assert set(values_of(reading("busy"), reading("busy_before"))) - set(
        values_of(first, None)
    ) == {"system/cpu_utilization_percentage"}
    assert usage_of(first, None).cpu_percent is None


def test_counters_that_went_back_say_nothing_of_the_cpu():
    assert percent(cpu(500, 12_000), cpu(1_000, 4_000)) is None
    assert percent(cpu(2_000, 4_000), cpu(1_000, 12_000)) is None


def test_the_same_reading_twice_says_nothing_of_the_cpu():
    assert percent(cpu(1_000, 4_000), cpu(1_000, 4_000)) is None


def test_memory_is_without_the_cache_of_files():
    memory = reading("limited")["memory_stats"]
    assert (memory["usage"], memory["stats"]["total_inactive_file"]) == (97_804_288, 10_833_920)
    values = values_of(reading("limited"), None)
    assert values["system/system_memory_usage_megabytes"] == pytest.approx(86.970368)


def test_memory_counts_the_cache_of_the_containers_groups_too():
    stats = {"inactive_file": 1, "total_inactive_file": 30}
    raw = {"memory_stats": {"usage": 100, "limit": 1000, "stats": stats}}
    assert usage_of(raw, None).memory_bytes == 70


def test_memory_is_a_share_of_the_containers_limit():
    values = values_of(reading("limited"), None)
    assert values["system/system_memory_usage_percentage"] == pytest.approx(16.2, abs=0.01)


def test_memory_without_a_limit_has_no_share():
    raw = {"memory_stats": {"usage": 5_000_000, "limit": 0}}
    assert values_of(raw, None) == {"system/system_memory_usage_megabytes": 5.0}
    assert usage_of(raw, None) == Usage(None, 5_000_000, None)


def test_a_cache_larger_than_all_memory_is_not_taken_off():
    raw = {"memory_stats": {"usage": 100, "limit": 1000, "stats": {"inactive_file": 200}}}
    assert usage_of(raw, None).memory_bytes == 100


def test_cgroup_2_is_read_too():
    assert values_of(CGROUP_2, None) == {
        "system/system_memory_usage_megabytes": pytest.approx(5.537216),
        "system/system_memory_usage_percentage": pytest.approx(8.2511, abs=0.0001),
        "system/network_receive_megabytes": pytest.approx(0.009979),
        "system/network_transmit_megabytes": pytest.approx(0.001338),
        "system/disk_read_megabytes": pytest.approx(7.5),
        "system/disk_write_megabytes": pytest.approx(2.0),
    }


def test_cgroup_1_spells_operations_with_capitals_and_adds_them_up_itself():
    operations = {"Read": 3_000_000, "Write": 1_000_000, "Sync": 9, "Async": 9, "Total": 4_000_000}
    entries = [{"major": 8, "minor": 0, "op": op, "value": n} for op, n in operations.items()]
    assert values_of({"blkio_stats": {"io_service_bytes_recursive": entries}}, None) == {
        "system/disk_read_megabytes": 3.0,
        "system/disk_write_megabytes": 1.0,
    }


def test_the_machines_own_network_is_not_the_containers():
    assert not [name for name in values_of(reading("host_network"), None) if "network" in name]


def test_an_ended_container_has_no_values():
    ended = reading("ended")
    assert values_of(ended, reading("busy")) == {}
    assert usage_of(ended, reading("busy")) == Usage(None, None, None)


@pytest.mark.parametrize("part", [*reading("busy"), "networks"])
@pytest.mark.parametrize("value", [None, {}, [], "", 0, "odd", 7])
def test_any_part_may_be_missing(part, value):
    raw = {**reading("busy"), part: value}
    assert all(number >= 0 for number in values_of(raw, reading("busy_before")).values())
    assert isinstance(usage_of(raw, reading("busy_before")), Usage)


def test_an_ended_container_may_have_zeros():
    raw = {"memory_stats": {"usage": 0, "limit": 0, "stats": {}}, **cpu(0, 0, online=0)}
    assert values_of(raw, cpu(1_000, 4_000)) == {}
    assert usage_of(raw, cpu(1_000, 4_000)) == Usage(None, None, None)


@pytest.mark.parametrize("number", [-1, math.nan, math.inf, -math.inf, 2**64, 10**400, "3", None])
def test_what_is_no_count_is_left_out(number):
    network = {"rx_bytes": number, "tx_bytes": 1_000_000}
    raw = {"memory_stats": {"usage": number, "limit": number}, "networks": {"eth0": network}}
    assert values_of(raw, None) == {"system/network_transmit_megabytes": 1.0}


def test_a_table_shows_what_docker_stats_shows():
    assert usage_of(reading("busy"), reading("busy_before")) == Usage(
        pytest.approx(56.1, abs=0.01), 85_528_576, 25_276_502_016
    )
    assert usage_of(reading("limited"), reading("limited_before")) == Usage(
        pytest.approx(49.85, abs=0.01), 86_970_368, 536_870_912
    )


def test_a_table_without_the_number_of_cpus_shows_no_cpu():
    assert usage_of(cpu(3_000, 12_000, online=None), cpu(1_000, 4_000)).cpu_percent is None


numbers = st.one_of(
    st.none(), st.integers(), st.floats(), st.integers(0, 2**64), st.just(10**400), st.text()
)
counters = st.fixed_dictionaries({}, optional={"rx_bytes": numbers, "tx_bytes": numbers})
blocks = st.fixed_dictionaries(
    {}, optional={"op": st.sampled_from(["Read", "write", None, 3]), "value": numbers}
)
readings = st.fixed_dictionaries(
    {},
    optional={
        "networks": numbers | st.dictionaries(st.text(max_size=3), counters | numbers, max_size=3),
        "blkio_stats": st.fixed_dictionaries(
            {"io_service_bytes_recursive": numbers | st.lists(blocks | numbers, max_size=4)}
        ),
        "cpu_stats": numbers
        | st.fixed_dictionaries(
            {
                "cpu_usage": numbers | st.fixed_dictionaries({"total_usage": numbers}),
                "system_cpu_usage": numbers,
                "online_cpus": numbers,
            }
        ),
        "memory_stats": numbers
        | st.fixed_dictionaries(
            {
                "usage": numbers,
                "limit": numbers,
                "stats": numbers
                | st.fixed_dictionaries(
                    {}, optional={"inactive_file": numbers, "total_inactive_file": numbers}
                ),
            }
        ),
    },
)


@RELAXED
@given(raw=readings, before=st.none() | readings, cpus=st.none() | st.floats(0, 1e6))
def test_no_number_is_negative_and_none_raises(raw, before, cpus):
    values = values_of(raw, before, cpus=cpus)
    assert all(value >= 0 and math.isfinite(value) for value in values.values())
    assert values.get("system/cpu_utilization_percentage", 0) <= 100
    shown = usage_of(raw, before)
    assert all(
        number is None or (number >= 0 and math.isfinite(number))
        for number in (shown.cpu_percent, shown.memory_bytes, shown.memory_limit)
    )


def test_gpus_are_named_and_measured_as_mlflow_does():
    output = "0, 87, 20480, 40960, 250.50, 400.00\n1, 0, 3, 40960, 55.12, 400.00\n"
    assert gpu_values(output) == {
        "system/gpu_0_utilization_percentage": 87.0,
        "system/gpu_0_memory_usage_megabytes": pytest.approx(21474.83648),
        "system/gpu_0_memory_usage_percentage": 50.0,
        "system/gpu_0_power_usage_watts": 250.5,
        "system/gpu_0_power_usage_percentage": pytest.approx(62.625),
        "system/gpu_1_utilization_percentage": 0.0,
        "system/gpu_1_memory_usage_megabytes": pytest.approx(3.145728),
        "system/gpu_1_memory_usage_percentage": pytest.approx(0.00732, abs=0.00001),
        "system/gpu_1_power_usage_watts": 55.12,
        "system/gpu_1_power_usage_percentage": pytest.approx(13.78),
    }


def test_the_gpus_names_are_those_that_mlflow_logs():
    logged = {f"system/{name.replace('{i}', '0')}" for name in names_in("gpu_monitor")}
    assert set(gpu_values("0, 1, 2, 3, 4, 5")) == logged


@pytest.mark.parametrize("unknown", ["[N/A]", "[Not Supported]", "N/A", "[Unknown Error]", "nan"])
def test_what_a_gpu_does_not_tell_is_left_out(unknown):
    assert gpu_values(f"0, {unknown}, 1000, 2000, {unknown}, 70.00") == {
        "system/gpu_0_memory_usage_megabytes": pytest.approx(1048.576),
        "system/gpu_0_memory_usage_percentage": 50.0,
    }


@pytest.mark.parametrize(
    "output",
    [
        "",
        "No devices were found\n",
        "GPU, 1, 2, 3, 4, 5\n",
        "-1, 1, 2, 3, 4, 5\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure\n",
        "index, utilization.gpu [%], memory.used [MiB], memory.total [MiB], power.draw, power.limit",
    ],
)
def test_an_error_of_nvidia_smi_has_no_values(output):
    assert gpu_values(output) == {}


def test_as_many_columns_are_read_as_are_asked_for():
    asked = next(word for word in NVIDIA_QUERY if word.startswith("--query-gpu="))
    row = ", ".join("1" for _ in asked.split(","))
    assert len(gpu_values(row)) == 5


cells = st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=5))


@RELAXED
@example("0, 1, 2, 5e-324, 3, 5e-324")
@given(st.text() | st.lists(cells, min_size=5, max_size=5).map(lambda row: ",".join(["0", *row])))
def test_no_text_of_nvidia_smi_raises(output):
    assert all(value >= 0 and math.isfinite(value) for value in gpu_values(output).values())


def samples(count):
    return [
        Sample(1_800_000_000.25 + at, at, {"system/cpu_utilization_percentage": at / 3})
        for at in range(count)
    ]


def test_samples_are_read_as_they_were_written(tmp_path):
    for sample in samples(3):
        append_sample(tmp_path / "samples", sample)
    assert read_samples(tmp_path / "samples") == samples(3)


def test_a_sample_is_one_line(tmp_path):
    for sample in samples(2):
        append_sample(tmp_path / "samples", sample)
    assert (tmp_path / "samples").read_bytes().count(b"\n") == 2


def test_a_torn_last_line_is_left_out(tmp_path):
    file = tmp_path / "samples"
    for sample in samples(2):
        append_sample(file, sample)
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        file.write_bytes(whole[:end])
        assert read_samples(file) == samples(1)


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe", b"null", b"[]", b"{}", b'{"at": 1, "step": 1, "values": 3}',
     b'{"at": "?", "step": 1, "values": {}}', b'{"at": 1, "step": 1e999, "values": {}}',
     b'{"at": 1, "step": 1, "values": {"a": null}}'],
)  # fmt: skip
def test_lines_that_are_no_samples_are_skipped(tmp_path, line):
    file = tmp_path / "samples"
    file.write_bytes(line + b"\n")
    append_sample(file, samples(1)[0])
    assert read_samples(file) == samples(1)


def test_no_file_has_no_samples(tmp_path):
    assert read_samples(tmp_path / "samples") == []


def test_a_file_that_cannot_be_read_is_said_so(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_samples(tmp_path)


def test_a_file_that_cannot_be_written_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        append_sample(tmp_path / "nowhere" / "samples", samples(1)[0])


def test_a_full_disk_is_said():
    with pytest.raises(OSError, match="No space left"):
        append_sample(Path("/dev/full"), samples(1)[0])


def test_a_line_that_is_only_begun_on_a_full_disk_is_said(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from container_backend.container.statistics import Sample, append_sample as append\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: append(Path(sys.argv[1]), Sample(1.0, 1, {}))\n"
        "except OSError as error: print(error.strerror)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "samples")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == "No space left on device\n"


def test_mlflow_and_docker_are_not_imported():
    # By its file: the package itself is the concern of its own tests.
    program = (
        "import sys; from importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('alone', sys.argv[1])\n"
        "sys.modules['alone'] = module = module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, statistics.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ended.stdout.split())
    assert "alone" in imported
    assert not {"mlflow", "docker", "pydantic"} & imported
