"""Views of expressions over the features of a month, for the tests of the API."""

from typing import Any

from feast import FeatureService, Field, RequestSource
from feast.types import Float32, Float64, Int32, String, UnixTimestamp

from streamflow.feast import sql_feature_view

QUOTE = RequestSource(
    name="quote",
    schema=[
        Field(name="quoted_fee", dtype=Float64),
        Field(name="at", dtype=UnixTimestamp),
        Field(name="seats", dtype=Int32),
        Field(name="plan", dtype=String),
    ],
)


def computed_objects(store: Any) -> list[Any]:
    """Computed views, with a request, without one and of one alone, and services that have them."""
    profile = store.get_feature_view("subs_profile_fv")
    fees = sql_feature_view(
        name="fees",
        sources=[profile],
        schema=[
            Field(name="fee_per_month", dtype=Float64, description="Fee by month, in US dollars."),
            Field(name="half", dtype=Float32),
        ],
        expressions={
            "fee_per_month": "monthly_fee / NULLIF(months_active, 0)",
            "half": "CAST(monthly_fee / 2 AS real)",
        },
    )
    quotes = sql_feature_view(
        name="quotes",
        sources=[profile, QUOTE],
        schema=[
            Field(name="above", dtype=Float64),
            Field(name="later", dtype=UnixTimestamp),
            Field(name="each", dtype=Float64),
        ],
        expressions={
            "above": "quoted_fee - monthly_fee",
            "later": "CASE WHEN plan = 'x' THEN at END",
            "each": "quoted_fee / seats",
        },
    )
    offers = sql_feature_view(
        name="offers",
        sources=[QUOTE],
        schema=[Field(name="per_seat", dtype=Float64)],
        expressions={"per_seat": "quoted_fee / seats"},
    )
    whole_quote = RequestSource(name="whole_quote", schema=[Field(name="seats", dtype=String)])
    named = sql_feature_view(
        name="named",
        sources=[profile, whole_quote],
        schema=[Field(name="size", dtype=Int32)],
        expressions={"size": "length(seats) + 0 * CAST(paperless_billing AS integer)"},
    )
    return [
        fees,
        quotes,
        named,
        offers,
        FeatureService(name="with_offers", features=[profile[["months_active"]], offers]),
        FeatureService(name="two_kinds", features=[quotes[["each"]], named]),
        FeatureService(name="with_fees", features=[profile[["months_active"]], fees]),
        FeatureService(name="fees_alone", features=[fees[["half"]]]),
        FeatureService(name="with_quotes", features=[fees, profile[["monthly_fee"]], quotes]),
        FeatureService(name="above_alone", features=[quotes[["above"]]]),
    ]
