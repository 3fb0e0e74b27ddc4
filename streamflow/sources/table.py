"""A data source in PostgreSQL in plain terms: what stands behind FROM, and its columns' names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamflow.sources.written_sql import subquery


@dataclass(frozen=True)
class SourceTable:
    """A table, or a query that reads, under the name that a data source has."""

    name: str
    """The data source's."""
    table: str
    """Empty for a query."""
    query: str
    timestamp_field: str
    created_field: str
    """Empty where it has none."""
    own_names: Mapping[str, str] = field(default_factory=dict)
    """The source's columns by the names that its field mapping gives them."""

    @property
    def relation(self) -> str:
        """The SQL that stands behind FROM: the table, or the query in parentheses.

        Raises:
            QueryRefused: the query is not one that reads.
        """
        if self.table or not self.query:
            return self.table or "()"
        return f"({subquery(self.query, f'the query of data source {self.name}')}\n)"

    def column(self, name: str) -> str:
        """The source's own name of a column that a view knows as `name`."""
        return self.own_names.get(name, name)
