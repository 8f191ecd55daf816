"""The commands on existing runs: ps, status, logs, wait, cancel, supervise."""

from __future__ import annotations

import re
import sys
import time
from contextlib import closing, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from container_backend.cli import options
from container_backend.machine import (
    configure_logging,
    harmless,
    human_age,
    human_size,
    submission_in,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.container import RunContainer
    from container_backend.engine import Engine
    from container_backend.runs import ListedRun

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def complete_run(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The ids of the runs that have a container; none without an engine."""
    from container_backend import labels_and_tags
    from container_backend.engine import connect
    from container_backend.errors import EngineUnavailable
    from container_backend.machine import run_id_in

    try:
        with closing(connect()) as engine:
            found = engine.containers.find(labels_and_tags.LABEL_RUN_ID)
    except EngineUnavailable:
        return []
    ids = (run_id_in(each["Labels"]) for each in found if submission_in(each["Labels"]))
    return sorted(each for each in ids if each.startswith(incomplete))


def _since(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if match := re.fullmatch(r"(\d{1,15})([smhd])", value):
        return max(0.0, time.time() - int(match[1]) * _SECONDS[match[2]])
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone().timestamp()
    except ValueError as error:
        raise click.BadParameter(
            f"'{value}': write it as 10m, 2h, 1d or 2026-01-31T12:00.", param=parameter
        ) from error


_run = click.argument("run", shell_complete=complete_run)


def _prepared() -> Engine:
    """An engine; its supervisor runs if there are unfinished runs."""
    from container_backend.engine import connect
    from container_backend.runs import ensure_supervisor, ledger_of

    configure_logging()
    engine = connect()
    if any(ledger_of(engine.host).entries()):
        ensure_supervisor(engine.host)
    return engine


def _find(engine: Engine, run: str) -> RunContainer | None:
    from container_backend.container import check_run_id, find_container
    from container_backend.runs import is_signed

    return find_container(engine, check_run_id(run), is_signed)


@click.command()
@click.option("-a", "--all", "ended", is_flag=True, help="Also runs whose program has ended.")
@options.as_json
def ps(ended: bool, as_json: bool) -> None:
    """List the runs that have a container on the engine.

    The container of an ended run is removed, unless the backend config says `keep`.
    `container-backend status RUN` shows every run.
    """
    from container_backend.runs import list_runs

    with closing(_prepared()) as engine:
        found = list_runs(engine, ended=ended)
    if found or as_json:
        options.show([each.as_json() for each in found], run_table(found), as_json=as_json)
        return
    message = "No run has a container on the engine." if ended else "No run is active."
    click.echo(message, err=True)


@click.command()
@_run
@options.as_json
def status(run: str, as_json: bool) -> None:
    """Show the status of RUN and the reason. RUN is a run id, or its beginning."""
    from container_backend.runs import status_of

    with closing(_prepared()) as engine:
        found = status_of(engine, run)
    width = max(map(len, found))
    lines = [
        f"{name.replace('_', ' '):{width}}  {harmless(str(value))}"
        for name, value in found.items()
        if value not in {None, ""}
    ]
    options.show(found, "\n".join(lines), as_json=as_json)


@click.command()
@_run
@click.option("-f", "--follow", is_flag=True, help="Continue until the program ends.")
@click.option(
    "--since",
    metavar="TIME",
    callback=_since,
    help="Only output since TIME: 10m (ago), or 2026-01-31T12:00.",
)
@click.option("--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last LINES.")
@options.plain
def logs(run: str, follow: bool, since: float | None, tail: int | None, plain: bool) -> None:
    """Print the output of the program of RUN. RUN is a run id, or its beginning.

    The output comes from the container; after its removal, from the run's artifacts.
    """
    try:
        _print_logs(run, follow=follow, since=since, tail=tail, plain=plain)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        sys.exit(1)


def _print_logs(
    run: str, *, follow: bool, since: float | None, tail: int | None, plain: bool
) -> None:
    from container_backend.engine import STDOUT
    from container_backend.errors import NotThere
    from container_backend.runs import Chunk, console, read_output

    write = console(plain=plain)
    with closing(_prepared()) as engine:
        found = _find(engine, run)
        if found is not None:
            with suppress(NotThere):  # the run has just ended
                for chunk in read_output(engine, found, follow=follow, since=since, tail=tail):
                    write(chunk)
                return
    from container_backend.runs import attach

    for data in attach(run).logs(since=since, tail=tail):
        write(Chunk(STDOUT, data))


@click.command()
@_run
def wait(run: str) -> None:
    """Wait for the end of RUN, and exit with its result.

    RUN is a run id, or its beginning. Exits with 0 if the run finished, 1 if it failed, 130 if it
    was cancelled.
    """
    from container_backend.runs import attach

    _prepared().close()
    attach(run).result()


@click.command()
@_run
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time until SIGKILL; default: that of the backend config.",
)
def cancel(run: str, grace: float | None) -> None:
    """Stop the program of RUN, and return when the run has ended.

    RUN is a run id, or its beginning.
    """
    from container_backend.container import cancel_program

    with closing(_prepared()) as engine:
        found = _find(engine, run)
        stopped = found is not None and cancel_program(engine, found.id, grace)
    from container_backend.runs import attach

    attached = attach(run)
    attached.wait()
    before = "" if stopped else " had ended already"
    click.echo(f"Run {attached.run_id}{before}: {attached.get_status()}.", err=True)


@click.command()
@click.option("--until-idle", is_flag=True, help="End when no run is left.")
def supervise(until_idle: bool) -> None:
    """Run the supervisor in the foreground, e.g. as a service of systemd.

    The supervisor finishes runs whose client is gone. Each run starts one in the background
    if none runs.
    """
    from container_backend.runs import supervise_until_stopped

    supervise_until_stopped(stays=not until_idle)


_SHORT_ID: Final = 12


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else human_age(seconds)  # noqa: PLR2004 a minute


def run_table(runs: Sequence[ListedRun]) -> str:
    head = ("RUN", "EXPERIMENT", "PROJECT", "ENTRY POINT", "IMAGE", "STATE", "AGE", "CPU", "MEMORY")
    return table(
        head,
        [
            (
                run.run_id[:_SHORT_ID],
                run.experiment,
                run.project,
                run.entry_point,
                run.image,
                run.state if run.exit_code is None else f"{run.state} ({run.exit_code})",
                "-" if run.seconds is None else _age(run.seconds),
                "-" if run.cpu_percent is None else f"{run.cpu_percent:.0f} %",
                "-" if run.memory_bytes is None else human_size(run.memory_bytes),
            )
            for run in runs
        ],
    )


RUN_COMMANDS: Final = (ps, status, logs, wait, cancel, supervise)
