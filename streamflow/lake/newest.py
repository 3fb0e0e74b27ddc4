"""The rows of a view that a materialization from the lake means, and the newest of each user.

The window and the late rows before it are asked for apart, so that DuckDB leaves out the months,
and the rows of months, that have none of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from streamflow.engine.plan import Window
from streamflow.engine.source import Counted
from streamflow.lake import session
from streamflow.lake.join import read
from streamflow.lake.session import name
from streamflow.lake.views import LakeView
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.snapshots import KEY, TIME


@dataclass(frozen=True)
class Meant:
    """The rows of a view that are meant, over one version of the lake."""

    view: LakeView
    relation: str
    """All rows of its table as a query of DuckDB."""
    window: Window
    passed: datetime | None
    """The last instant that a materialization has passed; None where there was none."""

    def count(self, database: duckdb.DuckDBPyConnection) -> tuple[Counted, bool]:
        """Counts the rows; True beside it where no user has two of them.

        Raises:
            StreamflowError: a file cannot be read, or the work needs more memory.
        """
        late = "false"
        if self.window.seen_at and self.passed and self.view.created:
            since, until = literal(self.window.seen_at), literal(self.passed)
            late = f"{self.created} > {since} AND {TIME} <= {until}"
        query = (
            f"SELECT count(*), count(*) FILTER (WHERE {late}), count(DISTINCT {TIME}),"
            f" (SELECT count(*) FROM ({self.relation}) WHERE {TIME} > {literal(self.window.limit)})"
            f" FROM ({self.rows([TIME, self.created])})"
        )
        with session.explained():
            ((read, come_late, instants, ahead),) = database.sql(query).fetchall()
        return Counted(read, come_late, ahead), instants < 2

    def newest(
        self, database: duckdb.DuckDBPyConnection, is_newest: bool
    ) -> Iterator[pa.RecordBatch]:
        """The newest row of each user: user, instant, time of loading, features.

        Args:
            is_newest: each row is, since no user has two.

        Raises:
            StreamflowError: a file cannot be read, or the work needs more memory.
        """
        features = [f"{one.taken} AS f{at}" for at, one in enumerate(self.view.features)]
        query = self.rows([KEY, TIME, f"{self.created} AS created", *features])
        if not is_newest:
            # Not arg_max of whole rows: DuckDB could not move those to disk.
            times = self.rows([KEY, TIME])
            query = (
                f"SELECT s.* FROM ({query}) AS s JOIN (SELECT {KEY}, max({TIME}) AS {TIME}"
                f" FROM ({times}) GROUP BY {KEY}) AS m USING ({KEY}, {TIME})"
            )
        with session.explained():
            found: pa.RecordBatchReader = database.sql(query).to_arrow_reader(BATCH_ROWS)
        with closing(found):
            yield from read(found)

    @property
    def created(self) -> str:
        """The time of loading of a row, as DuckDB takes it."""
        return name(self.view.created) if self.view.created else "NULL::TIMESTAMPTZ"

    def rows(self, columns: Sequence[str]) -> str:
        """A query of columns of the rows that are meant, each row `s` once."""
        start, last = self.window.start, min(self.window.end, self.window.limit)
        query = f"SELECT {', '.join(columns)} FROM ({self.relation}) AS s WHERE "
        found = f"{query}{TIME} BETWEEN {literal(start)} AND {literal(last)}"
        if self.window.seen_at and self.view.created:
            since = literal(self.window.seen_at - self.window.lookback)
            before = f"{TIME} < {literal(start)} AND {TIME} <= {literal(last)}"
            found += f" UNION ALL {query}{before} AND {self.created} > {since}"
        return found


def literal(instant: datetime) -> str:
    """An instant as DuckDB has it."""
    return f"TIMESTAMPTZ '{instant.isoformat()}'"
