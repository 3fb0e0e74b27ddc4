"""A view is not read again while nobody wrote its tables, and whatever was written is found."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureStore
from feast.types import Int64, String

from streamflow.tests.engine.test_engine import (
    DAY,
    counts,
    db,
    go,
    priced,
    prices,
    served,
    shop,
    store,
    view,
)

__all__ = ["db", "priced", "store"]
ONLINE = 'online."streamflow:shop_id bigint"'
NOT_READ = "nothing written since the last run, not read"


def is_read(caplog: pytest.LogCaptureFixture, store: FeatureStore, *window: Any) -> bool:
    """Materializes; True if the view's rows were read."""
    caplog.clear()
    with caplog.at_level("INFO"):
        go(store, *window)
    return NOT_READ not in caplog.messages


def rows_left(db: psycopg.Connection, store: FeatureStore) -> int:
    """The rows that a run writes which reads everything, after one that may not have."""
    db.execute("UPDATE ops.materializations SET signature = NULL")
    return int(go(store).written)


@pytest.fixture
def counted(priced: FeatureStore, db: psycopg.Connection) -> FeatureStore:
    """The store with a source that counts its writes, materialized."""
    db.execute("ALTER TABLE source.prices ADD PRIMARY KEY (shop_id, ts), ADD cost bigint DEFAULT 7")
    db.execute("SELECT ops.count_writes('source.prices')")
    go(priced)
    return priced


