"""Keys by which views are asked, read from the texts of an address."""

from collections.abc import Sequence
from dataclasses import dataclass

from explorer import words
from explorer.definitions import Definitions, ViewInfo
from explorer.queries.users import Key
from streamflow.catalog.layout import NO_KEY

LARGEST = {"bigint": 2**63, "integer": 2**31}
"""One more than the largest number of a type."""
TRUTHS = {"true": True, "false": False}


class NoKey(ValueError):
    """A text is no key of its type; its text says why."""


@dataclass(frozen=True)
class Entity:
    """Join keys by which views are asked together."""

    name: str
    """The keys with commas, as in an address."""
    keys: tuple[str, ...]
    types: tuple[str, ...]
    """PostgreSQL's type of each."""
    views: tuple[ViewInfo, ...]


def entities_of(defined: Definitions) -> list[Entity]:
    """The join keys that views are stored by, those of most views first; none without a key."""
    groups: dict[tuple[tuple[str, str], ...], list[ViewInfo]] = {}
    for view in defined.views.values():
        if view.stored is not None:
            keys = tuple((one.name, one.type) for one in view.stored.keys)
            if [name for name, _ in keys] != [NO_KEY]:
                groups.setdefault(keys, []).append(view)
    ordered = sorted(groups.items(), key=lambda one: (-len(one[1]), one[0]))
    return [
        Entity(
            ",".join(name for name, _ in keys),
            tuple(name for name, _ in keys),
            tuple(type_ for _, type_ in keys),
            tuple(several),
        )
        for keys, several in ordered
    ]


def key_of(entity: Entity, given: Sequence[str]) -> Key:
    """The texts of an address as values of the key's types.

    Raises:
        NoKey: one is none of its type, or there are too few or too many.
    """
    if len(given) != len(entity.keys):
        raise NoKey(f"A key of these views is {words.listed(list(entity.keys))}.")
    return tuple(
        value_of(name, type_, text)
        for name, type_, text in zip(entity.keys, entity.types, given, strict=True)
    )


def value_of(name: str, type_: str, text: str) -> object:
    """A text as a value of a type."""
    if type_ in LARGEST:
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
            raise NoKey(f"{name} is a whole number, and {words.shown(text)} is none.")
        value = int(text)
        if not -LARGEST[type_] <= value < LARGEST[type_]:
            raise NoKey(f"{name} is a whole number of type {type_}, which {text} is too large for.")
        return value
    if type_ == "boolean":
        if text.strip().lower() not in TRUTHS:
            raise NoKey(f"{name} is true or false, and {words.shown(text)} is neither.")
        return TRUTHS[text.strip().lower()]
    if "\0" in text:
        raise NoKey(f"No {name} has a NUL character, which PostgreSQL's texts cannot hold.")
    return text.encode() if type_ == "bytea" else text
