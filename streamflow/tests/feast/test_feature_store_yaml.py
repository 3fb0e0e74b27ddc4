"""Reading a feature_store.yaml: classes under the names of before, and no folder beside a wheel."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from feast import FeatureStore
from feast.cli.cli import cli
from feast.errors import FeastError

from streamflow import settings
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.open import RENAMED, repo_config

YAML = (settings.FEATURE_REPO / "feature_store.yaml").read_text()


@pytest.mark.usefixtures("feast_database")
@pytest.mark.parametrize("old", [[one] for one in RENAMED] + [list(RENAMED)], ids=len)
def test_a_class_under_its_name_of_before_is_told_its_new_one(
    old: list[str], tmp_path: Path
) -> None:
    text = YAML
    for one in old:
        assert f"type: {RENAMED[one]}\n" in text
        text = text.replace(f"type: {RENAMED[one]}\n", f"type: {one}\n")
    (tmp_path / "feature_store.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        repo_config(tmp_path)
    said = "; ".join(f"{one} is {RENAMED[one]} now" for one in old)
    assert str(refused.value) == f"{tmp_path}/feature_store.yaml: {said}"


@pytest.mark.usefixtures("feast_database")
def test_the_new_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(YAML)
    assert repo_config(tmp_path).batch_engine.type == "streamflow.feast.StreamflowEngine"


SHORTEST = """
project: shop
offline_store: {type: streamflow.feast.StreamflowOfflineStore}
online_store: {type: streamflow.feast.StreamflowOnlineStore}
batch_engine: {type: streamflow.feast.StreamflowEngine}
"""


@pytest.mark.usefixtures("feast_database")
def test_three_classes_are_enough(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(SHORTEST)
    config, whole = repo_config(tmp_path), repo_config(settings.FEATURE_REPO)
    for name in ("registry", "offline_store", "online_store", "batch_engine"):
        assert getattr(config, name) == getattr(whole, name)
    for name in ("provider", "entity_key_serialization_version"):
        assert getattr(config, name) == getattr(whole, name)


@pytest.mark.usefixtures("feast_database")
@pytest.mark.parametrize("line", ["registry: other.db", "registry: {path: other.db}"])
def test_a_registry_that_is_named_stays_the_one(tmp_path: Path, line: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"{SHORTEST}{line}\n")
    assert repo_config(tmp_path).registry.path == "other.db"


@pytest.mark.usefixtures("feast_database")
def test_the_stock_command_says_in_one_line_that_it_needs_a_registry(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(SHORTEST)
    ended = CliRunner().invoke(cli, ["-c", str(tmp_path), "apply"])
    assert ended.exit_code == 2
    (said,) = [one for one in ended.output.splitlines() if one.startswith("Error: ")]
    assert said == (
        "Error: feature_store.yaml names no registry; feast needs the line registry: "
        '{registry_type: sql, path: "postgresql+streamflow://?search_path=registry"}'
        " (the command streamflow does without)"
    )
    with pytest.raises(FeastError, match="names no registry"):
        FeatureStore(str(tmp_path))


def test_without_a_folder_beside_it_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library from its wheel has no folder beside it."""
    none = tmp_path / "feature_repo"
    monkeypatch.setattr(settings, "FEATURE_REPO", none)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(none))  # which is the default there
    with pytest.raises(ConfigurationError, match="STREAMFLOW_FEATURE_REPO has to name the folder"):
        repo_config()
