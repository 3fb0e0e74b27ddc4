"""Values of requests: the API takes the same from JSON as a training set does from a spine."""

from typing import Any

import pytest

from api.answer.request_values import CHECKS
from streamflow.expressions.values import given

VALUES: list[Any] = [
    *(0, 1, -1, 7, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, 10**400),
    *(0.0, 1.0, 2.5, 0.1, 1e39, 2.0**53, 2.0**60, float("inf")),
    *(True, False, "true", "false", "True", "1", "0", "2.5", "-3", "+3", "١", "", "a", "a\0b"),
    *("2024-01-31", "2024-01-31T00:00:00Z", "2024-01-31T09:00:00+09:00", "soon", [], {}),
]


@pytest.mark.parametrize("type_", CHECKS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_the_same_in_training_or_refused_by_both(type_: str, value: Any) -> None:
    assert taken(CHECKS[type_], value) == taken(lambda one: given(one, type_), value)


def taken(convert: Any, value: Any) -> Any:
    """The value with its type, or that it is refused."""
    try:
        found = convert(value)
    except ValueError:
        return "refused"
    return type(found), found
