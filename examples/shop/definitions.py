"""The features of a shop in Feast's terms: customers by day, products by hour, a computed view.

The application fills the tables, which application.sql stands in for. After each change,
`streamflow apply --repo examples/shop --plan` says what it means for the database.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Array, Bool, Float32, Float64, Int64, Json, String, UnixTimestamp

from streamflow.feast import sql_feature_view

# A sku says which product it is within one shop only: the two join keys together are the key.
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
product = Entity(name="product", join_keys=["sku"], value_type=ValueType.STRING)

customer_daily = FeatureView(
    name="customer_daily",
    entities=[customer],
    source=PostgreSQLSource(
        name="customer_days",
        table="shop.customer_days",
        timestamp_field="day",
        created_timestamp_column="written_at",
    ),
    ttl=timedelta(days=2),  # a day, and another one for the application to be late
    description="Orders of a customer over the 7 days before the day.",
    schema=[
        Field(name="orders_7d", dtype=Int64, description="Orders, a count."),
        Field(name="spent_7d", dtype=Float64, description="Spent on them, in euros."),
        Field(
            name="recent_skus",
            dtype=Array(String),
            description="Products ordered in the last 24 hours, newest first.",
        ),
        Field(name="preferences", dtype=Json, description="What the customer has chosen."),
        Field(
            name="last_order_at",
            dtype=UnixTimestamp,
            description="Time of the last order; null before the first.",
        ),
    ],
)

product_hourly = FeatureView(
    name="product_hourly",
    entities=[shop, product],
    source=PostgreSQLSource(
        name="product_hours",
        table="shop.product_hours",
        timestamp_field="hour",
        created_timestamp_column="written_at",
    ),
    ttl=timedelta(hours=3),  # an older price is none in training, and by this tag in an answer
    tags={"ttl_policy": "null"},
    description="Price and stock of a product in a shop, at the hour.",
    schema=[
        Field(name="price", dtype=Float32, description="Price of a piece, in euros."),
        Field(name="stock", dtype=Int64, description="Pieces in stock, a count."),
        Field(
            name="offer_ends_at",
            dtype=UnixTimestamp,
            description="Time at which the price goes up again; null without an offer.",
        ),
    ],
)

# What only the caller knows: an order that is not placed yet.
order = RequestSource(
    name="order",
    schema=[Field(name="quantity", dtype=Int64), Field(name="asked_at", dtype=UnixTimestamp)],
)
order_computed = sql_feature_view(
    name="order_computed",
    sources=[customer_daily, product_hourly, order],
    description="An order beside what the customer has ordered before.",
    schema=[
        Field(name="total", dtype=Float64, description="Price of the order, in euros."),
        Field(name="is_in_stock", dtype=Bool, description="True if there are enough pieces."),
        Field(
            name="hours_since_order",
            dtype=Float64,
            description="Time since the customer's last order, in hours; null for the first one.",
        ),
    ],
    expressions={
        "total": "price * quantity",
        "is_in_stock": "stock >= quantity",
        "hours_since_order": "EXTRACT(epoch FROM asked_at - last_order_at) / 3600",
    },
)

customer_v1 = FeatureService(
    name="customer_v1",
    features=[customer_daily],
    description="All features of a customer.",
)
product_v1 = FeatureService(
    name="product_v1",
    features=[product_hourly],
    description="All features of a product.",
)
return_v1 = FeatureService(
    name="return_v1",
    features=[
        customer_daily[["orders_7d", "spent_7d", "recent_skus", "preferences"]],
        product_hourly[["price", "offer_ends_at"]],
        order_computed,
    ],
    description="Features of the model that tells which orders will be returned.",
)
