-- Usable from: 1
-- Who asks for which contract of a service, as the API's processes note it (api/telemetry/caller_notes.py).
CREATE TABLE IF NOT EXISTS ops.callers (
    project  text        NOT NULL,
    service  text        NOT NULL,
    contract text        NOT NULL,
    caller   text        NOT NULL CHECK (octet_length(caller) <= 63),
    requests bigint      NOT NULL CHECK (requests > 0),
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (project, service, contract, caller)
);
COMMENT ON COLUMN ops.callers.caller   IS 'The name of the API key that they came with; empty for none.';
COMMENT ON COLUMN ops.callers.requests IS 'Requests for the contract, whatever they were answered.';
COMMENT ON COLUMN ops.callers.first_at IS 'When the last request came that the first note has.';
COMMENT ON COLUMN ops.callers.last_at  IS 'When the last request came.';

-- Adds to the counts, and gives how many requests it added; all lists have the same length, and `ages` has the seconds
-- since the last request. With the owner's rights, since the API's role may write no table: it can count for contracts
-- that there are or were, for a thousand callers of each, and nothing else. Who has not asked for 400 days is forgotten.
CREATE OR REPLACE FUNCTION ops.note_callers(of_project text, services text[], contracts text[], callers text[],
                                            counts bigint[], ages double precision[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added bigint;
BEGIN
    LOCK TABLE ops.callers IN SHARE ROW EXCLUSIVE MODE;  -- one note after the other, so that each sees all rows
    DELETE FROM ops.callers WHERE last_at < now() - interval '400 days';
    WITH asked AS (
        SELECT k.project, k.service, k.contract, n.caller, sum(least(n.requests, 1000000000)) AS requests,
               now() - interval '1 s' * least(greatest(min(n.age), 0), 1e9) AS last_at
        FROM unnest(services, contracts, callers, counts, ages) AS n (service, contract, caller, requests, age)
        JOIN ops.contracts AS k ON k.project = of_project AND k.service = n.service AND k.contract = n.contract
        WHERE n.requests > 0 AND n.age IS NOT NULL
        GROUP BY 1, 2, 3, 4
    ), numbered AS (
        SELECT a.*, row_number() OVER (PARTITION BY a.service, a.contract ORDER BY c.caller IS NULL, a.caller) AS place,
               count(c.caller) OVER (PARTITION BY a.service, a.contract) AS known, c.caller IS NULL AS is_new
        FROM asked AS a LEFT JOIN ops.callers AS c USING (project, service, contract, caller)
    ), noted AS (
        INSERT INTO ops.callers AS c (project, service, contract, caller, requests, first_at, last_at)
        SELECT project, service, contract, caller, requests, last_at, last_at FROM numbered AS n
        WHERE NOT is_new OR place - known + (SELECT count(*) FROM ops.callers AS o
                                             WHERE (o.project, o.service, o.contract) = (n.project, n.service, n.contract))
                            <= 1000
        ON CONFLICT (project, service, contract, caller) DO UPDATE
        SET requests = least(c.requests::numeric + excluded.requests, 9e18), last_at = greatest(c.last_at, excluded.last_at)
        RETURNING project, service, contract, caller
    )
    SELECT coalesce(sum(requests), 0) INTO added FROM noted JOIN asked USING (project, service, contract, caller);
    RETURN added;
END $$;
REVOKE ALL ON FUNCTION ops.note_callers FROM PUBLIC;

-- As roles.sql says it, also until `streamflow db roles` runs again: who reads the catalog and the metrics' views is the
-- API, and who reads the catalogs may know who asks.
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.status_of_commands'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner)
                 AND has_table_privilege(grantee, 'ops.catalog', 'SELECT') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.note_callers TO %s', who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.catalogs'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.callers TO %s', who);
    END LOOP;
END $$;
