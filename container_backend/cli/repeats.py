"""The commands that repeat and compare runs: ``rerun`` and ``diff``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from container_backend.cli import options
from container_backend.cli.runs import complete_run
from container_backend.errors import InvalidConfig, RunFailed
from container_backend.machine import configure_logging

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineHost
    from container_backend.runs import Chunk


def _host(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> EngineHost | None:
    if value is None:
        return None
    from container_backend.engine import find_host

    if "://" not in value:
        raise InvalidConfig(
            f"--on: '{value}' is not the address of an engine.",
            remedy="Write it as for DOCKER_HOST: unix:///path, tcp://host:port, ssh://user@host.",
        )
    return find_host({**os.environ, "DOCKER_HOST": value})


@click.command()
@click.argument("run", shell_complete=complete_run)
@options.parameters("Value of a parameter; replaces the value of RUN.")
@options.docker_args("Argument of `docker run`; replaces that of RUN; repeatable.")
@click.option(
    "--on", "host", metavar="HOST", callback=_host, help="Engine to run on, as in DOCKER_HOST."
)
@options.backend_config("Backend config, whose keys replace those of RUN")
@click.option("--experiment-name", metavar="NAME", help="Default: the experiment of RUN.")
@click.option("--run-name", metavar="NAME", help="Default: the name of RUN.")
@click.option("--best-effort", is_flag=True, help="Replace what is gone by its current version.")
@click.option("--trust", is_flag=True, help="Allow what RUN was allowed: volumes, devices, …")
@click.option("-d", "--detach", is_flag=True, help="Return after the start of the program.")
@options.plain
@options.as_json
def rerun(
    run: str,
    parameters: Mapping[str, str],
    docker_args: dict[str, Any],
    host: EngineHost | None,
    backend_config: dict[str, Any],
    experiment_name: str | None,
    run_name: str | None,
    best_effort: bool,
    trust: bool,
    detach: bool,
    plain: bool,
    as_json: bool,
) -> None:
    """Repeat RUN with the same image, code and parameters, and compare both runs.

    RUN is a run id, or its beginning. Exits with 0 only if the new run finished.
    """
    from container_backend.rerun import Again, submission_of
    from container_backend.runs import console, run_to_end
    from container_backend.store import Experiment

    configure_logging()
    submission = submission_of(
        run,
        Again(
            parameters=parameters,
            config={**backend_config, "detach": True} if detach else backend_config,
            docker_args=docker_args,
            host=host,
            best_effort=best_effort,
            trust=trust,
            experiment=Experiment(name=experiment_name),
            run_name=run_name,
        ),
    )
    old = submission.repeats
    try:
        write = _to_standard_error if as_json else console(plain=plain)
        started = run_to_end(submission, write=write)
    except RunFailed as error:
        if error.run_id:
            _compare(old, error.run_id, as_json=as_json)
        raise
    if submission.config.detach:
        click.echo(started.run_id)
        return
    _compare(old, started.run_id, as_json=as_json)


@click.command()
@click.argument("left", metavar="RUN", shell_complete=complete_run)
@click.argument("right", metavar="RUN", shell_complete=complete_run)
@options.as_json
def diff(left: str, right: str, as_json: bool) -> None:
    """Compare two runs: image, packages, code, parameters, metrics.

    Exits with 0 if nothing differs, otherwise with 1.
    """
    if not _compare(left, right, as_json=as_json):
        sys.exit(1)


def _to_standard_error(chunk: Chunk) -> None:
    sys.stderr.buffer.write(chunk.data)
    sys.stderr.flush()


def _compare(left: str, right: str, *, as_json: bool) -> bool:
    """Show the comparison of two runs; true if nothing differs."""
    from container_backend.rerun import compare, facts_of, find_run

    compared = compare(*(facts_of(find_run(run)) for run in (left, right)))
    options.show(compared.as_json(), compared.as_text(), as_json=as_json)
    return compared.is_same


RERUN_COMMANDS: Final = (rerun, diff)
