"""What a fetched project may ask of the store: its own run, and what it was handed.

Everything else is missing for the project, so that an answer does not even tell that something is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container_backend.labels_and_tags import TAG_PREFIX
from container_backend.runs.tracking.rules.addresses import MODEL, RUN, SCHEME, TRACE, place_of
from container_backend.runs.tracking.rules.routes import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container_backend.runs.tracking.grants import Grant
    from container_backend.runs.tracking.rules.family import Family
    from container_backend.runs.tracking.rules.routes import Route

REGISTERED: Final = "registered"
_PARENT: Final = "mlflow.parentRunId"
_SOURCE_RUN: Final = "mlflow.sourceRun"
# Searches → what they list, by which keys.
_LISTED: Final = {
    Rule.RUNS: (RUN, {"runs"}),
    Rule.MODELS: (MODEL, {"models"}),
    Rule.TRACES: (TRACE, {"traces", "trace_infos"}),
}
# As many as MLflow gives in a page.
_MOST_LISTED: Final = {Rule.MODELS: 50, Rule.TRACES: 500}
_TRACE_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
# Fields whose keys are the program's.
_MAPS: Final = frozenset(
    {"tags", "trace_metadata", "request_metadata", "metadata", "feedback", "expectation", "value"}
)
_TRUST: Final = "This project was fetched. If you trust it: trust_project."


class Refused(Exception):
    """A request that is not answered by the store; the texts are MLflow's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def forbidden(what: str) -> Refused:
    return Refused(403, "PERMISSION_DENIED", what)


def missing(what: str) -> Refused:
    return Refused(404, "RESOURCE_DOES_NOT_EXIST", f"{what} does not exist for this run. {_TRUST}")


