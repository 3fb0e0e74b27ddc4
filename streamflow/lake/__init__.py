"""Months of snapshots as Parquet at any URL, in Iceberg's form, and training sets from there."""

from importlib.util import find_spec

from streamflow.errors import ConfigurationError

if missing := [one for one in ("duckdb", "pyiceberg", "sqlalchemy") if find_spec(one) is None]:
    raise ConfigurationError(
        f"the lake needs {', '.join(missing)}, which is not installed:"
        " pip install 'streamflow[feast,lake]'"
    )
