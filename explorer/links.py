"""The addresses of pages: each tells all that its page shows, so that it can be shared."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote, urlencode

from explorer import words

HOME = "/"
FEATURES = "/features"
USERS = "/users"
RUNS = "/runs"


def path(*parts: str) -> str:
    """A path of parts that may have any character."""
    return "/" + "/".join(quote(one, safe="") for one in parts)


def query(address: str, **given: object) -> str:
    """An address with those parameters that have a value."""
    named = {key: value for key, value in given.items() if value not in (None, "", ())}
    return f"{address}?{urlencode(named, doseq=True)}" if named else address


def view(name: str) -> str:
    """The page of a feature view."""
    return path("views", name)


def service(name: str) -> str:
    """The page of a feature service."""
    return path("services", name)


def feature(
    view: str, name: str, month: datetime | None = None, against: datetime | None = None
) -> str:
    """The page of a feature, of a month beside another; of the newest one where none is named."""
    return query(
        path("features", view, name),
        month=words.parameter(month) if month else None,
        against=words.parameter(against) if against else None,
    )


def features(search: str) -> str:
    """The page of all features that a search finds."""
    return query(FEATURES, q=search)


def run(number: int) -> str:
    """The page of a run."""
    return path("runs", str(number))


def runs(
    command: str = "", outcome: str = "", before: int | None = None, limit: int | None = None
) -> str:
    """The page of the ledger, with filters."""
    return query(RUNS, command=command, outcome=outcome, before=before, limit=limit)


def user(key: Sequence[str], by: str = "") -> str:
    """The page of a user, or of another key."""
    return query(USERS, by=by, id=tuple(key))
