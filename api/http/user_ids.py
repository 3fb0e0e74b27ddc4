"""User ids in paths and bodies, as far as they can be checked without the join key's type."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

MIN_ID, MAX_ID = 1, 128


def without_nul(text: str) -> str:
    """`text` as it is; refuses a NUL character, which PostgreSQL cannot store."""
    if "\0" in text:
        raise PydanticCustomError("nul", "a NUL character cannot be in a user id")
    return text


def key_of(value: Any, as_text: Callable[[Any], str]) -> Any:
    """A number or truth value as it is, for a join key that is one; else `as_text` of it."""
    return value if type(value) in (int, float, bool) else as_text(value)


UserId = Annotated[str, Field(min_length=MIN_ID, max_length=MAX_ID), AfterValidator(without_nul)]
"""An id in a path."""
UserKey = Annotated[
    UserId,
    WrapValidator(key_of),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": MIN_ID, "maxLength": MAX_ID},
                {"type": "number"},
                {"type": "boolean"},
            ]
        }
    ),
]
"""An id in a body; answer/join_keys.py checks it by the join key's type."""
