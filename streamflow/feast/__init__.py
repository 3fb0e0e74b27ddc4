"""The edge to Feast, and the classes that a feature_store.yaml names.

They are `streamflow.feast.StreamflowOnlineStore`, `…OfflineStore`, `…Engine` and `…SparkEngine`;
Feast looks for the settings of each beside it, under its name and `Config`. Definitions use
`sql_feature_view`.
All are imported when they are asked for, since importing Feast takes a second or two.
"""

from importlib import import_module
from typing import Any

from streamflow.feast import type_checks

MODULES = {
    "StreamflowOnlineStore": "streamflow.feast.online.store",
    "StreamflowOfflineStore": "streamflow.feast.offline.store",
    "StreamflowEngine": "streamflow.feast.engine.engine",
    "StreamflowSparkEngine": "streamflow.feast.engine.spark",
    "sql_feature_view": "streamflow.feast.on_demand",
}


def __getattr__(name: str) -> Any:
    """Imports one of those, or the class of its settings."""
    module = MODULES.get(name.removesuffix("Config"))
    if module is None:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(import_module(module), name)


type_checks.defer_at_import()
