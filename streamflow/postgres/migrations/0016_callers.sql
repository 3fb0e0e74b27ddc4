-- Usable from: 1
-- Who asks for which contract of a service, as the API's processes note it (api/telemetry/callers_noted.py).
CREATE TABLE IF NOT EXISTS ops.callers (
    project  text        NOT NULL,
    service  text        NOT NULL,
    contract text        NOT NULL,
    caller   text        NOT NULL CHECK (octet_length(caller) <= 63),
    requests bigint      NOT NULL CHECK (requests > 0),
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, service, contract, caller)
);
COMMENT ON COLUMN ops.callers.caller   IS 'The name of the API key that they came with; empty for none.';
COMMENT ON COLUMN ops.callers.requests IS 'Requests since the first, answered or refused.';
COMMENT ON COLUMN ops.callers.first_at IS 'When the first of them was noted, up to a minute after it came.';
COMMENT ON COLUMN ops.callers.last_at  IS 'When the last of them was noted.';

-- Adds to the counts; all lists have the same length. With the owner's rights, since the API's role may write no table:
-- it can count for contracts that there are or were, and for a thousand callers of each at most, and nothing else.
CREATE OR REPLACE FUNCTION ops.note_callers(of_project text, services text[], contracts text[], callers text[],
                                            counts bigint[])
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ops.callers AS c (project, service, contract, caller, requests)
    SELECT k.project, k.service, k.contract, n.caller, sum(n.requests)
    FROM unnest(services, contracts, callers, counts) AS n (service, contract, caller, requests)
    JOIN ops.contracts AS k ON k.project = of_project AND k.service = n.service AND k.contract = n.contract
    WHERE n.requests > 0
      AND (SELECT count(*) < 1000 OR bool_or(o.caller = n.caller) FROM ops.callers AS o
           WHERE o.project = k.project AND o.service = k.service AND o.contract = k.contract)
    GROUP BY 1, 2, 3, 4
    ORDER BY 1, 2, 3, 4  -- two processes that note at once take the rows in one order
    ON CONFLICT (project, service, contract, caller) DO UPDATE
    SET requests = c.requests + excluded.requests, last_at = now()
$$;
REVOKE ALL ON FUNCTION ops.note_callers FROM PUBLIC;

-- As roles.sql says it, also until `streamflow db roles` runs again: who reads the metrics' views is the API, and who
-- reads the catalogs may know who asks.
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.status_of_commands'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.note_callers TO %s', who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.catalogs'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.callers TO %s', who);
    END LOOP;
END $$;
