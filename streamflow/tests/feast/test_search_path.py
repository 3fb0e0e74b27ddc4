"""Tests that `db_schema` is read alike wherever a table's name has no schema."""

import os

import psycopg
import pytest
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.utils.postgres.connection_utils import _get_conn
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from psycopg import sql

from streamflow.errors import ConfigurationError
from streamflow.feast.connection import search_path
from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
from streamflow.tests.feast.whole_projects import materialize, team
from streamflow.tests.offline.projects import T0, USER, asked, values, view_of

pytestmark = pytest.mark.usefixtures("feast_database")
SOURCE = PostgreSQLSource(
    name="v_source", table="v", timestamp_field="at", created_timestamp_column="created"
)


def path_of(db_schema: str) -> str:
    return search_path(StreamflowOfflineStoreConfig(db_schema=db_schema, user="Ann"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("source", "source,public"),
        ("public", "public"),
        ("Mixed", '"Mixed",public'),
        ('"Mixed"', '"Mixed",public'),
        ("a,B , c", 'a,"B",c,public'),
        ("a, public, b", "a,public,b"),
        ('"a, ""b""",c', '"a, ""b""",c,public'),
        ("it's me", '"it\'s me",public'),
        ("1st", '"1st",public'),
        (" , a,, ", "a,public"),
        ("", '"Ann",public'),
        (" ", '"Ann",public'),
        ("$user", '"$user",public'),
    ],
)
def test_names_are_read_as_they_are_written(given: str, read: str) -> None:
    assert path_of(given) == read
    assert path_of(path_of(given)) == read


@pytest.mark.parametrize("given", ['"a', 'a"b', '"a"b', 'a,"', '""'])
def test_what_is_no_list_of_names_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="db_schema"):
        StreamflowOfflineStoreConfig(db_schema=given)


def test_stock_feast_s_own_store_is_read_as_stock_feast_reads_it() -> None:
    stock = PostgreSQLConfig(host="h", database="d", user="Ann", password="", db_schema="Mixed")
    assert search_path(stock) == "Mixed,public"
    stock.db_schema = ""
    assert search_path(stock) == "Ann,public"


SCHEMAS = ["Mixed", "mixed", "two words", 'odd, "one"']


@pytest.fixture
def schemas(feast_database: str) -> None:
    """A table `v` in each of many schemas, whose one row says which: `note`."""
    with psycopg.connect() as connection:
        row = connection.execute("SELECT current_user::text").fetchone()
        assert row is not None
        for name in {*SCHEMAS, "public", row[0]}:
            where = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(where))
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {}.v AS SELECT 'a' AS user_id, {}::timestamptz AS at,"
                    " now() AS created, 1::bigint AS clicks, 1::real AS score, {} AS note"
                ).format(where, sql.Literal(T0), sql.Literal(name))
            )


@pytest.mark.parametrize(
    ("given", "schema"),
    [
        ("Mixed", "Mixed"),
        ("mixed", "mixed"),
        ('"Mixed"', "Mixed"),
        ("two words", "two words"),
        ('"odd, ""one"""', 'odd, "one"'),
        ("nowhere, Mixed, mixed", "Mixed"),
        ("nowhere", "public"),
        ("", None),
    ],
)
@pytest.mark.usefixtures("schemas")
def test_training_serving_and_checks_read_the_same_table(given: str, schema: str | None) -> None:
    """An empty db_schema is the user's own schema, as with stock Feast."""
    expected = schema or os.environ["PGUSER"]
    online = {"type": "streamflow.feast.StreamflowOnlineStore", "db_schema": given}
    with team(USER, view_of("v", source=SOURCE), online=online, db_schema=given) as store:
        trained = store.get_historical_features(asked(("a", T0)), ["v:note"])
        assert values(trained, "note") == [expected]
        job = store.get_historical_features(
            "SELECT user_id, now() AS event_timestamp FROM v", ["v:note"]
        )
        assert values(job, "note") == [expected]
        materialize(store, "v")
        assert store._get_provider().batch_engine.results["v"].way == "database"
        served = store.get_online_features(["v:note"], [{"user_id": "a"}]).to_dict()
        assert served["note"] == [expected]
        store._get_provider().validate_data_source(store.config, SOURCE)
        if " " not in expected:  # which stock Feast's own connection cannot hand over
            with _get_conn(store.config.offline_store) as connection:
                assert connection.execute("SELECT current_schema()").fetchone() == (expected,)
