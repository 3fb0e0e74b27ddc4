-- Plays the application of the shop: its tables, and rows for the hours that have passed. Run again, it adds the hours
-- since then. A value depends on its keys and its hour alone, so that each run makes the same rows.
CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.customers (
    customer_id text PRIMARY KEY,
    preferences jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS shop.products (
    shop_id bigint,
    sku text,
    list_price numeric(8, 2) NOT NULL,
    PRIMARY KEY (shop_id, sku)
);
CREATE TABLE IF NOT EXISTS shop.orders (
    order_id bigint PRIMARY KEY,
    customer_id text NOT NULL REFERENCES shop.customers,
    shop_id bigint NOT NULL,
    sku text NOT NULL,
    quantity bigint NOT NULL,
    total numeric(8, 2) NOT NULL,
    ordered_at timestamptz NOT NULL,
    was_returned boolean NOT NULL,
    FOREIGN KEY (shop_id, sku) REFERENCES shop.products
);
CREATE TABLE IF NOT EXISTS shop.customer_days (
    customer_id text REFERENCES shop.customers,
    day timestamptz,
    orders_7d bigint NOT NULL,
    spent_7d numeric(10, 2) NOT NULL,
    recent_skus text[] NOT NULL,
    preferences jsonb NOT NULL,
    last_order_at timestamptz,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, day)
);
CREATE TABLE IF NOT EXISTS shop.product_hours (
    shop_id bigint,
    sku text,
    hour timestamptz,
    price real NOT NULL,
    stock bigint NOT NULL,
    offer_ends_at timestamptz,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shop_id, sku, hour),
    FOREIGN KEY (shop_id, sku) REFERENCES shop.products
);

-- Dora has not ordered anything yet.
INSERT INTO shop.customers VALUES
    ('anna', '{"language": "de", "newsletter": true}'),
    ('bert', '{"language": "en", "newsletter": false}'),
    ('carla', '{"language": "es", "gift": {"wrap": "red"}}'),
    ('dora', '{}')
ON CONFLICT DO NOTHING;
INSERT INTO shop.products VALUES (1, 'cup', 4.50), (1, 'tea', 7.25), (2, 'cup', 4.80), (2, 'pot', 29.90)
ON CONFLICT DO NOTHING;

-- An order every hour of the last 14 days, numbered by the hours since 1970.
INSERT INTO shop.orders
SELECT number, customer_id, shop_id, sku, quantity, quantity * list_price,
       to_timestamp(number * 3600) + interval '20 minutes', number % 17 % 5 = 0
FROM (
    SELECT number, (ARRAY['anna', 'bert', 'carla'])[number * number % 11 % 3 + 1] AS customer_id,
           number % 13 % 4 AS product, number % 7 % 3 + 1 AS quantity
    FROM generate_series(floor(extract(epoch FROM now()) / 3600)::bigint - 14 * 24,
                         floor(extract(epoch FROM now()) / 3600)::bigint - 1) AS number
) AS numbered
JOIN (SELECT *, row_number() OVER (ORDER BY shop_id, sku) - 1 AS product FROM shop.products) AS products
    USING (product)
ON CONFLICT DO NOTHING;

-- What was known of a customer when a day of the last 7 began (UTC), of the 7 days before it.
INSERT INTO shop.customer_days
SELECT customer_id, day, count(order_id), coalesce(sum(total), 0),
       coalesce(array_agg(sku ORDER BY ordered_at DESC) FILTER (WHERE ordered_at >= day - interval '24 hours'), '{}'),
       preferences, max(ordered_at)
FROM shop.customers
CROSS JOIN (SELECT date_trunc('day', now(), 'UTC') - n * interval '24 hours' AS day FROM generate_series(0, 6) AS n) AS days
LEFT JOIN shop.orders USING (customer_id)
WHERE order_id IS NULL OR (ordered_at < day AND ordered_at >= day - interval '7 days')
GROUP BY customer_id, day
ON CONFLICT DO NOTHING;

-- Price and stock of a product at each hour of the last 7 days. Every other day, it has an offer until midnight (UTC).
INSERT INTO shop.product_hours
SELECT shop_id, sku, hour, list_price * CASE WHEN is_offered THEN 0.8 ELSE 1 END, (number + shop_id) % 24,
       CASE WHEN is_offered THEN date_trunc('day', hour, 'UTC') + interval '24 hours' END
FROM shop.products
CROSS JOIN LATERAL (
    SELECT number, to_timestamp(number * 3600) AS hour, (number / 24 + shop_id) % 2 = 0 AS is_offered
    FROM generate_series(floor(extract(epoch FROM now()) / 3600)::bigint - 7 * 24,
                         floor(extract(epoch FROM now()) / 3600)::bigint) AS number
) AS hours
ON CONFLICT DO NOTHING;

-- Four weeks are kept.
DELETE FROM shop.orders WHERE ordered_at < now() - interval '28 days';
DELETE FROM shop.customer_days WHERE day < now() - interval '28 days';
DELETE FROM shop.product_hours WHERE hour < now() - interval '28 days';

-- The store reads the tables, in a cluster by roles of its own. PUBLIC is whoever may connect to this database; an
-- application grants it to the owner, the writer, the trainer and the viewer of the
-- store instead.
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC;
