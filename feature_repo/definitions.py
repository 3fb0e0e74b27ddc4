"""StreamFlow's features in Feast's own terms: entity, sources, views and services.

Feast imports this file by its path (`feast apply`, `streamflow apply`); nothing else does. Types
and meanings of features are those of their columns in snapshots.py. To add a feature, see "Add a
feature" in the README.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Project, ValueType
from snapshots import payments_agg_90d, subscriptions, support_agg_90d, usage_agg_30d

from streamflow.feast.snapshots import fields, source

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

SUBS_PROFILE = (
    "months_active",
    "monthly_fee",
    "paperless_billing",
    "plan_stream_tv",
    "plan_stream_movies",
    "net_service",
)
subs_profile_source = source("subs_profile_source", subscriptions, SUBS_PROFILE)
subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=subs_profile_source,
    description="Subscription profile at the month's end.",
    schema=fields(subscriptions, SUBS_PROFILE),
)

USAGE_AGG_30D = (
    "watch_hours_30d",
    "avg_session_mins_7d",
    "unique_devices_30d",
    "skips_7d",
    "rebuffer_events_7d",
)
usage_agg_30d_source = source("usage_agg_30d_source", usage_agg_30d, USAGE_AGG_30D)
usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=usage_agg_30d_source,
    description="Usage over the last 30 and 7 days.",
    schema=fields(usage_agg_30d, USAGE_AGG_30D),
)

PAYMENTS_AGG_90D = ("failed_payments_90d",)
payments_agg_90d_source = source("payments_agg_90d_source", payments_agg_90d, PAYMENTS_AGG_90D)
payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=payments_agg_90d_source,
    description="Payments over the last 90 days.",
    schema=fields(payments_agg_90d, PAYMENTS_AGG_90D),
)

SUPPORT_AGG_90D = (
    "support_tickets_90d",
    "ticket_avg_resolution_hrs_90d",
)
support_agg_90d_source = source("support_agg_90d_source", support_agg_90d, SUPPORT_AGG_90D)
support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=ALWAYS,
    tags=MONTHLY,
    source=support_agg_90d_source,
    description="Support contacts over the last 90 days.",
    schema=fields(support_agg_90d, SUPPORT_AGG_90D),
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
