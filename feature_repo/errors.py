"""Every error of StreamFlow. It knows nothing of HTTP or of exit codes.

StreamflowError
├── ConfigurationError      a variable, option or database is not set up as it must be
│   ├── NotAllowed          the role of PGUSER may not do this
│   ├── SchemaMissing       the database was never applied, or by another version
│   └── RemovalNotAllowed   applying would remove a view that a service still uses
├── InputRefused            a month has faults; nothing of it was stored
├── StaleFeatures           a row is older than its view's ttl, and the policy is to refuse it
├── StoreUnavailable        PostgreSQL does not answer, or stopped answering
├── UnknownName             a service, view or feature that the registry does not have
├── UnknownUser             no view has a value for this user
├── ValueRefused            a source has a value that its feature cannot have
└── VerificationFailed      a training set differs from what the database gives
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta


class StreamflowError(Exception):
    """Base of all errors that a person is meant to read."""


class ConfigurationError(StreamflowError):
    """A variable, option or database is not set up as it must be."""


class NotAllowed(ConfigurationError):
    """The role of PGUSER may not do this."""


class SchemaMissing(ConfigurationError):
    """The database was never applied, or by another version of the schema."""


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

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        column = f" {self.column}" if self.column else ""
        value = "" if self.value is None else f" = {shorten(self.value)}"
        return f"{place}{column}{value}: {self.rule}"


class InputRefused(StreamflowError):
    """A month has faults; nothing of it was stored."""

    def __init__(self, faults: Iterable[Fault], total: int) -> None:
        self.faults = tuple(faults)
        self.total = total
        noun = "fault" if total == 1 else "faults"
        super().__init__(f"{total} {noun}, nothing was stored")


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
        super().__init__(
            f"unknown {kind} {shorten(name)}; known: {', '.join(self.known) or 'none'}"
        )


class UnknownUser(StreamflowError):
    """No view has a value for this user."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        super().__init__(f"no features for user {shorten(user_id)}")


class ValueRefused(StreamflowError):
    """A source has a value that its feature cannot have; names view, column and value."""


class VerificationFailed(StreamflowError):
    """A training set differs from what the database gives."""


def shorten(value: str, limit: int = 80) -> str:
    """`value` quoted on one line, cut to `limit` characters, for a message."""
    quoted = repr(value)
    return quoted if len(quoted) <= limit else f"{quoted[: limit - 2]}…{quoted[-1]}"
