"""Feast's own type checks, each made ready when its function is called first.

Feast has typeguard rewrite its constructors and properties while it is imported. For each of some
two hundred functions typeguard parses the whole module again: two thirds of the time that the
import takes. A process calls a tenth of them.
"""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from importlib.abc import MetaPathFinder
from typing import Any

Function = Callable[..., Any]


def defer_at_import() -> None:
    """Has `defer` called when Feast is about to be imported; nothing if it is already."""
    if "feast" not in sys.modules:
        sys.meta_path.insert(0, BeforeFeast())


class BeforeFeast(MetaPathFinder):
    """Finds no module; it is asked for each, before those that do."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Call `defer` if the module is Feast."""
        if name == "feast":
            defer()


def defer() -> None:
    """Has the checks of Feast's functions made ready later; a second call changes nothing."""
    from typeguard import _decorators as typeguard

    rewritten = typeguard.instrument
    if rewritten.__module__ == __name__:
        return

    def deferred(function: Any) -> Any:
        """A function that rewrites `function` at its first call, in place of typeguard's own."""
        is_ours = function.__module__.startswith("feast.") and not is_told_by_its_kind(function)
        return checked_at_first_call(function, rewritten) if is_ours else rewritten(function)

    typeguard.instrument = deferred  # type: ignore[assignment]


def is_told_by_its_kind(function: Function) -> bool:
    """True for coroutines and generators, which whoever calls them tells from other functions."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_one(function) for is_one in kinds)


def checked_at_first_call(function: Function, rewritten: Callable[[Function], Any]) -> Function:
    """`function` as typeguard rewrites it, or as it is where typeguard says why it cannot be."""
    checked: Function | None = None

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal checked
        if checked is None:
            found = rewritten(function)
            checked = found if inspect.isfunction(found) else function
        return checked(*arguments, **named)

    return call
