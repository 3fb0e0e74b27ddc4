"""A project as an audit asks it: its definitions, the sources of its views, what is online."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from psycopg import Connection

from jobs.audit.scope import Scope
from jobs.audit.views import AuditedView
from streamflow.catalog.contract import Contract

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from jobs.audit.served import Served
    from streamflow.engine.source import Source


class Sources(Protocol):
    """The sources of a project's views, in one state of the data."""

    @property
    def connection(self) -> Connection[Any] | None:
        """A connection to their database; None where PostgreSQL does not have them."""

    def source_of(self, view: AuditedView) -> "Source | None":
        """The source of a view as SQL; None where PostgreSQL alone cannot read it."""

    def history(self, view: AuditedView, entities: "str | pd.DataFrame") -> "pa.Table":
        """Entity rows with the view's features as a training set has them.

        Args:
            entities: a query; a frame where PostgreSQL does not have the sources.
        """


class Project(Protocol):
    """A project under audit."""

    @property
    def name(self) -> str:
        """The project's."""

    @property
    def contract(self) -> Contract:
        """The contract of the service."""

    @property
    def scope(self) -> Scope:
        """The part of the contract that is compared."""

    @property
    def older(self) -> Scope:
        """The features that are answered by contracts of before alone."""

    def reading(self) -> AbstractContextManager[Sources]:
        """Opens the sources."""

    def served(self, asked: Contract, rows: Sequence[dict[str, Any]]) -> "list[Served]":
        """The online values of rows, without the API."""
