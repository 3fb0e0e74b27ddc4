"""A process whose clock is ahead of the machine's, or behind it.

Its Python code sees another time; the database has a clock of its own.
"""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any, Self


def shift(seconds: int) -> None:
    """Sets the clock of all modules that are loaded, ours and Feast's, ahead by `seconds`."""
    ahead = timedelta(seconds=seconds)
    true_time, true_time_ns = time.time, time.time_ns

    class Meta(type(datetime)):  # type: ignore[misc]  # what is a datetime elsewhere is one here
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, datetime)

    class Shifted(datetime, metaclass=Meta):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return datetime.now(tz) + ahead  # type: ignore[return-value]

        @classmethod
        def utcnow(cls) -> Self:
            return datetime.utcnow() + ahead  # type: ignore[return-value]

    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + seconds * 10**9
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").partition(".")[0] in ("jobs", "streamflow", "feast"):
            replace(module, datetime, Shifted)


def replace(module: Any, before: type, after: type) -> None:
    """Replaces the class `before` by `after` under each name that a module has for it."""
    for name, value in list(vars(module).items()):
        if value is before:
            setattr(module, name, after)
