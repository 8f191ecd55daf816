"""Times in the engine's format."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

# The engine's time of an event that has not happened.
_NEVER: Final = "0001-01-01T00:00:00Z"
_TIME: Final = re.compile(r"([-\d]+T[:\d]+)(\.\d+)?(Z|[-+]\d\d:\d\d)")


def parse_time(text: str) -> float | None:
    """An engine's time (RFC 3339 with nanoseconds) as seconds since 1970; None for never."""
    if text == _NEVER or (match := _TIME.fullmatch(text)) is None:
        return None
    date, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(date + zone.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.timestamp() + float(fraction or 0)


def time_in_log(seconds: float) -> str:
    """Seconds since 1970 as a text that can be compared with the times of log entries."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")


def exact_seconds(time: str) -> str:
    """The time of a log entry as seconds since 1970, with nanoseconds, for a request."""
    date, _, fraction = time.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(date).replace(tzinfo=timezone.utc)
    return f"{int(moment.timestamp())}.{fraction or 0}"
