"""Users' ids as paths and bodies give them, before it is known what the join key is."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

MIN_ID, MAX_ID = 1, 128


def without_nul(text: str) -> str:
    """`text`, which PostgreSQL can store: it has no NUL character."""
    if "\0" in text:
        raise PydanticCustomError("nul", "a NUL character cannot be in a user id")
    return text


def key_of(value: Any, text: Callable[[Any], str]) -> Any:
    """A number or truth value as it is, for a join key that is one; anything else as `text`."""
    return value if type(value) in (int, float, bool) else text(value)


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
"""An id in a body; keys.py decides whether it can be one."""
