"""The definitions of feature_repo written out in Feast's own terms, without a declaration.

A test shows that they are the same; others edit a copy of this file, e.g. to a field that its
query forgets, which cannot be written by snapshots.py.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, Project, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Bool, Float32, Int64, String

streamflow = Project(name="streamflow", description="Churn features of StreamFlow's users")

user = Entity(
    name="user",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    description="A subscriber of StreamFlow.",
)

# A row describes the instant `as_of`; `loaded_at` says when it was written or corrected.
# `ttl` 0 is Feast's "no limit": the newest row at or before an instant is its value, in
# training as in serving. `fresh_for_days` is when the API begins to call a value stale:
# one month, plus a week for it to arrive.
ALWAYS = timedelta(0)
MONTHLY = {"fresh_for_days": "38"}

subs_profile_source = PostgreSQLSource(
    name="subs_profile_source",
    query="""
        SELECT user_id, as_of, loaded_at, months_active, monthly_fee, paperless_billing,
               plan_stream_tv, plan_stream_movies, net_service
        FROM source.subscriptions_profile_snapshots""",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
    description="Subscription profile, one row per user and month.",
)

usage_agg_30d_source = PostgreSQLSource(
    name="usage_agg_30d_source",
    query="""
        SELECT user_id, as_of, loaded_at, watch_hours_30d, avg_session_mins_7d,
               unique_devices_30d, skips_7d, rebuffer_events_7d
        FROM source.usage_agg_30d_snapshots""",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
    description="Usage over the 30 days before as_of, one row per user and month.",
)

payments_agg_90d_source = PostgreSQLSource(
    name="payments_agg_90d_source",
    query="""
        SELECT user_id, as_of, loaded_at, failed_payments_90d
        FROM source.payments_agg_90d_snapshots""",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
    description="Payments over the 90 days before as_of, one row per user and month.",
)

support_agg_90d_source = PostgreSQLSource(
    name="support_agg_90d_source",
    query="""
        SELECT user_id, as_of, loaded_at, support_tickets_90d, ticket_avg_resolution_hrs_90d
        FROM source.support_agg_90d_snapshots""",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
    description="Support contacts over the 90 days before as_of, one row per user and month.",
)

subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=subs_profile_source,
    description="Subscription profile at the month's end.",
    schema=[
        Field(
            name="months_active",
            dtype=Int64,
            description="Full months since the subscription began, in months.",
        ),
        Field(
            name="monthly_fee",
            dtype=Float32,
            description="Fee of the current plan, in US dollars per month.",
        ),
        Field(
            name="paperless_billing",
            dtype=Bool,
            description="Whether bills are sent electronically.",
        ),
        Field(
            name="plan_stream_tv",
            dtype=Bool,
            description="Whether the plan includes TV streaming; null when unknown.",
        ),
        Field(
            name="plan_stream_movies",
            dtype=Bool,
            description="Whether the plan includes movie streaming; null when unknown.",
        ),
        Field(
            name="net_service",
            dtype=String,
            description="Internet access of the household: DSL, Fiber optic or No.",
        ),
    ],
)

usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=usage_agg_30d_source,
    description="Usage over the last 30 and 7 days.",
    schema=[
        Field(
            name="watch_hours_30d",
            dtype=Float32,
            description="Time watched in the last 30 days, in hours.",
        ),
        Field(
            name="avg_session_mins_7d",
            dtype=Float32,
            description="Mean length of a viewing session in the last 7 days, in minutes.",
        ),
        Field(
            name="unique_devices_30d",
            dtype=Int64,
            description="Distinct devices used in the last 30 days, a count.",
        ),
        Field(
            name="skips_7d",
            dtype=Int64,
            description="Titles skipped in the last 7 days, a count.",
        ),
        Field(
            name="rebuffer_events_7d",
            dtype=Int64,
            description="Playback stalls in the last 7 days, a count.",
        ),
    ],
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=payments_agg_90d_source,
    description="Payments over the last 90 days.",
    schema=[
        Field(
            name="failed_payments_90d",
            dtype=Int64,
            description="Payments that failed in the last 90 days, a count.",
        ),
    ],
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=support_agg_90d_source,
    description="Support contacts over the last 90 days.",
    schema=[
        Field(
            name="support_tickets_90d",
            dtype=Int64,
            description="Support tickets opened in the last 90 days, a count.",
        ),
        Field(
            name="ticket_avg_resolution_hrs_90d",
            dtype=Float32,
            description="Mean time to resolve those tickets, in hours.",
        ),
    ],
)

churn_v1 = FeatureService(
    name="churn_v1",
    description="All features of the churn model, version 1.",
    features=[subs_profile_fv, usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv],
)

profile_v1 = FeatureService(
    name="profile_v1",
    description="The three profile features that a first screen needs.",
    features=[subs_profile_fv[["months_active", "monthly_fee", "paperless_billing"]]],
)
