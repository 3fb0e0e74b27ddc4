"""Values that computed features take from a request: checked, and as expressions take them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from api.answer.join_keys import FAULTS_SHOWN, shown, text_of, truth_value, whole_number
from api.errors import InvalidRequest
from api.plans.computed import Computed
from streamflow.expressions.arithmetic import NoValue, single
from streamflow.expressions.tree import BOOL, FLOAT32, FLOAT64, INSTANT, INT32, INT64, STRING
from streamflow.expressions.values import taken

Rows = list[tuple[Any, ...]]


def given_to(computed: Computed | None, given: Mapping[str, Any], count: int, where: str) -> Rows:
    """The values of a request for each row; [] where it has to give none, and gives none.

    Args:
        computed: the features that may take some.

    Raises:
        InvalidRequest: they are not those that the features take.
    """
    wanted = computed.request if computed else {}
    return rows_of(wanted, given, count, where) if wanted or given else []


def rows_of(wanted: Mapping[str, str], given: Mapping[str, Any], count: int, where: str) -> Rows:
    """The values of each row of a request, in the order of `wanted`.

    Args:
        wanted: Feast's types by name.
        given: by name a value for all rows, or a list of one for each.
        where: the place in the request, for a refusal.

    Raises:
        InvalidRequest: one lacks, is not known or cannot be of its type.
    """
    require_names(wanted, given, where)
    columns, faults = [], []
    for name, type_ in wanted.items():
        value = given[name]
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and len(value) != count:
            faults.append((f"{where}.{name}", f"has {len(value)} values for {count} rows"))
        found = []
        for at, one in enumerate(values):
            try:
                found.append(None if one is None else CHECKS[type_](one))
            except ValueError as error:
                place = f"{where}.{name}" + (f".{at}" if isinstance(value, list) else "")
                faults.append((place, str(error)))
        columns.append(found if isinstance(value, list) else found * count)
    if faults:
        raise InvalidRequest(faults[:FAULTS_SHOWN])
    return list(zip(*columns, strict=True)) if columns else [()] * count


def require_names(wanted: Mapping[str, str], given: Mapping[str, Any], where: str) -> None:
    """Refuses values that no feature takes, and a request without one that is taken."""
    faults = [
        (f"{where}.{name}", f"is needed, {type_}: features are computed from it")
        for name, type_ in wanted.items()
        if name not in given
    ]
    takes = f"they take {', '.join(wanted)}" if wanted else "they take none"
    faults += [
        (f"{where}.{name}", f"is no value that these features take; {takes}")
        for name in given
        if name not in wanted
    ]
    if faults:
        raise InvalidRequest(faults[:FAULTS_SHOWN])


def parsed(given: Sequence[str], where: str) -> dict[str, str]:
    """Values as they stand in a query string, `name:value` each.

    Raises:
        InvalidRequest: one is not written so, or given twice.
    """
    found: dict[str, str] = {}
    for at, one in enumerate(given):
        name, colon, value = one.partition(":")
        if not (name and colon) or name in found:
            why = "is given twice" if name in found else "is written name:value"
            raise InvalidRequest([(f"{where}.{at}", why)])
        found[name] = value
    return found


def number(value: Any) -> float:
    """A number, also in digits; NaN and Infinity are no numbers of JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"should be a number, not {shown(value)}")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"should be a number, not {shown(value)}") from None


def single_number(value: Any) -> float:
    """A number as a 32-bit float."""
    try:
        return single(number(value))
    except NoValue:
        raise ValueError(f"is a larger number than Float32 holds: {shown(value)}") from None


def instant(value: Any) -> int:
    """An instant as RFC 3339, or in whole seconds since 1970."""
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        try:
            return int(taken(datetime.fromisoformat(value), INSTANT))
        except (ValueError, OverflowError):
            raise ValueError(
                f"should be an instant such as 2024-01-31T00:00:00Z, not {shown(value)}"
            ) from None
    return whole_number(value, "bigint")


CHECKS: dict[str, Callable[[Any], Any]] = {
    INT32: lambda value: whole_number(value, "integer"),
    INT64: lambda value: whole_number(value, "bigint"),
    FLOAT32: single_number,
    FLOAT64: number,
    BOOL: lambda value: truth_value(value, ""),
    STRING: lambda value: text_of(value, ""),
    INSTANT: instant,
}
