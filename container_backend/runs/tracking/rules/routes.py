"""Every route of MLflow's server, and who may use it: a table.

The routes are those of the oldest and the newest version that this package admits; a test enumerates
them. A route that is missing here is refused. `/ajax-api/` is another name of `/api/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final


class Rule(Enum):
    """Who may use a route.

    The projects of the user may use all but REFUSED. Each other value is what a fetched project has to
    name: something of its own run, or something that was handed to it.
    """

    REFUSED = "no program: it would make this machine do something beside the store"
    OWN = "the user's own projects"
    ALL = "every program"
    RUN = "a fetched project for its run and the children of that"
    EXPERIMENT = "a fetched project for the experiment of its run"
    NEW_RUN = "a fetched project, which makes a child of its run"
    RUNS = "a fetched project, which sees its run and the children of that"
    MODEL = "a fetched project for logged models of its run"
    NEW_MODEL = "a fetched project, for its run"
    MODELS = "a fetched project, which sees the logged models of its run"
    TRACE = "a fetched project for traces of its run"
    NEW_TRACE = "a fetched project, in the experiment of its run"
    TRACES = "a fetched project, which sees the traces of its run"
    REGISTERED = "a fetched project for registered models that it has made"
    NEW_REGISTERED = "a fetched project, for a new name"
    NEW_VERSION = "a fetched project, of a model of its run, for a name that it has made"
    ARTIFACTS = "a fetched project for artifacts of its run"


@dataclass(frozen=True)
class Route:
    """A route that the proxy knows.

    Attributes:
        pattern: The path without `/api/`; `<name>` stands for a part, `<path:name>` for several.
        reads: The route changes nothing.
    """

    method: str
    pattern: str
    rule: Rule
    reads: bool = False


# One line for each rule and prefix: METHOD/path, separated by blanks. A star after the method means
# that the route only reads, in spite of the method.
_TABLE: Final = (
    (Rule.ALL, "", "GET/health GET/version"),
    (Rule.ALL, "3.0/mlflow/", "GET/server-info"),
    (Rule.REFUSED, "", "GET/ GET/static-files/<path> GET/build/<path> GET/graphql POST/graphql"),
    # Paths of the store's own disk, for browsers; programs use mlflow-artifacts.
    (Rule.REFUSED, "", "GET/get-artifact GET/model-versions/get-artifact"),
    (Rule.REFUSED, "2.0/mlflow/",
        "GET/gateway-proxy POST/gateway-proxy POST/runs/create-promptlab-run POST/upload-artifact "
        "GET/logged-models/<id>/artifacts/files GET/get-trace-artifact "
        "POST/artifacts/presigned-download-url POST/artifacts/presigned-upload-url "
        "GET/webhooks POST/webhooks GET/webhooks/<id> DELETE/webhooks/<id> PATCH/webhooks/<id> "
        "POST/webhooks/<id>/test"),
    (Rule.REFUSED, "3.0/mlflow/",
        "GET/get-trace-artifact GET/ui-telemetry POST/ui-telemetry "
        "PUT/scorers/online-config GET/scorers/online-configs "
        "POST/prompt-optimization/jobs GET/prompt-optimization/jobs/<id> "
        "DELETE/prompt-optimization/jobs/<id> POST/prompt-optimization/jobs/<id>/cancel "
        "GET/prompt-optimization/jobs/search POST/prompt-optimization/jobs/search "
        "POST/workspaces DELETE/workspaces/<name> PATCH/workspaces/<name> "
        "GET/gateway/<path> POST/gateway/<path> PUT/gateway/<path> PATCH/gateway/<path> "
        "DELETE/gateway/<path> GET/jobs/<id> PATCH/jobs/cancel/<id> "
        "POST/demo/generate POST/demo/delete "
        "POST/genai/evaluate/invoke POST/issues/invoke POST/scorer/invoke"),
    (Rule.REFUSED, "", "GET/3.0/jobs/<path> POST/3.0/jobs/<path> PATCH/3.0/jobs/<path> POST/3.0/jobs/ "
        "GET/gateway/<path> POST/gateway/<path>"),
    (Rule.REFUSED, "3.0/mlflow/assistant",
        "GET/<path> POST/<path> PUT/<path> PATCH/<path> DELETE/<path>"),
    # Runs and experiments.
    (Rule.EXPERIMENT, "2.0/mlflow/experiments/", "GET/get GET/get-by-name"),
    (Rule.OWN, "2.0/mlflow/experiments/",
        "POST/create POST/delete POST/restore POST/update POST/set-experiment-tag "
        "POST/delete-experiment-tag GET/search POST*/search POST*/search-datasets"),
    (Rule.OWN, "", "POST*/2.0mlflow/experiments/search-datasets"),
    (Rule.NEW_RUN, "2.0/mlflow/runs/", "POST/create"),
    (Rule.RUNS, "2.0/mlflow/runs/", "POST*/search"),
    (Rule.RUN, "2.0/mlflow/runs/",
        "GET/get POST/update POST/delete POST/restore POST/set-tag POST/delete-tag POST/log-batch "
        "POST/log-metric POST/log-parameter POST/log-inputs POST/log-model POST/outputs"),
    (Rule.RUN, "2.0/mlflow/", "GET/metrics/get-history GET/artifacts/list"),
    (Rule.OWN, "2.0/mlflow/metrics/", "GET/get-history-bulk GET/get-history-bulk-interval"),
    # Artifacts.
    (Rule.ARTIFACTS, "2.0/mlflow-artifacts/",
        "GET/artifacts GET/artifacts/<path> PUT/artifacts/<path> DELETE/artifacts/<path>"),
    (Rule.REFUSED, "2.0/mlflow-artifacts/",
        "POST/mpu/create/<path> POST/mpu/complete/<path> POST/mpu/abort/<path> GET/presigned/<path>"),
    # Logged models.
    (Rule.NEW_MODEL, "2.0/mlflow/", "POST/logged-models"),
    (Rule.MODELS, "2.0/mlflow/", "POST*/logged-models/search"),
    (Rule.MODEL, "2.0/mlflow/logged-models/",
        "GET/<id> PATCH/<id> DELETE/<id> POST/<id>/params PATCH/<id>/tags DELETE/<id>/tags/<key> "
        "GET/<id>/artifacts/directories"),
    # Traces.
    (Rule.NEW_TRACE, "", "POST/3.0/mlflow/traces POST/2.0/mlflow/traces POST/v1/traces"),
    (Rule.TRACES, "", "POST*/3.0/mlflow/traces/search POST*/2.0/mlflow/traces/search"),
    (Rule.OWN, "2.0/mlflow/", "GET/traces GET/unified-traces"),
    (Rule.TRACE, "2.0/mlflow/traces/",
        "GET/<id> GET/<id>/info PATCH/<id> PATCH/<id>/tags DELETE/<id>/tags "
        "GET/<id>/assessments/<assessment> PATCH/<id>/assessments/<assessment> "
        "DELETE/<id>/assessments/<assessment> POST/{assessment.trace_id}/assessments"),
    (Rule.TRACE, "3.0/mlflow/traces/",
        "GET/<id> PATCH/<id>/tags DELETE/<id>/tags POST/<id>/assessments "
        "GET/<id>/assessments/<assessment> PATCH/<id>/assessments/<assessment> "
        "DELETE/<id>/assessments/<assessment> GET/get GET/batchGet POST*/batchGetInfos"),
    (Rule.OWN, "2.0/mlflow/", "GET/get-online-trace-details POST/traces/delete-traces "
        "POST/traces/link-to-run POST/traces/link-prompts"),
    (Rule.OWN, "3.0/mlflow/traces/", "POST/delete-traces "
        "POST*/calculate-filter-correlation POST*/metrics"),
    # The registry of models and prompts.
    (Rule.NEW_REGISTERED, "2.0/mlflow/registered-models/", "POST/create"),
    (Rule.REGISTERED, "2.0/mlflow/registered-models/",
        "GET/get PATCH/update POST/set-tag DELETE/delete-tag "
        "GET/alias POST/alias DELETE/alias GET/get-latest-versions POST*/get-latest-versions"),
    (Rule.OWN, "2.0/mlflow/", "GET/registered-models/search GET/model-versions/search "
        "DELETE/registered-models/delete POST/registered-models/rename"),
    (Rule.NEW_VERSION, "2.0/mlflow/model-versions/", "POST/create"),
    (Rule.REGISTERED, "2.0/mlflow/model-versions/",
        "GET/get GET/get-download-uri PATCH/update DELETE/delete POST/set-tag DELETE/delete-tag "
        "POST/transition-stage"),
    # What newer versions keep beside runs.
    (Rule.OWN, "3.0/mlflow/",
        "GET/workspaces GET/workspaces/<name> "
        "POST/issues GET/issues/<id> PATCH/issues/<id> POST*/issues/search "
        "POST/scorers/register GET/scorers/get GET/scorers/list GET/scorers/versions "
        "DELETE/scorers/delete"),
    (Rule.OWN, "3.0/mlflow/datasets/",
        "POST/create GET/search POST*/search GET/<id> DELETE/<id> GET/<id>/records POST/<id>/records "
        "DELETE/<id>/records GET/<id>/experiment-ids POST/<id>/add-experiments "
        "POST/<id>/remove-experiments PATCH/<id>/tags DELETE/<id>/tags/<key>"),
    (Rule.OWN, "3.0/mlflow/label-schemas/",
        "POST/create DELETE/delete GET/get GET/get-by-name GET/list PATCH/update"),
    (Rule.OWN, "3.0/mlflow/review-queues/",
        "POST/create POST/delete GET/get GET/get-by-name POST/get-or-create-user GET/list POST/update "
        "POST/items/add GET/items/list POST/items/remove POST/items/set-status"),
    (Rule.OWN, "3.0/mlflow/mcp-servers",
        "GET POST GET/<path> POST/<path> PATCH/<path> DELETE/<path>"),
)  # fmt: skip


@cache
def routes() -> tuple[Route, ...]:
    """The table, a row for each route."""
    found = []
    for rule, prefix, named in _TABLE:
        for word in named.split():
            method, _, rest = word.partition("/")
            reads = method in {"GET", "GET*", "POST*"}
            found.append(Route(method.rstrip("*"), _joined(prefix, rest), rule, reads))
    return tuple(found)


def route_of(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The route of a request, and the parts of its path that are not fixed; None if there is none."""
    inner = inner_path(path)
    for expression, route in _compiled().get(method, ()):
        if (match := expression.fullmatch(inner)) is not None:
            return route, match.groups()
    return None


def inner_path(path: str) -> str:
    """The path as the table has it: without `/api/` or `/ajax-api/`."""
    return re.sub(r"^/(?:(?:ajax-)?api/)?", "", path)


def _joined(prefix: str, rest: str) -> str:
    return f"{prefix.rstrip('/')}/{rest}".strip("/") if prefix else rest


@cache
def _compiled() -> dict[str, list[tuple[re.Pattern[str], Route]]]:
    """By method; fixed paths before those with parts that are not."""
    found: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
    for route in sorted(routes(), key=lambda each: (each.pattern.count("<"), each.pattern)):
        parts = re.split(r"(<\w+>)", route.pattern)
        text = "".join(
            {"<path>": "(.+)"}.get(part, "([^/]+)") if part.startswith("<") else re.escape(part)
            for part in parts
        )
        found.setdefault(route.method, []).append((re.compile(text), route))
    return found
