"""The one written form of a value, whatever type its file gave it.

A label that is 1 in Parquet, 1.0 in a data frame with gaps, `1` in CSV and true in JSON lines is
compared, and stored, in this form.
"""

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any

# How a data frame writes a whole number in a column that has gaps.
_WHOLE = re.compile(r"(-?\d+)\.0")

# Above it not each whole number is a float.
_EXACT = 2.0**53


def written(value: Any) -> str | None:
    """The form: booleans are `true` and `false`, whole floats have no point; None for no value.

    Raises `TypeError` for what is not one value: a list, an object, bytes.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, float | Decimal):
        return _of_fraction(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not one value")


def _of_text(text: str) -> str:
    if text.lower() in ("true", "false"):
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _of_fraction(number: float | Decimal) -> str | None:
    """NaN is how data frames write that there is no value."""
    if number.is_nan() if isinstance(number, Decimal) else math.isnan(number):
        return None
    rounded = float(number)
    if abs(rounded) < _EXACT and rounded.is_integer() and number == rounded:
        return str(int(rounded))
    return str(number)
