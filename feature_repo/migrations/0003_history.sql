-- Usable from: 1
-- What a month's work reads does not grow with the months before it.

-- A month by its instant, and rows by when they were loaded: PostgreSQL skips from instant to
-- instant, of which there are few. 3 bytes a row, since equal instants are stored once.
CREATE INDEX IF NOT EXISTS subscriptions_profile_snapshots_times
    ON source.subscriptions_profile_snapshots (as_of, loaded_at);
CREATE INDEX IF NOT EXISTS usage_agg_30d_snapshots_times
    ON source.usage_agg_30d_snapshots (as_of, loaded_at);
CREATE INDEX IF NOT EXISTS payments_agg_90d_snapshots_times
    ON source.payments_agg_90d_snapshots (as_of, loaded_at);
CREATE INDEX IF NOT EXISTS support_agg_90d_snapshots_times
    ON source.support_agg_90d_snapshots (as_of, loaded_at);
CREATE INDEX IF NOT EXISTS labels_snapshots_times ON source.labels_snapshots (as_of);

-- How far a view was materialized, and what its last run says.
CREATE INDEX IF NOT EXISTS materializations_end
    ON ops.materializations (project, view, window_end);
CREATE INDEX IF NOT EXISTS materializations_last
    ON ops.materializations (project, view, materialization);

-- As in 0001, by going from view to view instead of through all rows.
CREATE OR REPLACE VIEW ops.status_of_views AS
WITH RECURSIVE views AS (
    (SELECT project, view FROM ops.materializations ORDER BY project, view LIMIT 1)
    UNION ALL
    SELECT following.project, following.view
    FROM views AS v, LATERAL (
        SELECT project, view FROM ops.materializations AS m
        WHERE (m.project, m.view) > (v.project, v.view) ORDER BY project, view LIMIT 1
    ) AS following
)
SELECT v.project, v.view,
       (SELECT max(window_end) FROM ops.materializations AS m
        WHERE m.project = v.project AND m.view = v.view) AS materialized_until,
       newest.newest_event
FROM views AS v, LATERAL (
    SELECT newest_event FROM ops.materializations AS m
    WHERE m.project = v.project AND m.view = v.view ORDER BY materialization DESC LIMIT 1
) AS newest;
