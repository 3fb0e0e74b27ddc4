"""The objects that read features hold one another from top to bottom, without a ring."""

import types
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from api.reading.features import Features
from api.settings import ApiSettings


def held_by(thing: Any) -> Iterator[Any]:
    """The objects of this package that an object holds: itself, in containers or by methods."""
    if isinstance(thing, types.MethodType):
        yield thing.__self__
    elif isinstance(thing, partial):
        yield from held_by(thing.func)
    elif isinstance(thing, list | tuple | set | frozenset):
        for one in thing:
            yield from held_by(one)
    elif isinstance(thing, dict):
        for one in thing.values():
            yield from held_by(one)
    elif type(thing).__module__.startswith("api."):
        yield thing


def fields_of(thing: Any) -> dict[str, Any]:
    return {**getattr(thing, "__dict__", {})}


@pytest.mark.parametrize("read_host", ["", "replica"])
def test_no_object_is_held_by_one_that_it_holds(
    monkeypatch: pytest.MonkeyPatch, read_host: str
) -> None:
    monkeypatch.setenv("PGHOST", "nowhere")
    open_, seen, path = set[int](), set[int](), list[str]()

    def walk(thing: Any) -> None:
        path.append(type(thing).__name__)
        assert id(thing) not in open_, " holds ".join(path)
        if id(thing) not in seen:
            open_.add(id(thing))
            for value in fields_of(thing).values():
                for below in held_by(value):
                    walk(below)
            open_.discard(id(thing))
            seen.add(id(thing))
        path.pop()

    features = Features(ApiSettings(read_host=read_host))
    walk(features)
    assert len(seen) > 12


def test_the_state_holds_nobody() -> None:
    features = Features(ApiSettings())
    assert [below for value in fields_of(features.state).values() for below in held_by(value)] == []
