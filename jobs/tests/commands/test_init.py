"""Tests of a new feature repository: written whole or not, and it works as it says."""

import os
import re
import shlex
from pathlib import Path

import pytest

from jobs.commands import init
from jobs.tests.acting import streamflow
from streamflow.settings import FEATURE_REPO

pytestmark = pytest.mark.usefixtures("at_home")


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a person stands in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(*arguments: str) -> str:
    """The one line that a command refuses these arguments with."""
    ended = streamflow(*arguments)
    assert ended.exit_code == 2, ended.output
    (line,) = ended.stderr.splitlines()
    return line


def test_its_next_commands_work_word_for_word(database: str) -> None:
    said = streamflow("init", "devices").stdout
    commands = re.findall(r"(?m)^  streamflow (.*)$", said)
    assert len(commands) == 3
    for command in commands:
        ended = streamflow(*shlex.split(command))
        assert ended.exit_code == 0, ended.stderr
    assert "anna" in ended.stdout
    assert re.search(r"watch_hours +14\.75 +device_usage +2024-02-29", ended.stdout)


def test_the_page_works_word_for_word(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FEATURE_REPO.parent / "docs" / "your-own-features.md").read_text()
    section = page[page.index("## In a clone") : page.index("## In a Feast project")]
    commands = re.findall(r"(?m)^\$ streamflow (.*)$", section)
    assert len(commands) == 5
    for command in commands:
        ended = streamflow(*shlex.split(command))
        assert ended.exit_code == 0, ended.stderr
        monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", "shop")
    assert "watch_hours" in ended.stdout


def test_an_option_of_a_command_names_the_repository_for_that_command_alone(database: str) -> None:
    streamflow("init", "devices")
    assert "device_v1" in streamflow("--repo", "devices", "apply").stdout
    assert "device_v1" in streamflow("services", "--repo=devices").stdout
    assert streamflow("services", "device_v1", "--repo", "devices", "--json").exit_code == 0
    assert refusal("services", "--repo", "devices", "--repo", "other") == (
        "error: --repo is given 2 times; give it once"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-hyphen", "'no-hyphen' is no name for a project"),
        ("_private", "'_private' is no name for a project"),
        ("größe", "'größe' is no name for a project"),
        ("a b", "'a b' is no name for a project"),
        ("a" * 49, f"'{'a' * 49}' is no name for a project"),
        ("/", "'' is no name for a project"),
        ("nowhere/shop", "nowhere/shop: No such file or directory; nothing was written"),
        ("taken", "taken is there already; nothing was written"),
        ("dangling", "dangling is there already; nothing was written"),
        ("file/shop", "file/shop: Not a directory; nothing was written"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(at_home: Path, name: str, said: str) -> None:
    (at_home / "taken").mkdir()
    (at_home / "dangling").symlink_to("nothing")
    (at_home / "file").write_text("")
    assert said in refusal("init", name)
    assert sorted(one.name for one in at_home.iterdir()) == ["dangling", "file", "taken"]
    assert list((at_home / "taken").iterdir()) == []


def test_what_was_begun_is_taken_away(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init.Path, "write_text", full)
    assert refusal("init", "shop") == ("error: shop: No space left on device; nothing was written")
    assert list(at_home.iterdir()) == []


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_the_next_command_has_the_repository_of_before(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMFLOW_FEATURE_REPO", raising=False)
    if before:
        monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", before)
    streamflow("init", "devices")
    refusal("materialize", "--repo", "devices", "--start", "soon")
    assert os.environ.get("STREAMFLOW_FEATURE_REPO") == before


@pytest.mark.parametrize("repo", ["nowhere", "."])
def test_a_folder_without_feature_store_yaml_is_no_repository(repo: str) -> None:
    assert "is no feature repository: it has no feature_store.yaml; to begin one: streamflow" in (
        refusal("apply", "--repo", repo)
    )


def test_commands_about_snapshots_say_that_there_are_none(database: str, at_home: Path) -> None:
    streamflow("init", "shop")
    assert streamflow("apply", "--repo", "shop").exit_code == 0
    (at_home / "month").mkdir()
    lacking = "shop has no snapshots.py, which declares the files of a month and their tables"
    month = ("month", "--as-of", "2024-01-31")
    assert lacking in refusal("ingest", "--repo", "shop", *month)


def test_several_services_have_to_be_told_apart(database: str, at_home: Path) -> None:
    streamflow("init", "shop")
    file = at_home / "shop" / "definitions.py"
    text = file.read_text()
    file.write_text(
        f'{text}device_v2 = FeatureService(name="device_v2", features=[device_usage])\n'
    )
    assert streamflow("apply", "--repo", "shop").exit_code == 0
    assert refusal("features", "--repo", "shop", "account_id=anna,device_id=1") == (
        "error: project shop has several feature services; name one with --service: "
        "device_v1, device_v2"
    )
    file.write_text(text[: text.index("device_v1 = FeatureService")])
    assert streamflow("apply", "--repo", "shop", "--allow-removal").exit_code == 0
    assert "project shop has no feature service" in refusal("features", "--repo", "shop", "a")
