"""A restore is carried out once for each request, whatever is lost, rolled back or left there."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.backup.place import Place
from jobs.backup.restore import finish, prepare
from jobs.tests.backup.test_restore import (
    assert_success,
    back_up,
    execute,
    january,
    place,
    plan,
    request_for,
    restore,
    script,
)
from streamflow.errors import ConfigurationError, StreamflowError

__all__ = ["january", "place"]
MARK = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{}'"
LABELS = "SELECT count(*) FROM source.labels_snapshots"


@pytest.fixture
def backups(january: str, place: Path) -> tuple[str, str]:
    """The names of two backups: one with 50 labels, and one, a minute later, with none."""
    first = back_up(place, january)
    execute("DELETE FROM source.labels_snapshots")
    assert_success(script("dump.sh", place / ".job.tmp", "5", f"streamflow={january}"))
    later = first.removesuffix(first[-7:]) + f"{int(first[-7:-1]) + 1:06}Z"
    second = store_as(place, later)
    return first, second


def store_as(place: Path, name: str) -> str:
    """Stores the dump at a name of our choice, since names have seconds."""
    from jobs.backup import place as backup

    work = place / ".job.tmp"
    manifest = backup.describe(work, "streamflow")
    manifest = type(manifest)(name, manifest.databases, manifest.versions)
    Place(str(place)).add(work, manifest)
    return name


def lose(database: str) -> None:
    """The database as a lost volume leaves it: empty, and without its comment."""
    execute(f"DROP DATABASE {database} WITH (FORCE)", "postgres")
    execute(f"CREATE DATABASE {database}", "postgres")


def drop_former(done: list[dict[str, Any]]) -> None:
    """Removes what a restore kept, whose name has seconds."""
    for one in done:
        if one["kept"]:
            execute(f'DROP DATABASE "{one["kept"]}"')


def test_a_rollback_to_values_with_an_earlier_restore_restores_nothing(
    january: str, place: Path, backups: tuple[str, str]
) -> None:
    first, second = backups
    drop_former(restore(place, january, first, overwrite=True, request="first"))
    assert execute(LABELS) == [(50,)]
    drop_former(restore(place, january, second, overwrite=True, request="second"))
    assert execute(LABELS) == [(0,)]
    for request, name in (("first", first), ("second", second), ("first", "latest")):
        assert restore(place, january, name, overwrite=True, request=request) == []
        assert execute(LABELS) == [(0,)]


def test_a_volume_that_is_lost_twice_is_restored_twice_and_never_by_itself(
    january: str, place: Path
) -> None:
    back_up(place, january)
    for request in ("2026-11-28 volume lost", "2026-11-29 volume lost again"):
        lose(january)
        (done,) = restore(place, january, request=request)
        assert done["kept"] is None
        assert execute(LABELS) == [(50,)]
        assert restore(place, january, request=request, overwrite=True) == []
    lose(january)
    for request in ("2026-11-28 volume lost", "2026-11-29 volume lost again"):
        with pytest.raises(ConfigurationError, match="has no data now; it is not done again"):
            restore(place, january, request=request, overwrite=True)


def test_a_request_that_was_never_written_down_is_before_its_database_is_replaced(
    january: str, place: Path, backups: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = backups
    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", lambda *_: pytest.fail("no room"))
        with pytest.raises(pytest.fail.Exception, match="no room"):
            restore(place, january, first, overwrite=True, request="first")
    query = f"SELECT datname FROM pg_database WHERE datname LIKE '{january}_before_%'"
    drop_former([{"kept": name} for (name,) in execute(query)])
    drop_former(restore(place, january, second, overwrite=True, request="second"))
    assert restore(place, january, first, overwrite=True, request="first") == []
    assert execute(LABELS) == [(0,)]


@pytest.mark.parametrize("asked", ["latest", "by name"])
def test_an_entry_that_stays_fetches_nothing_and_outlives_its_backup(
    january: str, place: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = back_up(place, january)
    name = name if asked == "by name" else "latest"
    restore(place, january, name, overwrite=True, request="one")
    execute("DELETE FROM source.labels_snapshots")
    monkeypatch.setattr(Place, "fetch", lambda *_: pytest.fail("fetched again"))
    monkeypatch.setattr(Place, "find", lambda *_: pytest.fail("looked for again"))
    for mark in (True, False):
        if not mark:
            execute(f"COMMENT ON DATABASE {january} IS NULL")
        assert restore(place, january, name, overwrite=True, request="one") == []
    assert execute(LABELS) == [(0,)]


def test_where_the_database_knows_it_an_unreachable_place_is_no_failure(
    january: str, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    back_up(place, january)
    restore(place, january, overwrite=True, request="one")

    def away(*_: Any) -> None:
        raise StreamflowError("s3://backups cannot be read: no route")

    monkeypatch.setattr(Place, "read", away)
    assert restore(place, january, overwrite=True, request="one") == []
    assert "not written down beside the backups" in caplog.messages
    with pytest.raises(StreamflowError, match="no route"):
        restore(place, january, overwrite=True, request="two")


def test_what_could_not_be_written_down_is_by_the_next_attempt(
    january: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(place, january)
    with monkeypatch.context() as patch:

        def full(*_: Any) -> None:
            raise StreamflowError("no space left")

        patch.setattr(Place, "write", full)
        with pytest.raises(StreamflowError, match="no space left"):
            restore(place, january, overwrite=True, request="one")
    execute("DELETE FROM source.labels_snapshots")
    assert written_down(place) == []
    assert restore(place, january, overwrite=True, request="one") == []
    assert [one["request"] for one in written_down(place)] == ["one"]
    assert execute(LABELS) == [(0,)]


def written_down(place: Path) -> list[dict[str, Any]]:
    """Returns the records of restores that stand beside the backups."""
    return [json.loads(one.read_text()) for one in sorted(place.glob("*.restored-*.json"))]


def test_where_nothing_can_be_written_down_nothing_is_changed(
    january: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(place, january)
    lose(january)

    def read_only(*_: Any) -> None:
        raise StreamflowError("/backups cannot be written: Read-only file system")

    monkeypatch.setattr(Place, "probe", read_only)
    with pytest.raises(StreamflowError, match="Read-only"):
        restore(place, january)
    beside = f"SELECT datname FROM pg_database WHERE datname LIKE '{january}_%'"
    assert execute(beside) == []


def test_killed_between_two_databases_the_next_attempt_completes_it(
    january: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = f"{january}_prefect"
    execute(f"CREATE DATABASE {prefect}")
    execute("CREATE TABLE flow_run (id int); INSERT INTO flow_run VALUES (1)", prefect)
    back_up(place, january, f"prefect={prefect}")
    targets = {"streamflow": january, "prefect": prefect}
    execute("TRUNCATE flow_run", prefect)
    execute("DELETE FROM source.labels_snapshots")

    from jobs.backup import restore as module

    exchange = module.switch

    def killed(database: str, *rest: Any) -> str | None:
        if database == january:
            raise KeyboardInterrupt
        return exchange(database, *rest)

    asks, folder = request_for(place, "one"), plan(place)
    prepare("latest", asks, targets, True, folder)
    assert_success(script("restore.sh", folder / "plan"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "switch", killed)
        with pytest.raises(KeyboardInterrupt):
            finish(folder, asks)
    assert execute("SELECT id FROM flow_run", prefect) == [(1,)]
    assert execute(LABELS) == [(0,)]
    (done,) = restore(place, january, targets=targets, overwrite=True, request="one")
    assert (done["what"], execute(LABELS)) == ("streamflow", [(50,)])


@pytest.mark.parametrize("url", ["memory://restored/once", "local"])
def test_each_request_has_a_file_of_its_own_that_is_no_backup(
    database: str, tmp_path: Path, url: str
) -> None:
    where = Place(str(tmp_path / "place") if url == "local" else url)
    texts = ["volume lost", "Volume lost", "volume-lost", "…", "„ö“", "x" * 100, "x" * 99 + "y"]
    from jobs.backup.requests import Request

    for text in texts:
        request = Request(text, where, "streamflow")
        assert request.carried_out() is None
        request.write_down("streamflow-20260201T020000Z", text, has_data=True)
        request.write_down("streamflow-20260301T020000Z", "another", has_data=False)
    for text in texts:
        found = Request(text, where, "streamflow").carried_out()
        assert found is not None
        assert (found.request, found.database, found.has_data) == (text, text, True)
        assert Request(text, where, "other").carried_out() is None
    assert where.names() == []
    assert len(where.files.ls(where.path, False)) == len(texts)


def test_a_file_that_is_none_of_ours_is_told(database: str, tmp_path: Path) -> None:
    request = request_for(tmp_path, "one")
    request.write_down("streamflow-20260201T020000Z", "one", has_data=True)
    (tmp_path / request.file).write_text("{}")
    with pytest.raises(StreamflowError, match=r"streamflow\.restored-one-\w+\.json: not readable"):
        request.carried_out()


def test_a_mark_of_a_former_version_is_no_request(january: str, place: Path) -> None:
    name = back_up(place, january)
    execute(f"COMMENT ON DATABASE {january} IS 'restored from {name}'")
    execute("DELETE FROM source.labels_snapshots")
    (done,) = restore(place, january, name, overwrite=True, request="one")
    assert done["kept"] is not None
    assert execute(MARK.format(january)) == [(f"restored from {name}, as asked by: one",)]


def test_a_restored_database_without_data_asks_for_nothing(january: str, place: Path) -> None:
    for table in ("users", "labels_snapshots", "subscriptions_profile_snapshots"):
        execute(f"TRUNCATE source.{table}")
    for table in ("usage_agg_30d", "payments_agg_90d", "support_agg_90d"):
        execute(f"TRUNCATE source.{table}_snapshots")
    back_up(place, january)
    restore(place, january, request="one")
    execute(f"COMMENT ON DATABASE {january} IS NULL")
    assert restore(place, january, request="one") == []
