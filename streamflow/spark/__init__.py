"""Materializations from the lake on many machines: Spark finds the newest rows and stages them."""

from importlib.util import find_spec

from streamflow.errors import ConfigurationError

if find_spec("pyspark") is None:
    raise ConfigurationError(
        "batch_engine names Spark, which needs pyspark, which is not installed:"
        " pip install 'streamflow[feast,lake,spark]'"
    )
