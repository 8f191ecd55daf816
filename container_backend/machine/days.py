"""Days as people write them, as times."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# https://datatracker.ietf.org/doc/html/rfc3339#section-5.6
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?([zZ]|[+-]\d\d:\d\d)", re.ASCII
)


def end_of_day(text: str) -> str:
    """A date or an RFC 3339 time as a time in UTC; of a date, the end.

    Raises:
        ValueError: The text is neither.
    """
    try:
        if _DATE.fullmatch(text):
            begin = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
            time = begin + timedelta(days=1)
        elif match := _TIME.fullmatch(text):
            zone = "+00:00" if match[2] in "zZ" else match[2]
            time = datetime.fromisoformat(match[1] + zone).astimezone(timezone.utc)
        else:
            raise ValueError(text)
    except OverflowError as error:  # of the years 1 and 9999
        raise ValueError(text) from error
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
