-- Usable from: 1
-- The distribution of each feature's values as the last audit was served them, beside the month that they are of
-- (jobs/audit/distributions.py).
CREATE TABLE IF NOT EXISTS ops.served (
    project    text        NOT NULL,
    view       text        NOT NULL,
    feature    text        NOT NULL,
    run        bigint      NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT now(),
    as_of      timestamptz NOT NULL,
    summary    json        NOT NULL,
    findings   text[]      NOT NULL,
    PRIMARY KEY (project, view, feature)
);
COMMENT ON COLUMN ops.served.run IS 'The audit whose keys, which it takes at random, are counted.';
COMMENT ON COLUMN ops.served.as_of IS 'The month that the newest of the values are of, whose bins are used.';
COMMENT ON COLUMN ops.served.summary IS 'Fields as those of ops.statistics; categories by their number, the most first.';
COMMENT ON COLUMN ops.served.findings IS 'What is past its threshold against that month, in words.';

-- As roles.sql says it, also until `streamflow db roles` runs again: who records audits writes it, who reads those reads it.
DO $$
DECLARE
    who regrole;
    may text;
BEGIN
    FOR who, may IN SELECT grantee, privilege_type FROM pg_class, aclexplode(relacl)
                    WHERE oid = 'ops.skew'::regclass AND privilege_type IN ('SELECT', 'INSERT')
                      AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT %s ON ops.served TO %s',
                       CASE may WHEN 'INSERT' THEN 'INSERT, UPDATE, DELETE' ELSE may END, who);
    END LOOP;
END $$;