def test_what_nobody_wrote_is_not_read_and_counted_as_before(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert not is_read(caplog, counted)
        assert counts(go(counted)) == (3, 0, 0, 2, 1)
    assert served(counted, 1, 2, 3) == [11, 20, None]


def test_a_view_without_rows_is_not_read_either(
    store: FeatureStore, db: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    prices(db)
    db.execute("SELECT ops.count_writes('source.prices')")
    store.apply([shop, view("prices", {"price": Int64})], partial=True)
    assert is_read(caplog, store)
    assert not is_read(caplog, store)
    assert counts(go(store)) == (0, 0, 0, 0, 0)


UNTOLD = "ALTER TABLE {0} DISABLE TRIGGER ALL; {1}; ALTER TABLE {0} ENABLE TRIGGER ALL"
LOSE = f"DELETE FROM {ONLINE}"
CORRECT = "UPDATE source.prices SET price = price + 1"
WRITTEN = {
    "a new row": "INSERT INTO source.prices VALUES (3, '2024-01-05Z', '2024-01-05Z', 30)",
    "a correction in place, by none of our commands": CORRECT,
    "a copy": "CREATE TEMP TABLE c AS SELECT shop_id + 8 AS shop_id, ts, at, price"
    " FROM source.prices; INSERT INTO source.prices TABLE c",
    "a merge": "MERGE INTO source.prices AS p USING (VALUES (1)) AS v (n) ON p.shop_id = v.n"
    " WHEN MATCHED THEN UPDATE SET price = 77",
    "a view that writes": "CREATE VIEW source.w AS TABLE source.prices;"
    " UPDATE source.w SET price = 5",
    "a table emptied": "TRUNCATE source.prices",
    "another table of the name": "ALTER TABLE source.prices RENAME TO o;"
    " CREATE TABLE source.prices AS SELECT shop_id, ts, at, price * 2 AS price FROM source.o",
    "columns that changed names": "ALTER TABLE source.prices RENAME price TO x;"
    " ALTER TABLE source.prices RENAME cost TO price; ALTER TABLE source.prices RENAME x TO cost",
    "a column of another type": "ALTER TABLE source.prices ALTER price TYPE int",
    "values by a change of the type": "ALTER TABLE source.prices"
    " ALTER price TYPE bigint USING price + 3",
    "where triggers are off": f"SET session_replication_role = replica; {CORRECT}",
    "without the trigger": UNTOLD.format("source.prices", CORRECT),
    "without the trigger for a while": f"{UNTOLD.format('source.prices', CORRECT)};"
    " ALTER TABLE source.prices ENABLE ALWAYS TRIGGER count_write",
    "online values lost": LOSE,
    "an online table emptied": f"TRUNCATE {ONLINE}",
    "an online value changed": f'UPDATE {ONLINE} SET "prices:price" = 1',
    "an online value lost where triggers are off": f"SET session_replication_role = replica;"
    f" {LOSE}",
    "an online value lost without the trigger": UNTOLD.format(ONLINE, LOSE),
    "a counter that is gone": f"DROP SEQUENCE source.writes_of_prices; {CORRECT}",
    "a trigger that is gone": f"DROP TRIGGER count_write ON source.prices; {CORRECT}",
    "a trigger made anew": "DROP TRIGGER count_write ON source.prices;"
    f" {CORRECT}; SELECT ops.count_writes('source.prices')",
    "a policy": "ALTER TABLE source.prices ENABLE ROW LEVEL SECURITY",
    "an error, after which all is as it was": "DO $$ BEGIN UPDATE source.prices SET price = 1;"
    " RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_whatever_was_written_is_found(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection, written: str
) -> None:
    with psycopg.connect(autocommit=True) as other:
        other.execute(written)
    assert is_read(caplog, counted)
    assert rows_left(db, counted) == 0


def test_a_table_with_children_is_always_read(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    db.execute("CREATE TABLE source.child () INHERITS (source.prices)")
    assert is_read(caplog, counted)
    db.execute("INSERT INTO source.child VALUES (1, '2024-01-09Z', '2024-01-09Z', 99)")
    assert is_read(caplog, counted)
    assert served(counted, 1) == [99]


@pytest.mark.parametrize("table", ["source.prices", ONLINE])
def test_a_table_whose_counting_was_broken_counts_again_when_asked(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection, table: str
) -> None:
    db.execute(UNTOLD.format(table, "SELECT 1"))
    assert is_read(caplog, counted)
    assert is_read(caplog, counted)
    db.execute("SELECT ops.count_writes(%s::regclass)", [table])
    assert is_read(caplog, counted)
    assert not is_read(caplog, counted)
    db.execute(CORRECT)
    assert is_read(caplog, counted)


def test_values_of_a_type_that_reads_differently_without_a_write_are_always_read(
    store: FeatureStore, db: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    db.execute("CREATE TYPE source.size AS ENUM ('small', 'large')")
    prices(db, (1, DAY[2], DAY[2], 10))
    db.execute("ALTER TABLE source.prices ADD COLUMN size source.size DEFAULT 'small'")
    db.execute("SELECT ops.count_writes('source.prices')")
    store.apply([shop, view("prices", {"size": String})], partial=True)
    go(store)
    db.execute("ALTER TYPE source.size RENAME VALUE 'small' TO 'little'")
    assert is_read(caplog, store)
    answer = store.get_online_features(["prices:size"], [{"shop_id": 1}]).to_dict()
    assert answer["size"] == ["little"]


def test_a_definition_that_changed_is_read(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    assert not is_read(caplog, counted)
    counted.apply([view("prices", {"price": Int64}, field_mapping={"cost": "price"})], partial=True)
    assert is_read(caplog, counted)
    assert served(counted, 1, 2) == [7, 7]


def test_a_push_is_found_and_the_source_wins_where_times_are_the_same(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"shop_id": [2], "ts": [DAY[2]], "at": [DAY[2]], "price": [21]}
    counted.write_to_online_store("prices", pd.DataFrame(row))
    assert served(counted, 2) == [21]
    assert is_read(caplog, counted)
    assert served(counted, 2) == [20]
    assert not is_read(caplog, counted)


def test_a_row_is_found_when_its_time_has_come(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    prices(db, (1, DAY[10], DAY[3], 12))
    early, late = (DAY[0], DAY[9]), (DAY[0], DAY[10])
    assert is_read(caplog, counted, *early)
    assert not is_read(caplog, counted, *early)
    assert not is_read(caplog, counted, DAY[0], DAY[10] - timedelta(microseconds=1))
    assert served(counted, 1) == [11]
    assert is_read(caplog, counted, *late)
    assert served(counted, 1) == [12]


def test_another_window_is_read(counted: FeatureStore, caplog: pytest.LogCaptureFixture) -> None:
    assert is_read(caplog, counted, DAY[1], DAY[-1])
    assert is_read(caplog, counted, DAY[1], DAY[5])
    assert is_read(caplog, counted)
    assert not is_read(caplog, counted)


def test_a_forced_run_reads(counted: FeatureStore, caplog: pytest.LogCaptureFixture) -> None:
    counted.config.online_store.force = True
    assert is_read(caplog, counted, DAY[0], DAY[2])
    assert served(counted, 1) == [10]
    counted.config.online_store.force = False
    assert is_read(caplog, counted)
    assert served(counted, 1) == [11]


def test_rows_that_are_too_far_ahead_are_counted_each_time(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    db.execute("INSERT INTO source.prices VALUES (1, now() + interval '9 years', now(), 13)")
    assert go(counted).ahead == 1
    assert not is_read(caplog, counted)
    assert go(counted).ahead == 1


def test_a_stored_value_that_is_too_far_ahead_is_told_each_time(
    counted: FeatureStore, db: psycopg.Connection
) -> None:
    db.execute(f"""UPDATE {ONLINE} SET "prices@event_ts" = '2999-01-01Z' WHERE shop_id = 1""")
    assert [go(counted).held for _ in range(3)] == [1, 1, 1]


def test_where_an_earlier_version_applied_all_is_read(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    db.execute("DROP FUNCTION ops.writes_of; ALTER TABLE ops.materializations DROP signature")
    for _ in range(2):
        assert is_read(caplog, counted)
        assert counts(go(counted)) == (3, 0, 0, 2, 1)


def test_where_a_server_hides_its_identity_all_is_read(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    db.execute(
        "CREATE FUNCTION ops.pg_control_system(OUT system_identifier bigint) LANGUAGE plpgsql"
        " AS 'BEGIN RAISE insufficient_privilege; END';"
        " ALTER FUNCTION ops.writes_of SET search_path = ops, pg_catalog, pg_temp"
    )
    for _ in range(2):
        assert is_read(caplog, counted)


@contextmanager
def writing(statement: str) -> Iterator[psycopg.Connection]:
    """A session whose transaction wrote and has not ended."""
    with psycopg.connect() as other:
        other.execute(statement)
        yield other


@pytest.mark.parametrize("statement", [CORRECT, LOSE], ids=["source", "online"])
def test_what_was_written_and_not_committed_is_found_afterwards(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection, statement: str
) -> None:
    with writing(statement) as other:
        for _ in range(2):
            assert is_read(caplog, counted)
        other.commit()
    assert is_read(caplog, counted)
    assert rows_left(db, counted) == 0


def test_what_was_written_and_undone_changes_nothing(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(CORRECT) as other:
        assert is_read(caplog, counted)
        other.rollback()
    is_read(caplog, counted)
    assert not is_read(caplog, counted)
    assert served(counted, 1, 2) == [11, 20]


def test_a_transaction_that_writes_after_the_run_began_is_found(
    counted: FeatureStore, caplog: pytest.LogCaptureFixture, db: psycopg.Connection
) -> None:
    with psycopg.connect() as other:
        other.execute("SELECT count(*) FROM source.prices")
        assert not is_read(caplog, counted)
        other.execute(CORRECT)
        other.commit()
    assert is_read(caplog, counted)
    assert rows_left(db, counted) == 0


@pytest.mark.slow
def test_writers_at_any_time_lose_nothing(counted: FeatureStore, db: psycopg.Connection) -> None:
    end = threading.Event()

    def write(number: int) -> None:
        with psycopg.connect() as own:
            at = 0
            while not end.wait(0.01 * number):
                at += 1
                own.execute(
                    "INSERT INTO source.prices VALUES (%s, '2024-01-05Z', now(), %s)"
                    " ON CONFLICT (shop_id, ts) DO UPDATE SET price = EXCLUDED.price",
                    [100 + number, at],
                )
                if at % 5 == 0:
                    own.execute(f"{LOSE} WHERE shop_id = %s", [100 + number])
                end.wait(0.005)
                own.commit() if at % 3 else own.rollback()

    writers = [threading.Thread(target=write, args=[number]) for number in range(1, 4)]
    for writer in writers:
        writer.start()
    for _ in range(25):
        go(counted)
    end.set()
    for writer in writers:
        writer.join()
    go(counted)
    assert rows_left(db, counted) == 0
