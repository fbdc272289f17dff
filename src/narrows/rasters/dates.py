"""The day that a scene was taken, from what its metadata or its name say."""

from __future__ import annotations

import datetime
import re

__all__ = ["as_date", "date_in_name"]

# Landsat 1 was launched in July 1972; eight digits that would be an earlier day are something else.
_FIRST = datetime.date(1972, 7, 1)
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)(?!\d)")
_DAY_OF_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d{3})(?=T\d{6})")
# Landsat before the collections: LXSPPPRRRYYYYDDD.
_OLD_LANDSAT = re.compile(r"L[A-Z]\d\d{6}((?:19|20)\d\d)(\d{3})")


def as_date(text: object) -> datetime.date | None:
    """The day of a date or a time in ISO form, ``"2019-08-09"`` or ``"2019-08-09T13:52:01Z"``; None if it is none."""
    try:
        return datetime.date.fromisoformat(str(text)[:10])
    except ValueError:
        return None


def date_in_name(name: str) -> datetime.date | None:
    """The first day in a file's or a product's name: eight digits (or with - or _ between), or a year and the day of
    the year as HLS and older Landsat names have it. None where there is none."""
    for match in _DAY.finditer(name):
        try:
            day = datetime.date(int(match[1]), int(match[3]), int(match[4]))
        except ValueError:
            continue
        if day >= _FIRST:
            return day
    found = _DAY_OF_YEAR.search(name) or _OLD_LANDSAT.search(name)
    if found and 1 <= int(found[2]) <= 366:
        return datetime.date(int(found[1]), 1, 1) + datetime.timedelta(int(found[2]) - 1)
    return None
