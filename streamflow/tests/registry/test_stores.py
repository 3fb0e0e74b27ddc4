"""feature_store.yaml read without Feast: what it says as Feast says it, or nothing."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from streamflow import settings
from streamflow.feast.connection import search_path
from streamflow.feast.registry.open import repo_config
from streamflow.registry.stores import OwnStores, own_stores

OFFLINE = "streamflow.feast.StreamflowOfflineStore"
ONLINE = "streamflow.feast.StreamflowOnlineStore"
ENGINE = "streamflow.feast.StreamflowEngine"
LEAST = {
    "project": "shop",
    "offline_store": {"type": OFFLINE},
    "online_store": {"type": ONLINE},
    "batch_engine": {"type": ENGINE},
}
OTHER_REGISTRY = {"registry_type": "sql", "path": "postgresql+streamflow://?search_path=other"}


def read(folder: Path, **changed: object) -> OwnStores | None:
    """The stores of a file that has the least, and these parts."""
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(LEAST | changed))
    return own_stores(folder)


def test_the_projects_own_is_read() -> None:
    assert own_stores(settings.FEATURE_REPO) == OwnStores(
        "streamflow", "registry", "source,public", timedelta(days=1)
    )


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"registry": OTHER_REGISTRY},
        {"offline_store": OFFLINE, "online_store": ONLINE, "batch_engine": ENGINE},
        {"offline_store": {"type": OFFLINE, "db_schema": 'Mine, "a,b"'}},
        {"offline_store": {"type": OFFLINE, "db_schema": "public, dbt"}},
        {"online_store": {"type": ONLINE, "ttl_policy": "null"}},
        {"batch_engine": {"type": ENGINE, "lookback_s": 7}},
        {"provider": "local", "entity_key_serialization_version": 3},
    ],
)
def test_what_is_read_is_what_feast_reads(tmp_path: Path, changed: dict[str, object]) -> None:
    found = read(tmp_path, **changed)
    assert found is not None
    config = repo_config(tmp_path)
    engine = config.batch_engine_config
    lookback = engine.get("lookback_s", 86_400) if isinstance(engine, dict) else 86_400
    assert found == OwnStores(
        config.project,
        config.registry.path.rpartition("=")[2],
        search_path(config.offline_store),
        timedelta(seconds=lookback),
        config.online_store.ttl_policy,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"project": "a b"},
        {"project": 7},
        {"project": None},
        {"provider": "aws"},
        {"flags": {"alpha_features": True}},
        {"auth": {"type": "no_auth"}},
        {"entity_key_serialization_version": 2},
        {"registry": "registry.db"},
        {"registry": None},
        {"registry": {**OTHER_REGISTRY, "enable_online_feature_view_versioning": True}},
        {"registry": {**OTHER_REGISTRY, "path": "postgresql+streamflow://elsewhere/db"}},
        {"registry": {**OTHER_REGISTRY, "path": "postgresql+psycopg://"}},
        {"registry": {**OTHER_REGISTRY, "path": f"{OTHER_REGISTRY['path']}&host=elsewhere"}},
        {"registry": {**OTHER_REGISTRY, "path": f"{OTHER_REGISTRY['path']},public"}},
        {"registry": {"path": OTHER_REGISTRY["path"]}},
        {"registry": {"registry_type": "sql"}},
        {"offline_store": {"type": OFFLINE, "host": "elsewhere"}},
        {"offline_store": {"type": OFFLINE, "db_schema": ""}},
        {"offline_store": {"type": OFFLINE, "db_schema": '"open'}},
        {"offline_store": {"type": "postgres"}},
        {"online_store": {"type": ONLINE, "force": True}},
        {"online_store": {"type": ONLINE, "ttl_policy": "sometimes"}},
        {"online_store": "sqlite"},
        {"batch_engine": {"type": "local"}},
        {"batch_engine": {"type": ENGINE, "lookback_s": "a day"}},
        {"batch_engine": {"type": ENGINE, "lookback_s": -1}},
        {"batch_engine": {"type": ENGINE, "lookback_s": float("nan")}},
        {"batch_engine": {"type": ENGINE, "lookback_s": True}},
        {"batch_engine": None},
    ],
    ids=str,
)
def test_of_anything_else_feast_decides(tmp_path: Path, changed: dict[str, object]) -> None:
    assert read(tmp_path, **changed) is None


@pytest.mark.parametrize("text", ["", "- a", "project: [", "project: \x00", "7"])
def test_a_file_that_is_none_is_left_to_feast(tmp_path: Path, text: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(text)
    assert own_stores(tmp_path) is None


def test_a_missing_file_is_left_to_feast(tmp_path: Path) -> None:
    assert own_stores(tmp_path) is None
