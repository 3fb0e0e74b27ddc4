"""The definitions, the schema and the design say the same."""

import psycopg
import pytest

from streamflow.errors import UnknownName
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store

COLUMN_TYPES = {
    "Int64": "bigint",
    "Float32": "real",
    "Bool": "boolean",
    "String": "text",
}

CHURN_V1 = [
    ("subs_profile_fv", "months_active", "Int64"),
    ("subs_profile_fv", "monthly_fee", "Float32"),
    ("subs_profile_fv", "paperless_billing", "Bool"),
    ("subs_profile_fv", "plan_stream_tv", "Bool"),
    ("subs_profile_fv", "plan_stream_movies", "Bool"),
    ("subs_profile_fv", "net_service", "String"),
    ("usage_agg_30d_fv", "watch_hours_30d", "Float32"),
    ("usage_agg_30d_fv", "avg_session_mins_7d", "Float32"),
    ("usage_agg_30d_fv", "unique_devices_30d", "Int64"),
    ("usage_agg_30d_fv", "skips_7d", "Int64"),
    ("usage_agg_30d_fv", "rebuffer_events_7d", "Int64"),
    ("payments_agg_90d_fv", "failed_payments_90d", "Int64"),
    ("support_agg_90d_fv", "support_tickets_90d", "Int64"),
    ("support_agg_90d_fv", "ticket_avg_resolution_hrs_90d", "Float32"),
]


def test_churn_v1_has_all_fourteen_features_in_order(database: str) -> None:
    with open_store() as store:
        contract = contract_of(store, "churn_v1")
    assert [(one.view, one.name, one.type) for one in contract.features] == CHURN_V1


def test_profile_v1_has_the_three_profile_features(database: str) -> None:
    with open_store() as store:
        contract = contract_of(store, "profile_v1")
    assert [one.name for one in contract.features] == [
        "months_active",
        "monthly_fee",
        "paperless_billing",
    ]


def test_every_feature_is_stored_in_its_type_and_described_as_its_column(database: str) -> None:
    with psycopg.connect() as connection:
        columns = {
            (table, name): (kind, comment)
            for table, name, kind, comment in connection.execute("""
                SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                       col_description(c.oid, a.attnum)
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                WHERE c.relnamespace = 'source'::regnamespace AND c.relkind = 'r'""")
        }
    with open_store() as store:
        for feature in contract_of(store, "churn_v1").features:
            query = store.get_feature_view(feature.view).batch_source.get_table_query_string()
            table = query.split("source.")[1].strip(" )\n")
            assert columns[table, feature.name] == (
                COLUMN_TYPES[feature.type],
                feature.description,
            )


def test_every_source_column_has_a_comment(database: str) -> None:
    with psycopg.connect() as connection:
        bare = connection.execute("""
            SELECT c.relname, a.attname FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'source'::regnamespace AND c.relkind = 'r'
              AND col_description(c.oid, a.attnum) IS NULL""").fetchall()
    assert bare == []


def test_snapshots_are_keyed_by_user_and_month(database: str) -> None:
    with psycopg.connect() as connection:
        keys = dict(
            connection.execute("""
                SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE contype = 'p' AND connamespace = 'source'::regnamespace""").fetchall()
        )
    assert keys.pop("source.users") == "PRIMARY KEY (user_id)"
    assert len(keys) == 5
    assert set(keys.values()) == {"PRIMARY KEY (user_id, as_of)"}


def test_equal_features_have_equal_contracts_and_others_do_not(database: str) -> None:
    with open_store() as store:
        churn, again = contract_of(store, "churn_v1"), contract_of(store, "churn_v1")
        profile = contract_of(store, "profile_v1")
    assert churn.hash == again.hash != profile.hash


def test_an_unknown_service_is_named_with_the_known_ones(database: str) -> None:
    with open_store() as store, pytest.raises(UnknownName) as refused:
        contract_of(store, "churn_v9")
    assert str(refused.value) == "unknown feature service 'churn_v9'; known: churn_v1, profile_v1"
