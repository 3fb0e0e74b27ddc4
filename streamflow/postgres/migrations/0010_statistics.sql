-- Usable from: 1
-- Statistics of each column of the monthly tables, written by the ingest in the transaction that stores the month
-- (jobs/statistics/). They outlive the rows of their month: later months are compared with it.

CREATE TABLE IF NOT EXISTS ops.statistics_months (
    table_name         text        NOT NULL,
    as_of              timestamptz NOT NULL,
    row_count          bigint      NOT NULL,
    entities           bigint      NOT NULL,
    before             timestamptz,
    new_entities       bigint,
    vanished_entities  bigint,
    computed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, as_of)
);
COMMENT ON COLUMN ops.statistics_months.entities IS 'A hash over the keys: months of equal hash and row_count have the same ones.';
COMMENT ON COLUMN ops.statistics_months.before IS 'The month that new_entities and vanished_entities are counted against; null for the first.';

-- The bins of a number, taken from the first month that had values of it, and kept so that months compare.
CREATE TABLE IF NOT EXISTS ops.statistics_edges (
    table_name   text               NOT NULL,
    column_name  text               NOT NULL,
    as_of        timestamptz        NOT NULL,
    edges        double precision[] NOT NULL,
    PRIMARY KEY (table_name, column_name)
);
COMMENT ON COLUMN ops.statistics_edges.as_of IS 'The month that the edges are taken from.';

CREATE TABLE IF NOT EXISTS ops.statistics (
    table_name      text        NOT NULL,
    as_of           timestamptz NOT NULL,
    column_name     text        NOT NULL,
    position        integer     NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('number', 'category', 'other')),
    null_count      bigint      NOT NULL,
    not_finite      bigint      NOT NULL,
    distinct_count  bigint,
    is_exact        boolean     NOT NULL,
    minimum         double precision,
    maximum         double precision,
    mean            double precision,
    deviation       double precision,
    quantiles       double precision[] NOT NULL,
    edges           double precision[] NOT NULL,
    bins            bigint[]           NOT NULL,
    categories      text[]             NOT NULL,
    category_counts bigint[]           NOT NULL,
    other_count     bigint             NOT NULL,
    PRIMARY KEY (table_name, as_of, column_name),
    FOREIGN KEY (table_name, as_of) REFERENCES ops.statistics_months ON DELETE CASCADE
);
COMMENT ON COLUMN ops.statistics.not_finite IS 'NaN, infinities and numbers beyond 1e150, which are in no bin.';
COMMENT ON COLUMN ops.statistics.is_exact IS 'False where distinct_count and quantiles are estimates from a sample.';
COMMENT ON COLUMN ops.statistics.deviation IS 'Standard deviation of a sample; null for fewer than two values.';
COMMENT ON COLUMN ops.statistics.quantiles IS 'At 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99; empty without any value.';
COMMENT ON COLUMN ops.statistics.bins IS 'Values below the first edge, from each edge to the next, and from the last one on.';
COMMENT ON COLUMN ops.statistics.categories IS 'The most frequent values of a text or truth; other_count counts the further ones.';

-- What in a month has changed past its threshold against the month before, by the last run that looked.
CREATE TABLE IF NOT EXISTS ops.drift (
    table_name  text             NOT NULL,
    as_of       timestamptz      NOT NULL,
    column_name text             NOT NULL,
    measure     text             NOT NULL,
    value       double precision NOT NULL,
    threshold   double precision NOT NULL,
    finding     text             NOT NULL,
    PRIMARY KEY (table_name, as_of, column_name, measure),
    FOREIGN KEY (table_name, as_of) REFERENCES ops.statistics_months ON DELETE CASCADE
);
COMMENT ON COLUMN ops.drift.column_name IS 'Empty where it is the rows of the whole table.';
COMMENT ON COLUMN ops.drift.finding IS 'The change in words.';

CREATE OR REPLACE VIEW ops.status_of_drift AS
SELECT table_name, newest.as_of, column_name, measure, value, threshold, finding
FROM (SELECT table_name, max(as_of) AS as_of FROM ops.statistics_months GROUP BY 1) AS newest
LEFT JOIN ops.drift USING (table_name, as_of);
COMMENT ON VIEW ops.status_of_drift IS 'The newest month of each table: a row for each change, or one of nulls.';

-- As roles.sql says it, also until `streamflow db roles` runs again: who records materializations ingests, too.
DO $$
DECLARE
    who regrole;
    may text;
BEGIN
    FOR who, may IN SELECT grantee, privilege_type FROM pg_class, aclexplode(relacl)
                    WHERE oid = 'ops.materializations'::regclass AND privilege_type IN ('SELECT', 'INSERT')
                      AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT %s ON ops.statistics_months, ops.statistics_edges, ops.statistics TO %s',
                       CASE may WHEN 'INSERT' THEN 'INSERT, UPDATE' ELSE may END, who);
        EXECUTE format('GRANT %s ON ops.drift TO %s',
                       CASE may WHEN 'INSERT' THEN 'INSERT, DELETE' ELSE may END, who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
                WHERE oid = 'ops.status_of_views'::regclass AND privilege_type = 'SELECT'
                  AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.status_of_drift TO %s', who);
    END LOOP;
END $$;
