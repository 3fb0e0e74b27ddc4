-- Usable from: 1, indexes only
-- What a month's work reads does not grow with the months before it. Nobody can ingest meanwhile.

-- A month by its instant, and rows by when they were loaded. Some 4 bytes a row each, since equal
-- instants are stored once. Two indexes and not one of both columns: rows lie in the order of either,
-- and of an index of one column PostgreSQL knows that.
CREATE INDEX IF NOT EXISTS subscriptions_profile_snapshots_as_of
    ON source.subscriptions_profile_snapshots (as_of);
CREATE INDEX IF NOT EXISTS subscriptions_profile_snapshots_loaded_at
    ON source.subscriptions_profile_snapshots (loaded_at);
CREATE INDEX IF NOT EXISTS usage_agg_30d_snapshots_as_of
    ON source.usage_agg_30d_snapshots (as_of);
CREATE INDEX IF NOT EXISTS usage_agg_30d_snapshots_loaded_at
    ON source.usage_agg_30d_snapshots (loaded_at);
CREATE INDEX IF NOT EXISTS payments_agg_90d_snapshots_as_of
    ON source.payments_agg_90d_snapshots (as_of);
CREATE INDEX IF NOT EXISTS payments_agg_90d_snapshots_loaded_at
    ON source.payments_agg_90d_snapshots (loaded_at);
CREATE INDEX IF NOT EXISTS support_agg_90d_snapshots_as_of
    ON source.support_agg_90d_snapshots (as_of);
CREATE INDEX IF NOT EXISTS support_agg_90d_snapshots_loaded_at
    ON source.support_agg_90d_snapshots (loaded_at);
CREATE INDEX IF NOT EXISTS labels_snapshots_as_of ON source.labels_snapshots (as_of);
