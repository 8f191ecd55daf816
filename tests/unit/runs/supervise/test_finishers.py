"""What the processes that finish runs print."""

from __future__ import annotations

from container_backend.runs.supervise.finishers import _Process


def test_what_mlflow_prints_is_masked(tmp_path, capfd):
    process = _Process.__new__(_Process)
    process._secrets = frozenset({b"t0ken"})
    shown = process._masked("View run x at: http://me:pa55-word@host/#/runs/1 t0ken\n")
    assert shown == "View run x at: http://host/#/runs/1 ***\n"
