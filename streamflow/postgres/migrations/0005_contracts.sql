-- Usable from: 1
-- Contracts that services have had: the lists behind their hashes, by which older ones are answered.

CREATE TABLE IF NOT EXISTS ops.contracts (
    project       text        NOT NULL,
    service       text        NOT NULL,
    contract      text        NOT NULL CHECK (contract ~ '^[0-9a-f]{16}$'),
    features      json        NOT NULL,
    views         json        NOT NULL,
    since         timestamptz NOT NULL,
    superseded_at timestamptz,
    ends_at       timestamptz,
    ended_at      timestamptz,
    PRIMARY KEY (project, service, contract),
    CHECK (superseded_at IS NOT NULL OR ends_at IS NULL AND ended_at IS NULL)
);
COMMENT ON COLUMN ops.contracts.features      IS 'The features in order: view as in answers, name, type, source.';
COMMENT ON COLUMN ops.contracts.views         IS 'The views in order: alias in answers, name in the registry, names of join keys.';
COMMENT ON COLUMN ops.contracts.since         IS 'From when on it was the service''s present contract, the last time.';
COMMENT ON COLUMN ops.contracts.superseded_at IS 'From when on the service had another, or was gone; null for the present one.';
COMMENT ON COLUMN ops.contracts.ends_at       IS 'After which an apply ends it (STREAMFLOW_CONTRACT_RETENTION_DAYS); null for never.';
COMMENT ON COLUMN ops.contracts.ended_at      IS 'From when on it is not answered any more.';

-- Ends an older contract, and has the API look again; gives when it ended, null where there is no
-- such contract or it is the present one. With the owner's rights, since the writer may end one and
-- may change neither the list nor the catalog. The catalog is locked first, as by `apply`.
CREATE OR REPLACE FUNCTION ops.end_contract(of_project text, of_service text, of_contract text)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
BEGIN
    PERFORM FROM ops.catalog FOR UPDATE;
    UPDATE ops.contracts SET ended_at = now()
    WHERE project = of_project AND service = of_service AND contract = of_contract
      AND superseded_at IS NOT NULL AND ended_at IS NULL
    RETURNING ended_at INTO moment;
    IF FOUND THEN
        UPDATE ops.catalog SET version = version + 1;
        RETURN moment;
    END IF;
    RETURN (SELECT ended_at FROM ops.contracts
            WHERE project = of_project AND service = of_service AND contract = of_contract);
END $$;
REVOKE ALL ON FUNCTION ops.end_contract FROM PUBLIC;

-- Who had rights on the tables of before has those that the same work takes now, also until
-- `streamflow db roles` runs again; roles.sql says the same.
DO $$
DECLARE
    who regrole;
BEGIN
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.migrations'::regclass AND privilege_type = 'SELECT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT SELECT ON ops.contracts TO %s', who);
    END LOOP;
    FOR who IN SELECT grantee FROM pg_class, aclexplode(relacl)
               WHERE oid = 'ops.skew'::regclass AND privilege_type = 'INSERT'
                 AND grantee NOT IN (0, relowner) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION ops.end_contract TO %s', who);
    END LOOP;
END $$;
