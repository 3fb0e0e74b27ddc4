"""The intervals of a view in Feast's registry: all while they are few, their union for ever."""

from datetime import UTC, datetime, timedelta

import psycopg
from feast import FeatureStore
from feast.protos.feast.core.FeatureView_pb2 import FeatureViewMeta
from google.protobuf.timestamp_pb2 import Timestamp

from streamflow.registry.intervals import MOST_INTERVALS as MOST
from streamflow.registry.intervals import shorten_intervals as shorten
from streamflow.tests.engine.test_engine import DAY, db, go, priced, store

__all__ = ["db", "priced", "store"]
T0 = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def after(*windows: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the intervals that the registry keeps of these, in hours."""
    meta = FeatureViewMeta()
    for window in windows:
        start, end = Timestamp(), Timestamp()
        start.FromDatetime(T0 + window[0] * HOUR)
        end.FromDatetime(T0 + window[1] * HOUR)
        meta.materialization_intervals.add(start_time=start, end_time=end)
    shorten(meta.materialization_intervals)
    return [
        tuple(round((one.ToDatetime(UTC) - T0) / HOUR) for one in (two.start_time, two.end_time))
        for two in meta.materialization_intervals
    ]


def test_the_last_ones_stay_as_they_are() -> None:
    same = [(n % 7, n) for n in range(10, 10 + MOST)]
    assert after(*same) == same


def test_older_ones_are_merged_where_nothing_lies_between() -> None:
    recent = [(0, 1000 + n) for n in range(MOST)]
    older = [(5, 9), (1, 3), (3, 4), (20, 30), (22, 25), (9, 9), (40, 41)]
    assert after(*older, *recent) == [(1, 4), (5, 9), (20, 30), (40, 41), *recent]


def test_runs_of_years_leave_an_entry_that_no_longer_grows(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    db.execute(
        "INSERT INTO ops.materializations (project, view, window_start, window_end, seen_at, way,"
        " rows_read, rows_written, rows_late, rows_unchanged, rows_older)"
        " SELECT 'streamflow', 'prices', '2020-01-01Z', '2020-01-01Z'::timestamptz"
        " + n * interval '1 h', now(), 'database', 0, 0, 0, 0, 0 FROM generate_series(1, 300) AS n"
    )

    def intervals() -> list[tuple[datetime, datetime]]:
        priced.refresh_registry()
        return list(priced.get_feature_view("prices").materialization_intervals)

    go(priced)
    found = intervals()
    assert (len(found), found[-1]) == (MOST, (DAY[0], DAY[-1]))
    for days in range(2, 5):
        go(priced, DAY[0], DAY[days])
        found = intervals()
        assert (len(found), found[-1]) == (MOST + 1, (DAY[0], DAY[days]))
    assert found[0] == (datetime(2020, 1, 1, tzinfo=UTC), found[1][1] - HOUR)
    assert priced.get_feature_view("prices").most_recent_end_time == DAY[-1]