def ended() -> Refused:
    return Refused(
        401, "UNAUTHENTICATED",
        "The run of this token has ended, or the token is wrong: nothing is written any more.",
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request, as far as a rule needs to know it.

    Attributes:
        parts: The parts of the path that are not fixed.
        body: JSON; empty if there is none.
        spans: Ids of the traces in a request of OpenTelemetry.
    """

    route: Route
    parts: tuple[str, ...]
    query: Mapping[str, list[str]]
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    spans: tuple[str, ...] = ()

    def named(self, *names: str) -> list[str]:
        """All values of a field, by whatever spelling MLflow reads (`run_id`, `runId`)."""
        found = [
            each for key, values in self.query.items() if _snake(key) in names for each in values
        ]
        for key, value in self.body.items():
            if _snake(key) in names:
                found += map(str, value) if isinstance(value, list) else [str(value)]
        return found


class Guard:
    """The rules of a fetched project."""

    def __init__(self, grant: Grant, family: Family, exists: Callable[[str, str], bool]) -> None:
        """``exists(kind, id)``: a trace or a model of this name is in the store."""
        self._grant = grant
        self._family = family
        self._exists = exists
        self._handed = set(grant.handed)
        self._checks: dict[Rule, Callable[[Asked], None]] = {
            Rule.ALL: lambda _: None,
            Rule.RUN: self._check_run,
            Rule.RUNS: lambda _: None,  # the answer is filtered
            Rule.MODELS: lambda _: None,
            Rule.TRACES: lambda _: None,
            Rule.EXPERIMENT: self._check_experiment,
            Rule.NEW_RUN: self._check_new_run,
            Rule.MODEL: lambda asked: self._all(
                MODEL, (*asked.parts[:1], *asked.named("model_id")), asked
            ),
            Rule.NEW_MODEL: self._check_new_model,
            Rule.TRACE: self._check_trace,
            Rule.NEW_TRACE: self._check_new_trace,
            Rule.REGISTERED: lambda asked: self._all(REGISTERED, asked.named("name"), asked),
            Rule.NEW_REGISTERED: lambda _: None,
            Rule.NEW_VERSION: self._check_version,
            Rule.ARTIFACTS: self._check_artifacts,
        }

    def check(self, asked: Asked) -> None:
        """Raise Refused for a request that the project may not send."""
        check = self._checks.get(asked.route.rule)
        if check is None:
            raise forbidden(
                f"A fetched project sees its own run only, not '{asked.route.pattern}'. {_TRUST}"
            )
        try:
            _check_spelling(asked.body)
            check(asked)
        except (AttributeError, KeyError, TypeError) as error:
            raise Refused(400, "BAD_REQUEST", "The request has another form.") from error

    def with_parent(self, body: dict[str, Any]) -> None:
        """Make a new run a child of the project's run, in place."""
        tags = body.setdefault("tags", [])
        if not any(tag.get("key") == _PARENT for tag in tags):
            tags.append({"key": _PARENT, "value": self._grant.run_id})

    def narrow(self, rule: Rule, body: dict[str, Any]) -> None:
        """Let a search be one for what is the project's, in place: it must not tell of anything else."""
        if rule not in _LISTED:
            return
        body.pop("page_token", None)
        body["experiment_ids"] = [self._grant.experiment_id]
        if "locations" in body:
            place = {"experiment_id": self._grant.experiment_id}
            body["locations"] = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": place}]
        if rule is Rule.RUNS:
            own = ", ".join(f"'{each}'" for each in self._family.ids(RUN))
            asked = str(body.get("filter") or "").strip()
            body["filter"] = f"attributes.run_id IN ({own})" + (f" AND {asked}" if asked else "")
        else:  # what is not the project's must not take the place of what is
            body["max_results"] = _MOST_LISTED[rule]

    def filter(self, rule: Rule, said: dict[str, Any]) -> None:
        """Leave out of an answer what is not the project's, in place; raise Refused if nothing is left."""
        if rule is Rule.EXPERIMENT:
            found = said.get("experiment", {}).get("experiment_id")
            if found is not None and str(found) != self._grant.experiment_id:
                raise missing("The experiment")
        elif (listed := _LISTED.get(rule)) is not None:
            kind, keys = listed
            said.pop("next_page_token", None)
            for key in keys & said.keys():
                said[key] = [each for each in said[key] if self.sees(kind, _id_in(each))]

    def hand(self, ids: Iterable[str]) -> None:
        """Let the program read what a name that it was handed leads to."""
        self._handed.update(filter(None, ids))

    def sees(self, kind: str, named: str) -> bool:
        """True for what the project may read."""
        return self._family.has(kind, named) or named in self._handed

    def _all(self, kind: str, ids: Iterable[str], asked: Asked) -> None:
        """Raise Refused unless there is an id, and all of them are the project's."""
        named = list(ids)
        for each in named:
            if not (self.sees if asked.route.reads else self._family.has)(kind, each):
                raise missing(f"'{each}'")
        if not named:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"'{asked.route.pattern}' needs an id.")

    def _check_run(self, asked: Asked) -> None:
        self._all(RUN, asked.named("run_id", "run_uuid"), asked)
        body = asked.body
        listed = [each for name in ("metrics", "models") for each in body.get(name) or ()]
        models = [
            *asked.named("model_id"),
            *(each["model_id"] for each in listed if each.get("model_id")),
        ]
        is_input = asked.route.pattern.endswith("/log-inputs")
        for model in models:
            if not (self.sees if is_input else self._family.has)(MODEL, str(model)):
                raise missing(f"'{model}'")
        tags = [body, *(body.get("tags") or ())]
        for key, value in ((str(tag.get("key", "")), tag.get("value")) for tag in tags):
            if key.startswith(TAG_PREFIX):
                raise forbidden(f"The tag '{key}' is not for programs.")
            if key == _PARENT and value is not None:
                self._all(RUN, [str(value)], asked)

    def _check_experiment(self, asked: Asked) -> None:
        self._only_own(asked.named("experiment_id"))

    def _only_own(self, experiments: Iterable[str]) -> None:
        for named in experiments:
            if named != self._grant.experiment_id:
                raise missing(f"The experiment '{named}'")

    def _check_new_run(self, asked: Asked) -> None:
        self._check_experiment(asked)
        tags = asked.body.get("tags") or []
        parents = [str(tag.get("value")) for tag in tags if tag.get("key") == _PARENT]
        if parents:
            self._all(RUN, parents, asked)

    def _check_new_model(self, asked: Asked) -> None:
        self._check_experiment(asked)
        self._all(RUN, asked.named("source_run_id"), asked)

    def _check_trace(self, asked: Asked) -> None:
        ids = (*asked.parts[:1], *asked.named("trace_id", "request_id", "trace_ids"))
        self._all(TRACE, ids, asked)

    def _check_new_trace(self, asked: Asked) -> None:
        info = asked.body.get("trace", {}).get("trace_info", {})
        metadata = info.get("trace_metadata") or {}
        runs = [value for key, value in metadata.items() if key == _SOURCE_RUN]
        runs += [
            each["value"]
            for each in asked.body.get("request_metadata", ())
            if each["key"] == _SOURCE_RUN
        ]
        place = info.get("trace_location", {}).get("mlflow_experiment", {})
        headers = asked.headers
        experiments = [*asked.named("experiment_id"), *filter(None, [place.get("experiment_id")])]
        experiments += [headers[name] for name in ["x-mlflow-experiment-id"] if name in headers]
        runs += [headers[name] for name in ["x-mlflow-run-id"] if name in headers]
        if runs:
            self._all(RUN, map(str, runs), asked)
        self._only_own(map(str, experiments))
        for trace in (*asked.spans, *filter(None, [info.get("trace_id")])):
            if not _TRACE_ID.fullmatch(str(trace)):
                raise Refused(
                    400, "INVALID_PARAMETER_VALUE", f"'{trace}' is not the id of a trace."
                )
            if not self._family.has(TRACE, trace) and self._exists(TRACE, trace):
                raise forbidden(f"The trace '{trace}' is another run's.")

    def _check_version(self, asked: Asked) -> None:
        self._all(REGISTERED, asked.named("name"), asked)
        for run_id in filter(None, asked.named("run_id")):
            self._all(RUN, [run_id], asked)
        for model in filter(None, asked.named("model_id")):
            self._all(MODEL, [model], asked)
        for source in asked.named("source"):
            kind, named = _named_by(source)
            self._all(kind, [named], asked)

    def _check_artifacts(self, asked: Asked) -> None:
        for path in (*asked.parts, *(() if asked.parts else asked.query.get("path", [""]))):
            place = place_of(path)
            if place is None:
                raise missing(f"The artifact '{path}'")
            self._all(place.kind, [place.id], asked)


def _id_in(listed: Mapping[str, Any]) -> str:
    info = listed.get("info") or listed.get("trace_info") or listed
    names = ("run_id", "model_id", "trace_id", "request_id")
    return next((str(info[name]) for name in names if info.get(name)), "")


def _named_by(source: str) -> tuple[str, str]:
    """What the source of a version is of: kind and id."""
    if source.startswith(SCHEME) and (place := place_of(source)) is not None:
        return place.kind, place.id
    match = re.fullmatch(r"(runs|models):/+([^/]+)(?:/.*)?", source)
    return (match[1], match[2]) if match else (RUN, source)


def _check_spelling(value: object) -> None:
    """Raise Refused for a field in the second spelling of protobuf (`runId`), which MLflow reads, too."""
    if isinstance(value, list):
        for each in value:
            _check_spelling(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key != key.lower():
                raise Refused(400, "BAD_REQUEST", f"Unknown field '{key}'.")
            if key not in _MAPS or isinstance(inner, list):
                _check_spelling(inner)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
