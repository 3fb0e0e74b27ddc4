"""Reading a feature_store.yaml: classes under the names of before, and no folder beside a wheel."""

from pathlib import Path

import pytest

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


def test_without_a_folder_beside_it_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library from its wheel has no folder beside it."""
    none = tmp_path / "feature_repo"
    monkeypatch.setattr(settings, "FEATURE_REPO", none)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(none))  # which is the default there
    with pytest.raises(ConfigurationError, match="STREAMFLOW_FEATURE_REPO has to name the folder"):
        repo_config()
