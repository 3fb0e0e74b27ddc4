"""Every error of StreamFlow. It knows nothing of HTTP or of exit codes.

StreamflowError
├── ConfigurationError      a variable, option or database is not set up as it must be
│   ├── KeyMismatch         a key of the entity rows cannot be of the source's type
│   ├── NotAllowed          the role of PGUSER may not do this
│   ├── QueryRefused        an entity query is none, or PostgreSQL does not take it
│   ├── SchemaMissing       the database was never applied, or by another version
│   ├── SourceMismatch      a definition asks of its source what that does not have
│   ├── SchemaTooNew        the database is of a later version, which this one cannot use
│   └── RemovalNotAllowed   applying would remove a view that a service still uses
├── QueryFailed             PostgreSQL gave a query up, for a value that it met
├── InputRefused            a month has faults; nothing of it was stored
│   ├── DriftRefused        a month differs from the one before by more than its thresholds
│   └── SpineRefused        the rows to make a training set for are not fit for it; none was made
├── StaleFeatures           a row is older than its view's ttl, and the policy is to refuse it
├── StoreUnavailable        PostgreSQL does not answer, or stopped answering
├── UnknownName             a service, view or feature that the registry does not have
├── UnknownUser             no view has a value for this user
├── ValueRefused            a source has a value that its feature cannot have
└── VerificationFailed      a training set differs from what the database gives
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from streamflow.visible_text import difference, disguised, lookalike, quoted


class StreamflowError(Exception):
    """Base of all errors that a person is meant to read."""


class ConfigurationError(StreamflowError):
    """A variable, option or database is not set up as it must be."""


class NotAllowed(ConfigurationError):
    """The role of PGUSER may not do this."""


class SchemaMissing(ConfigurationError):
    """The database was never applied, or by another version of the schema."""


class KeyMismatch(ConfigurationError):
    """A key of the entity rows cannot be of the type that the source's has."""


class QueryRefused(ConfigurationError):
    """An entity query, or a source's, is none, or PostgreSQL does not take it."""


class SchemaTooNew(ConfigurationError):
    """The database is of a later version, whose schema this one cannot use."""


class SourceMismatch(ConfigurationError):
    """A definition asks of its source what that does not have."""

    def __init__(self, faults: Iterable[str], consequence: str = "") -> None:
        self.faults = tuple(faults)
        first, *rest = self.faults
        if rest:
            first, rest = (
                f"{len(self.faults)} faults between definitions and sources",
                [first, *rest],
            )
        said = f"{first}; {consequence}" if consequence else first
        super().__init__("\n  ".join([said, *rest]))


class RemovalNotAllowed(ConfigurationError):
    """Applying would remove a view that a service still uses."""


@dataclass(frozen=True)
class Fault:
    """One reason to refuse a month: where it stands and which rule it breaks."""

    file: str
    line: int | None
    """Line in the file as an editor counts, the header is 1; None for the whole file."""
    column: str | None
    value: str | None
    rule: str
    note: str = field(default="", compare=False)
    """The other text that it is easily taken for, which nobody could see otherwise."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        column = f" {quoted(self.column)}" if self.column else ""
        value = "" if self.value is None else f" = {shorten(self.value)}"
        odd = disguised(self.value or "")
        return "".join(
            [
                f"{place}{column}{value}",
                f" ({odd})" if odd else "",
                f": {self.rule}",
                f"; {self.note}" if self.note else "",
            ]
        )


class QueryFailed(StreamflowError):
    """PostgreSQL gave a query over sources or entity rows up, for a value that it met."""


class InputRefused(StreamflowError):
    """A month has faults; nothing of it was stored."""

    def __init__(self, faults: Iterable[Fault], total: int) -> None:
        self.faults = tuple(faults)
        self.total = total
        noun = "fault" if total == 1 else "faults"
        super().__init__(f"{total} {noun}, nothing was stored")


class DriftRefused(InputRefused):
    """A month differs from the one before by more than its thresholds; nothing was stored."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        self.total = len(self.faults)
        noun = "difference" if self.total == 1 else "differences"
        StreamflowError.__init__(
            self, f"the month has drifted: {self.total} {noun} past a threshold; nothing was stored"
        )


class SpineRefused(InputRefused):
    """The rows that a training set is to be made for are not fit for it; none was made."""

    def __init__(self, message: str) -> None:
        self.faults, self.total = (), 0
        StreamflowError.__init__(self, message)


class StaleFeatures(StreamflowError):
    """A row is older than its view's ttl, and the policy is to refuse it."""

    def __init__(self, view: str, age: timedelta, ttl: timedelta) -> None:
        self.view, self.age, self.ttl = view, age, ttl
        super().__init__(
            f"the values of {view} are {age} old, its ttl is {ttl}; run: streamflow materialize"
        )


class StoreUnavailable(StreamflowError):
    """PostgreSQL does not answer, or stopped answering."""


class UnknownName(StreamflowError):
    """A service, view or feature that the registry does not have."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        meant = lookalike(name, self.known)
        told = f"; {difference(name, meant)}" if meant else ""
        known_ones = ", ".join(self.known) or "none"
        super().__init__(f"unknown {kind} {shorten(name)}; known: {known_ones}{told}")


class UnknownUser(StreamflowError):
    """No view has a value for this user."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        super().__init__(f"no features for user {shorten(user_id)}")


class ValueRefused(StreamflowError):
    """A source has a value that its feature cannot have; names view, column and value."""


class VerificationFailed(StreamflowError):
    """A training set differs from what the database gives."""


def reason(error: BaseException) -> str:
    """An error that is none of ours, on one line: its class and the first line of its text."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def shorten(value: str, limit: int = 80) -> str:
    """`value` quoted on one line, cut to `limit` characters, for a message."""
    whole = repr(value)
    return whole if len(whole) <= limit else f"{whole[: limit - 2]}…{whole[-1]}"
