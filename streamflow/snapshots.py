"""Tables of monthly snapshots, declared once: file, table, and each column's type and meaning.

From a team's declaration (snapshots.py in its feature repository) come the tables with their
comments, the checks of ingest, generated months, Feast's fields and the query of each source, the
labels that a training set starts from, and the data dictionary.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType

from streamflow import team_code
from streamflow.errors import ConfigurationError

FILE = "snapshots.py"
NAME = "SNAPSHOTS"
KEY, TIME, LOADED = "user_id", "as_of", "loaded_at"
"""Columns of every table: whose row it is, which instant it describes, when it was written."""

INSTANT = "timestamp with time zone"


@dataclass(frozen=True)
class Column:
    """One column: its type in PostgreSQL, its meaning with its unit, and the values it may have."""

    type: str
    meaning: str
    low: int | None = None
    high: int | None = None
    """Of a number, both allowed."""
    values: tuple[str, ...] = ()
    """Of a text, all that are allowed."""
    nullable: bool = False
    """True where an empty field means that the value is unknown."""

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"no number is from {self.low} to {self.high}: {self.meaning}")


def whole_number(low: int, high: int, meaning: str) -> Column:
    """Digits only, from `low` to `high`."""
    return Column("bigint", meaning, low, high)


def number(low: int, high: int, meaning: str) -> Column:
    """A decimal number from `low` to `high`, as 32 bits."""
    return Column("real", meaning, low, high)


def exact_number(low: int, high: int, meaning: str) -> Column:
    """A decimal number from `low` to `high`, as 64 bits."""
    return Column("double precision", meaning, low, high)


def truth(meaning: str, nullable: bool = False) -> Column:
    """True or False."""
    return Column("boolean", meaning, nullable=nullable)


def choice(*values: str, meaning: str) -> Column:
    """Exactly one of `values`."""
    if not values:
        raise ValueError(f"a choice has no values: {meaning}")
    return Column("text", meaning, values=values)


def day(meaning: str) -> Column:
    """A calendar day, not after the one that the month describes."""
    return Column("date", meaning)


@dataclass(frozen=True)
class Snapshot:
    """One file of a month and the table, in schema `source`, that has its rows."""

    file: str
    """Its name without .csv."""
    table: str
    meaning: str
    """The subject of a row, as the beginning of a sentence."""
    columns: Mapping[str, Column]
    """Beside user_id; the order is that of the table."""
    key: str = "The user."
    """Meaning of user_id."""
    time: str = "The instant this row describes, UTC."
    """Meaning of as_of."""
    newest_only: bool = False
    """True for one row per user, which no older month replaces; else one per user and month."""

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns by which a row is known."""
        return (KEY,) if self.newest_only else (KEY, TIME)

    def every_column(self) -> dict[str, Column]:
        """All columns of the table in their order."""
        loaded = Column(INSTANT, "When this row was written or last corrected, UTC.")
        first = {KEY: Column("text", self.key), TIME: Column(INSTANT, self.time)}
        return {**first, **self.columns, LOADED: loaded}


@dataclass(frozen=True)
class Snapshots:
    """The files of a month, in the order in which they are loaded: users, features, labels."""

    users: Snapshot
    """Every user of the other files is in it."""
    features: tuple[Snapshot, ...]
    labels: Snapshot
    """Has every user of the first one, and one column beside the key."""
    files: tuple[Snapshot, ...] = field(init=False)
    """All of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", (self.users, *self.features, self.labels))

    @property
    def label(self) -> str:
        """The column of the labels."""
        (name,) = self.labels.columns
        return name


def load(repo: Path) -> Snapshots:
    """The snapshots that a feature repository declares.

    Raises:
        ConfigurationError: it declares none, or its snapshots.py does not load.
    """
    found = declared(repo)
    if found is None:
        raise ConfigurationError(
            f"{repo} has no {FILE}, which declares the files of a month and their tables"
        )
    return found


def declared(repo: Path) -> Snapshots | None:
    """The snapshots that a feature repository declares, None where it has no snapshots.py.

    Raises:
        ConfigurationError: its snapshots.py does not load within its bounds; says where.
    """
    path = repo / FILE
    if not path.exists():
        return None
    team_code.require_bounded(partial(executed, path), repo)
    try:
        found = getattr(executed(path), NAME)
    except (Exception, SystemExit) as error:
        said = team_code.where_it_failed(repo, error)
        raise ConfigurationError(f"{path} does not load: {said}") from error
    if not isinstance(found, Snapshots):
        raise ConfigurationError(f"{path}: {NAME} must be a Snapshots of streamflow.snapshots")
    return found


def executed(path: Path) -> ModuleType:
    """Runs a Python file, and gives its names."""
    spec = importlib.util.spec_from_file_location("snapshots", path)
    assert spec is not None  # noqa: S101  # the name ends in .py
    assert spec.loader is not None  # noqa: S101  # as every file's of Python
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
