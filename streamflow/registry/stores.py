"""The stores of a feature_store.yaml that names ours, in the database of the PG* variables.

They can be used without Feast's import. Of a file that says anything further, or something that
Feast may refuse, Feast itself has to make what it says.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from streamflow.catalog.model import TtlPolicy
from streamflow.errors import ConfigurationError
from streamflow.postgres.search_path import PLAIN, of_sources

PROJECT = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
PATH = "postgresql+streamflow://?search_path="
REGISTRY = f"{PATH}registry"
"""The registry of a feature_store.yaml that names none."""
LOOKBACK_S = 86_400.0
"""Rows loaded up to so long before the last materialization are looked at again: a
transaction's rows carry the time of its beginning, but can be seen only from its end."""
SOURCES = "source"
"""The schemas of sources whose schema is not named."""
KEYS = {
    "": (
        "project",
        "provider",
        "registry",
        "offline_store",
        "online_store",
        "batch_engine",
        "entity_key_serialization_version",
    ),
    "registry": (
        "registry_type",
        "path",
        "cache_ttl_seconds",
        "sqlalchemy_config_kwargs",
        "serve_features_while_materializing",
    ),
    "offline_store": ("type", "db_schema"),
    "online_store": ("type", "ttl_policy"),
    "batch_engine": ("type", "lookback_s", "spark_conf", "connections"),
}
"""The keys that each part of the file may have; of the whole file by the empty name."""


ENGINE = "streamflow.feast.StreamflowEngine"
SPARK_ENGINE = "streamflow.feast.StreamflowSparkEngine"
CONNECTIONS = 8


@dataclass(frozen=True)
class SparkSettings:
    """The settings of Spark in a feature_store.yaml, where `batch_engine` names it."""

    conf: Mapping[str, str] = field(default_factory=dict)
    """Spark's own, from `spark_conf`: `spark.master` and whatever else."""
    connections: int = CONNECTIONS
    """The most connections to PostgreSQL that executors have at once: as many tasks write."""


@dataclass(frozen=True)
class OwnStores:
    """The settings of a feature_store.yaml, as far as our commands need them."""

    project: str
    registry: str
    """The schema of Feast's registry."""
    search_path: str
    """PostgreSQL's, for sources whose schema is not named."""
    lookback: timedelta
    ttl_policy: TtlPolicy = "serve"
    """Of views without a tag of that name."""
    spark: SparkSettings | None = None
    """Settings of Spark, if `batch_engine` names it; `materialize --from lake` goes by them."""


def own_stores(repo: Path) -> OwnStores | None:
    """The stores of a feature repository; None where Feast has to read its feature_store.yaml."""
    import yaml

    try:
        content = yaml.safe_load(os.path.expandvars((repo / "feature_store.yaml").read_text()))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    parts = {name: part_of(content, name) for name in KEYS}
    if any(part is None or set(part) - set(KEYS[name]) for name, part in parts.items()):
        return None
    whole, registry, offline, online, engine = (part or {} for part in parts.values())
    project, path = whole.get("project"), registry.get("path")
    lookback, sources = engine.get("lookback_s", LOOKBACK_S), offline.get("db_schema", SOURCES)
    if not (
        isinstance(project, str)
        and PROJECT.fullmatch(project)
        and whole.get("provider", "local") == "local"
        and whole.get("entity_key_serialization_version", 3) == 3
        and registry.get("registry_type") == "sql"
        and isinstance(path, str)
        and path.startswith(PATH)
        and PLAIN.fullmatch(path.removeprefix(PATH))
        and isinstance(registry.get("sqlalchemy_config_kwargs", {}), dict)
        and offline.get("type") == "streamflow.feast.StreamflowOfflineStore"
        and isinstance(sources, str)
        and online.get("type") == "streamflow.feast.StreamflowOnlineStore"
        and online.get("ttl_policy", "serve") in get_args(TtlPolicy)
        and (engine.get("type") == SPARK_ENGINE or engine.get("type") == ENGINE)
        and type(lookback) in (int, float)
        and 0 <= lookback <= timedelta.max.total_seconds()
    ):
        return None
    try:
        search_path = of_sources(sources)
        spark = spark_settings(engine)
    except (ConfigurationError, ValueError):
        return None  # Feast says what is wrong
    if not search_path:
        return None
    return OwnStores(
        project=project,
        registry=path.removeprefix(PATH),
        search_path=search_path,
        lookback=timedelta(seconds=float(lookback)),
        ttl_policy=online.get("ttl_policy", "serve"),
        spark=spark,
    )


def spark_settings(engine: Mapping[str, Any]) -> SparkSettings | None:
    """The settings of Spark in the part `batch_engine`; None where that is another engine.

    Raises:
        ValueError: a setting has a wrong type, or the other engine has some of Spark's.
    """
    conf, connections = engine.get("spark_conf"), engine.get("connections", CONNECTIONS)
    if engine.get("type") != SPARK_ENGINE:
        if {"spark_conf", "connections"} & set(engine):
            raise ValueError("settings of Spark beside another engine")
        return None
    if not isinstance(conf or {}, dict) or type(connections) is not int or connections < 1:
        raise ValueError("spark_conf is a mapping, and connections a whole number from 1 on")
    return SparkSettings(texts(conf or {}), connections)


def texts(conf: Mapping[str, Any]) -> dict[str, str]:
    """Settings as Spark has them: YAML may have read true, or a number."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in conf.items()
    }


def part_of(content: Any, name: str) -> dict[str, Any] | None:
    """A part of a feature_store.yaml, or all of it; None where it is no mapping.

    A store may be its class alone, and a registry that is missing is ours.
    """
    if not isinstance(content, dict):
        return None
    if not name:
        return content
    found = content.get(name)
    if found is None and name == "registry" and name not in content:
        return {"registry_type": "sql", "path": REGISTRY}
    if isinstance(found, str) and name != "registry":
        return {"type": found}
    return found if isinstance(found, dict) else None
