"""The files of a month, their tables, and each column's type, meaning and allowed values.

A column is declared here and nowhere else. To serve it as a feature, name it in a view of
definitions.py; see "Add a feature" in the README.
"""

from streamflow.snapshots import (
    Snapshot,
    Snapshots,
    choice,
    day,
    exact_number,
    number,
    truth,
    whole_number,
)

users = Snapshot(
    file="users",
    table="users",
    meaning="Users, keyed by user_id: the newest month's row of each",
    newest_only=True,
    key="The user, 1 to 128 characters.",
    time="The month this row comes from; an older month never replaces it.",
    columns={
        "signup_date": day("Day of the first sign-up, a calendar date in UTC."),
        "user_gender": choice("Female", "Male", meaning="Gender the user gave: Female or Male."),
        "user_is_senior": truth("Whether the user is 65 or older."),
        "has_family": truth("Whether the account is shared with a partner."),
        "has_dependents": truth("Whether children or other dependents live with the user."),
    },
)

subscriptions = Snapshot(
    file="subscriptions",
    table="subscriptions_profile_snapshots",
    meaning="Subscription profile",
    columns={
        "months_active": whole_number(
            0, 1_200, "Full months since the subscription began, in months."
        ),
        "plan_stream_tv": truth(
            "Whether the plan includes TV streaming; null when unknown.", nullable=True
        ),
        "plan_stream_movies": truth(
            "Whether the plan includes movie streaming; null when unknown.", nullable=True
        ),
        "contract_type": choice(
            *("Month-to-month", "One year", "Two year"),
            meaning="Contract term: Month-to-month, One year or Two year.",
        ),
        "paperless_billing": truth("Whether bills are sent electronically."),
        "monthly_fee": number(0, 1_000, "Fee of the current plan, in US dollars per month."),
        "total_paid": exact_number(
            0, 1_000_000, "Paid since the subscription began, in US dollars."
        ),
        "net_service": choice(
            *("DSL", "Fiber optic", "No"),
            meaning="Internet access of the household: DSL, Fiber optic or No.",
        ),
    },
)

usage_agg_30d = Snapshot(
    file="usage_agg_30d",
    table="usage_agg_30d_snapshots",
    meaning="Usage over the 30 days before as_of",
    columns={
        "watch_hours_30d": number(0, 720, "Time watched in the last 30 days, in hours."),
        "avg_session_mins_7d": number(
            0, 10_080, "Mean length of a viewing session in the last 7 days, in minutes."
        ),
        "unique_devices_30d": whole_number(
            0, 1_000, "Distinct devices used in the last 30 days, a count."
        ),
        "skips_7d": whole_number(0, 1_000_000, "Titles skipped in the last 7 days, a count."),
        "rebuffer_events_7d": whole_number(
            0, 1_000_000, "Playback stalls in the last 7 days, a count."
        ),
    },
)

payments_agg_90d = Snapshot(
    file="payments_agg_90d",
    table="payments_agg_90d_snapshots",
    meaning="Payments over the 90 days before as_of",
    columns={
        "failed_payments_90d": whole_number(
            0, 1_000, "Payments that failed in the last 90 days, a count."
        ),
    },
)

support_agg_90d = Snapshot(
    file="support_agg_90d",
    table="support_agg_90d_snapshots",
    meaning="Support contacts over the 90 days before as_of",
    columns={
        "support_tickets_90d": whole_number(
            0, 10_000, "Support tickets opened in the last 90 days, a count."
        ),
        "ticket_avg_resolution_hrs_90d": number(
            0, 8_760, "Mean time to resolve those tickets, in hours."
        ),
    },
)

labels = Snapshot(
    file="labels",
    table="labels_snapshots",
    meaning="Labels",
    time="The instant the label belongs to, UTC.",
    columns={"churn_label": truth("Whether the user left in the month after as_of.")},
)

SNAPSHOTS = Snapshots(
    users=users,
    features=(subscriptions, usage_agg_30d, payments_agg_90d, support_agg_90d),
    labels=labels,
)
