-- Usable from: 1
-- The catalog of the lake: which version of each of its tables is the present one (streamflow/lake/catalog.py). These
-- are the tables that each SQL catalog of Apache Iceberg has; the files themselves are at STREAMFLOW_LAKE_URL.
CREATE TABLE IF NOT EXISTS ops.iceberg_tables (
    catalog_name varchar(255) NOT NULL,
    table_namespace varchar(255) NOT NULL,
    table_name varchar(255) NOT NULL,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS ops.iceberg_namespace_properties (
    catalog_name varchar(255) NOT NULL,
    namespace varchar(255) NOT NULL,
    property_key varchar(255) NOT NULL,
    property_value varchar(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);
COMMENT ON COLUMN ops.materializations.way IS
    'database: inside PostgreSQL; feast: as Feast''s messages, by its own engine or copied; lake: read from the lake by DuckDB.';
