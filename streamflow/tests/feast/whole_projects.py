"""Feast projects on the test database with our three classes, as a team's repository has them."""

import contextlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from feast import FeatureStore, RepoConfig

from streamflow.feast.registry.open import closing_store

REGISTRY = {"registry_type": "sql", "path": "postgresql+psycopg://"}
"""In the role's own first schema, with libpq's variables."""


def config_of(registry: Any = REGISTRY, online: Any = None, **offline: Any) -> RepoConfig:
    """A project with our stores and our engine; `offline` are settings of the offline store."""
    return RepoConfig(
        project="team",
        provider="local",
        registry=registry,
        offline_store={"type": "streamflow.feast.StreamflowOfflineStore", **offline},
        online_store=online or {"type": "streamflow.feast.StreamflowOnlineStore"},
        batch_engine={"type": "streamflow.feast.StreamflowEngine"},
    )


@contextmanager
def team(*objects: Any, **config: Any) -> Iterator[FeatureStore]:
    """The project with `objects` applied, its connections closed at the end."""
    with closing_store(FeatureStore(config=config_of(**config))) as store:
        store.apply(list(objects))
        yield store


def materialize(store: FeatureStore, *views: str) -> None:
    """Puts everything up to the year 2030 online, without Feast's progress."""
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(
            datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC), list(views)
        )
