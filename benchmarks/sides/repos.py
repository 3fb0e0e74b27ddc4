"""Scratch feature repositories: the same definitions on stock Feast's stores and on ours."""

import shutil
from pathlib import Path

from benchmarks import data
from streamflow import settings

STOCK_SCHEMAS = ("stock_registry", "stock_offline", "stock_online")
STORES_YAML = """\
project: streamflow
provider: local
registry:
  registry_type: sql
  path: "postgresql+psycopg://?options=-csearch_path%3Dstock_registry"
  cache_ttl_seconds: 60
  sqlalchemy_config_kwargs: {echo: false, pool_pre_ping: true}
offline_store: &postgres
  type: postgres
  host: ${PGHOST}
  port: ${PGPORT}
  database: ${PGDATABASE}
  db_schema: stock_offline
  user: ${PGUSER}
  password: "${PGPASSWORD}"
  sslmode: ${PGSSLMODE}
entity_key_serialization_version: 3
"""
"""Stock stores as Feast's documentation sets them up, in schemas of their own, without the online
store."""
ONLINE_YAML = """\
online_store:
  <<: *postgres
  db_schema: stock_online
"""
ONLINE_ON_REDIS_YAML = """\
online_store:
  type: redis
  connection_string: "127.0.0.1:{port}"
"""

TTL_LINE = "ALWAYS = timedelta(0)"
SHAPES = ("streamflow", "ttl", "wide")


def make(folder: Path) -> None:
    """Writes the repositories `stock-SHAPE` and `ours-SHAPE` under `folder` for every shape.

    streamflow: the project's own four views. ttl: the same with a ttl of 38 days. wide: 25
    views of 10 features.
    """
    repo = settings.FEATURE_REPO
    own = (repo / "definitions.py").read_text()
    if TTL_LINE not in own:
        raise ValueError(f"definitions.py has no line {TTL_LINE!r} any more")
    texts = (own, own.replace(TTL_LINE, "ALWAYS = timedelta(days=38)"), wide_definitions())
    for shape, text in zip(SHAPES, texts, strict=True):
        for side in ("stock", "ours"):
            target = folder / f"{side}-{shape}"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            (target / "definitions.py").write_text(text)
            shutil.copy(repo / "snapshots.py", target)
        (folder / f"stock-{shape}" / "feature_store.yaml").write_text(STORES_YAML + ONLINE_YAML)
        shutil.copy(repo / "feature_store.yaml", folder / f"ours-{shape}")


def make_on_redis(folder: Path, shape: str, port: int) -> Path:
    """Writes the repository `redis-SHAPE`, which is `stock-SHAPE` with its online store on Redis.

    The registry is the one of `stock-SHAPE`, so that nothing has to be applied again.
    """
    target = folder / f"redis-{shape}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / f"stock-{shape}", target)
    online = ONLINE_ON_REDIS_YAML.format(port=port)
    (target / "feature_store.yaml").write_text(STORES_YAML + online)
    return target


def wide_definitions() -> str:
    """The definitions of 25 views of 10 features over `source.wide`, and their service."""
    types = [data.FEAST_TYPES[kind] for kind in data.WIDE_TYPES]
    return f"""\
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, Project, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Bool, Float32, Int64, String

streamflow = Project(name="streamflow")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
views = []
for number in range({data.WIDE_VIEWS}):
    features = {{f"v{{number:02d}}_f{{n}}": t for n, t in enumerate([{", ".join(types)}])}}
    source = PostgreSQLSource(
        name=f"source_{{number:02d}}",
        query=f"SELECT user_id, as_of, loaded_at, {{', '.join(features)}} FROM source.wide",
        timestamp_field="as_of",
        created_timestamp_column="loaded_at",
    )
    view = FeatureView(
        name=f"view_{{number:02d}}",
        entities=[user],
        ttl=timedelta(0),
        source=source,
        schema=[Field(name=name, dtype=dtype) for name, dtype in features.items()],
    )
    globals()[source.name], globals()[view.name] = source, view
    views.append(view)
del source, view
wide_v1 = FeatureService(name="wide_v1", features=views)
"""
