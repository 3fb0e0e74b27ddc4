"""Backups: whole or not there, checksummed, pruned, found again."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobs.backup.place import Place, store
from streamflow.errors import ConfigurationError, StreamflowError, VerificationFailed

FACTS = {
    "database": "streamflow",
    "taken_at": "2026-02-01T02:00:07.123456+00:00",
    "server_version": "18.6",
}
NAME = "streamflow-20260201T020007Z"


def dumps(folder: Path, content: bytes = b"PGDMP\0one", **facts: Any) -> Path:
    """A folder with what is noted of two dumps and their files, as the dump script leaves it."""
    folder.mkdir(parents=True)
    for what in ("streamflow", "prefect"):
        lines: list[dict[str, Any]] = [{**FACTS, "database": what, **facts}]
        if what == "streamflow":
            lines.append({"last_run": {"run": 7, "command": "materialize", "outcome": "done"}})
        lines.append({"table": "source.users", "rows": 50})
        (folder / f"{what}.facts").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
        (folder / f"{what}.dump").write_bytes(content)
    return folder


def at(place: Path, day: int, **how: Any) -> str:
    """Stores a backup of a day of February; gives its name."""
    work = dumps(place / ".job.tmp", taken_at=f"2026-02-{day:02}T02:00:00+00:00")
    return store(work, str(place), **{"prefix": "streamflow", "keep": 7, **how}).name


@pytest.mark.parametrize("beside", [True, False], ids=["renamed", "copied"])
def test_a_backup_on_a_volume_is_whole_and_checksummed(tmp_path: Path, beside: bool) -> None:
    place = tmp_path / "backups"
    work = dumps(place / ".job.tmp" if beside else tmp_path / "elsewhere" / "job")
    manifest = store(work, str(place), "streamflow", keep=7)
    assert [one.name for one in place.iterdir()] == [NAME]
    assert sorted(one.name for one in (place / NAME).iterdir()) == [
        "SHA256SUMS",
        "manifest.json",
        "prefect.dump",
        "streamflow.dump",
    ]
    check = ["sha256sum", "--check", "SHA256SUMS"]
    subprocess.run(check, cwd=place / NAME, check=True, capture_output=True)
    said = json.loads((place / NAME / "manifest.json").read_text())
    assert said["name"] == manifest.name == NAME
    streamflow = next(one for one in said["databases"] if one["what"] == "streamflow")
    assert streamflow["taken_at"] == FACTS["taken_at"]
    assert streamflow["bytes"] == 9
    assert streamflow["rows"] == {"source.users": 50}
    assert streamflow["last_run"]["run"] == 7
    assert streamflow["server_version"] == "18.6"
    assert not work.exists()


def test_a_backup_behind_a_url_has_its_manifest_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("memory://backups/whole")
    order: list[str] = []
    move = place.files.mv

    def seen(source: str, target: str, **options: Any) -> None:
        order.append(target.rsplit("/", 1)[-1])
        assert place.names() == []  # none is there as long as something is missing
        move(source, target, **options)

    monkeypatch.setattr(type(place.files), "mv", staticmethod(seen))
    store(dumps(tmp_path / "job"), place.url, "streamflow", keep=7)
    assert order == ["prefect.dump", "streamflow.dump", "SHA256SUMS", "manifest.json"]
    assert place.names() == [NAME]
    assert [one.rsplit("/", 1)[-1] for one in place.files.ls(place.path, False)] == [NAME]


@pytest.mark.parametrize("url", ["memory://backups/broken", "local"])
def test_a_backup_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    place = Place(str(tmp_path / "place") if url == "local" else url)
    put = type(place.files).put_file

    def full(self: Any, source: str, target: str, **options: Any) -> None:
        if target.endswith("streamflow.dump"):
            raise OSError(28, "No space left on device")
        put(self, source, target, **options)

    monkeypatch.setattr(type(place.files), "put_file", full)
    with pytest.raises(StreamflowError, match=r"cannot be written: .*No space left"):
        store(dumps(tmp_path / "job"), place.url, "streamflow", keep=7)
    assert place.files.ls(place.path, False) == []


@pytest.mark.parametrize(
    ("content", "facts", "said"),
    [
        (b"", {}, "not a dump in pg_dump's custom format"),
        (b"<html>", {}, "not a dump in pg_dump's custom format"),
        (b"PGDMP", {"unknown": 1}, "no readable dump"),
    ],
)
def test_what_is_no_dump_becomes_no_backup(
    tmp_path: Path, content: bytes, facts: dict[str, Any], said: str
) -> None:
    work = dumps(tmp_path / "backups" / ".job.tmp", content, **facts)
    with pytest.raises(StreamflowError, match=said):
        store(work, str(tmp_path / "backups"), "streamflow", keep=7)
    assert Place(str(tmp_path / "backups")).names() == []


def test_a_folder_without_a_dump_is_told(tmp_path: Path) -> None:
    with pytest.raises(StreamflowError, match="no dump is there"):
        store(tmp_path, str(tmp_path / "backups"), "streamflow", keep=7)


def test_the_newest_stay_and_others_are_left_alone(tmp_path: Path) -> None:
    of_another = at(tmp_path, 1, prefix="other", keep=1)
    (tmp_path / "streamflow-20260101T000000Z").mkdir()  # half removed: no manifest
    (tmp_path / "notes").mkdir()
    names = [at(tmp_path, day, keep=3) for day in (1, 2, 3, 4, 5)]
    assert Place(str(tmp_path)).names("streamflow") == names[2:]
    assert Place(str(tmp_path)).names() == [of_another, *names[2:]]
    assert (tmp_path / "notes").exists()


def test_a_backup_without_data_removes_none_that_has_some(tmp_path: Path) -> None:
    names = [at(tmp_path, day) for day in (1, 2)]
    work = dumps(tmp_path / ".job.tmp", taken_at="2026-02-03T02:00:00+00:00")
    facts = work / "streamflow.facts"
    facts.write_text(facts.read_text().replace('"rows": 50', '"rows": 0'))
    empty = store(work, str(tmp_path), "streamflow", keep=1).name
    assert Place(str(tmp_path)).names() == [*names, empty]
    assert at(tmp_path, 4, keep=1) == "streamflow-20260204T020000Z"
    assert Place(str(tmp_path)).names() == ["streamflow-20260204T020000Z"]


def test_a_second_backup_of_the_same_second_is_refused(tmp_path: Path) -> None:
    at(tmp_path, 1)
    with pytest.raises(StreamflowError, match="streamflow-20260201T020000Z is there already"):
        at(tmp_path, 1)


def test_latest_is_the_newest_of_its_own_prefix(tmp_path: Path) -> None:
    names = [at(tmp_path, day) for day in (2, 1)]
    at(tmp_path, 3, prefix="other")
    place = Place(str(tmp_path))
    assert place.find("latest", "streamflow").name == names[0]
    assert place.find(names[1], "anything").name == names[1]
    with pytest.raises(ConfigurationError, match=f"no backup x; there are: {names[1]}, {names[0]}"):
        place.find("x", "streamflow")


def test_where_there_is_none_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no backup latest; there are: none"):
        Place(str(tmp_path / "nowhere")).find("latest", "streamflow")


@pytest.mark.parametrize("url", ["memory://backups/changed", "local"])
def test_a_dump_that_changed_is_not_fetched(tmp_path: Path, url: str) -> None:
    place = Place(str(tmp_path / "place") if url == "local" else url)
    manifest = store(dumps(tmp_path / "job"), place.url, "streamflow", keep=7)
    into = tmp_path / "fetched"
    into.mkdir()
    assert place.fetch(manifest, into)["prefect"].read_bytes() == b"PGDMP\0one"
    with place.files.open(f"{place.path}/{NAME}/prefect.dump", "wb") as file:
        file.write(b"PGDMP\0two")
    with pytest.raises(VerificationFailed, match=r"prefect\.dump: not the file its manifest"):
        place.fetch(manifest, into)


def test_a_place_is_probed_before_it_is_needed(tmp_path: Path) -> None:
    Place(str(tmp_path / "new")).probe()
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamflowError, match="cannot be written"):
        Place(str(tmp_path / "file" / "backups")).probe()
    with pytest.raises(ConfigurationError, match="nosuch://x: Protocol not known"):
        Place("nosuch://x")
