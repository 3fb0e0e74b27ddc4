"""Unusual views and a feature service, which the API has to serve all the same."""

from typing import Any

ODD_USERS = {
    "a/b": 1,
    "a/b/": 2,
    "Zoë 🎬": 3,
    """it's "quoted" \\ <&>""": 4,
    "%2F": 5,
    "x" * 128: 6,
    "'; DROP TABLE users; --": 7,
    "with\nnewline": 8,
    "a?b#c": 9,
    "nothing": None,
}
"""Users that only `odd_fv` has, with its feature `n`."""


def odd_objects() -> list[Any]:
    """Unusual views and a feature service, which the API has to serve all the same."""
    from feast import Entity, FeatureService, FeatureView, Field, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
        PostgreSQLSource,
    )
    from feast.types import Float32, Int64

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)

    def view(name: str, columns: str, rows: str, fields: list[Field], **tags: str) -> FeatureView:
        source = PostgreSQLSource(
            name=f"{name}_source",
            query=f"SELECT user_id, as_of, now() AS loaded_at, {columns} FROM {rows}",
            timestamp_field="as_of",
            created_timestamp_column="loaded_at",
        )
        return FeatureView(name=name, entities=[user], schema=fields, source=source, tags=tags)

    profile = "source.subscriptions_profile_snapshots"
    today = "(SELECT user_id, now() - interval '1 day' AS as_of FROM source.users) AS rows"
    # A percent sign in a source's query would be taken for a placeholder on its way.
    literals = ", ".join(
        f"(convert_from('\\x{one.encode().hex()}', 'UTF8'), {'NULL' if n is None else n})"
        for one, n in ODD_USERS.items()
    )
    odd = f"(VALUES {literals}) AS u (user_id, n), (VALUES (timestamptz '2024-01-31')) AS t (as_of)"
    months, score = Field(name="months_active", dtype=Int64), Field(name="score", dtype=Float32)
    subs = view("subs_copy_fv", "months_active + 1000 AS months_active", profile, [months])
    return [
        user,
        subs,
        view("today_fv", "0.1::real AS score", today, [score], fresh_for_days="1.5"),
        view("yesterday_fv", "0.1::real AS score", today, [score], fresh_for_days="0.5"),
        view("odd_fv", "n::bigint AS n", odd, [Field(name="n", dtype=Int64)]),
        FeatureService(name="copies_v1", features=[subs]),
    ]
