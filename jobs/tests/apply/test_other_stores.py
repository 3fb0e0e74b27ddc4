"""`apply` refuses a feature_store.yaml whose stores it does not write into, with the lines."""

from pathlib import Path

import psycopg
import pytest

from jobs.commands.init import write
from jobs.tests.acting import streamflow

ONLINE = "online_store: {type: streamflow.feast.StreamflowOnlineStore}"
OFFLINE = "offline_store: {type: streamflow.feast.StreamflowOfflineStore}"
ENGINE = "batch_engine: {type: streamflow.feast.StreamflowEngine}"
LINES = (OFFLINE, ONLINE, ENGINE)
REGISTRY = "registry: {registry_type: sql, path: postgresql+psycopg://}"
OF_A_TUTORIAL = {
    "only a name": ("project: shop\n", [OFFLINE, ONLINE, ENGINE]),
    "another online store": (
        f"project: shop\n{OFFLINE}\n{ENGINE}\nonline_store: {{type: sqlite, path: o.db}}\n",
        [ONLINE],
    ),
    "no offline store": (f"project: shop\n{ONLINE}\n{ENGINE}\n", [OFFLINE]),
    "a registry in a file": (
        f"project: shop\n{ONLINE}\n{OFFLINE}\n{ENGINE}\nregistry: data/registry.db\n",
        [REGISTRY],
    ),
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The feature repository that `streamflow init` writes."""
    write(tmp_path / "shop")
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path / "shop"))
    return tmp_path / "shop"


@pytest.mark.parametrize("command", [["apply"], ["apply", "--plan"]], ids=" ".join)
@pytest.mark.parametrize(("yaml", "needed"), OF_A_TUTORIAL.values(), ids=OF_A_TUTORIAL)
def test_other_stores_are_refused_before_anything_is_changed(
    empty_database: str, shop: Path, yaml: str, needed: list[str], command: list[str]
) -> None:
    (shop / "feature_store.yaml").write_text(yaml)
    done = streamflow(*command)
    assert done.exit_code == 2, done.output
    said = done.stderr.splitlines()[-1]
    assert "feature_store.yaml needs the line" in said
    assert [line for line in (*LINES, REGISTRY) if line in said] == needed
    with psycopg.connect() as connection:
        found = "SELECT nspname FROM pg_namespace WHERE nspname IN ('registry', 'ops')"
        assert connection.execute(found).fetchall() == []
