"""Who asks for which contract, noted in the database."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from feast import FeatureService

from api.tests.access.key_files import ONE, TWO, bearer, line
from api.tests.conftest import ready, rewrite, serving, statement, wait_until
from streamflow.feast.registry.open import open_store

CHURN, PROFILE = "210c99bb71d5f508", "3c0829dcc18ce4d1"
USER, NOBODY = "/features/7590-VHVEG", "/features/0000-NOONE"
Noted = dict[tuple[str, str, str], int]


def noted() -> Noted:
    """Requests by service, contract and caller."""
    with psycopg.connect() as connection:
        rows = connection.execute(
            "SELECT service, contract, caller, requests, last_at >= first_at FROM ops.callers"
            " WHERE project = 'streamflow'"
        ).fetchall()
    assert all(row[4] for row in rows)
    return {row[:3]: row[3] for row in rows}


def hindered(**record: Any) -> list[str]:
    """The reasons in the log's lines that say that nothing was noted."""
    return [one.reason for one in record["caplog"].records if one.message == "callers not noted"]


def test_each_key_is_noted_with_what_it_asks_for(copy: str, tmp_path: Path) -> None:
    (tmp_path / "scoring").write_text(line(ONE))
    (tmp_path / "care").write_text(line(TWO, "profile_v1"))
    with serving(note_callers_s=0.05, keys_dir=str(tmp_path)) as client:
        wait_until(lambda: ready(client))
        for path, key in [
            (USER, ONE),
            (USER, ONE),
            (NOBODY, ONE),  # 404, and asked for all the same
            (f"{USER}?service=profile_v1", ONE),
            (f"{USER}?service=profile_v1", TWO),
            (f"{USER}?service=churn_v1", TWO),  # 403
            (f"{USER}?features=subs_profile_fv:monthly_fee", ONE),  # of no service
            (f"{USER}?service=nothing", ONE),  # 422
        ]:
            client.get(path, headers=bearer(key))
        client.get(USER)  # 401
        body = {"user_ids": ["7590-VHVEG", "0000-NOONE"]}
        assert client.post("/features", json=body, headers=bearer(ONE)).status_code == 200
        remote = {"feature_service": "profile_v1", "entities": {"user_id": ["7590-VHVEG"]}}
        answer = client.post("/get-online-features", json=remote, headers=bearer(TWO))
        assert answer.status_code == 200
        expected = {
            ("churn_v1", CHURN, "scoring"): 4,
            ("profile_v1", PROFILE, "scoring"): 1,
            ("profile_v1", PROFILE, "care"): 2,
        }
        wait_until(lambda: noted() == expected)
        client.get(USER, headers=bearer(ONE))
        wait_until(lambda: noted() == {**expected, ("churn_v1", CHURN, "scoring"): 5})


def test_an_older_contract_is_noted_as_itself_and_an_unknown_one_is_not(copy: str) -> None:
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        store.apply(FeatureService(name="profile_v1", features=[view[["months_active"]]]), True)
    with psycopg.connect() as connection:
        rows = connection.execute(
            "SELECT contract FROM ops.contracts WHERE service = 'profile_v1'"
            " AND superseded_at IS NULL"
        ).fetchall()
    ((present,),) = rows
    with serving(note_callers_s=0.05) as client:
        wait_until(lambda: ready(client))
        asked = f"{USER}?service=profile_v1"
        assert client.get(asked).status_code == 200
        assert client.get(asked, headers={"If-Contract": PROFILE}).status_code == 200
        assert client.get(asked, headers={"If-Contract": "0" * 16}).status_code == 409
        wait_until(
            lambda: noted() == {("profile_v1", present, ""): 1, ("profile_v1", PROFILE, ""): 1}
        )
        statement("UPDATE ops.contracts SET ended_at = now() WHERE superseded_at IS NOT NULL")
        statement("UPDATE ops.catalog SET version = version + 1")
        wait_until(lambda: client.get(asked, headers={"If-Contract": PROFILE}).status_code == 409)
        wait_until(lambda: noted()[("profile_v1", PROFILE, "")] >= 2)


def test_a_process_notes_before_it_ends(copy: str) -> None:
    with serving(note_callers_s=1000) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        assert noted() == {}
    assert noted() == {("churn_v1", CHURN, ""): 1}


def test_none_is_noted_where_that_is_switched_off(copy: str) -> None:
    with serving(note_callers_s=0) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
    assert noted() == {}


def test_processes_that_note_at_once_lose_nothing(copy: str) -> None:
    services = ("churn_v1", "profile_v1")

    def ask(which: int) -> None:
        with serving(note_callers_s=0.01) as client:
            wait_until(lambda: ready(client))
            barrier.wait()
            for number in range(60):
                service = services[(number + which) % 2]
                assert client.get(USER, params={"service": service}).status_code == 200

    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, range(3)))
    assert noted() == {("churn_v1", CHURN, ""): 90, ("profile_v1", PROFILE, ""): 90}


def test_what_cannot_be_noted_is_said_once_and_noted_later(
    copy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An earlier version's database lacks the function until it is applied."""
    statement("ALTER FUNCTION ops.note_callers RENAME TO another")
    with serving(note_callers_s=0.05) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        wait_until(lambda: bool(hindered(caplog=caplog)))
        assert client.get(USER).status_code == 200
        statement("ALTER FUNCTION ops.another RENAME TO note_callers")
        wait_until(lambda: noted() == {("churn_v1", CHURN, ""): 2})
    assert hindered(caplog=caplog) == ["an earlier version applied the database"]


def test_an_error_of_the_database_is_no_error_of_requests(
    copy: str, caplog: pytest.LogCaptureFixture
) -> None:
    statement("ALTER TABLE ops.callers ADD CHECK (caller = 'somebody')")
    with serving(note_callers_s=0.05) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        wait_until(lambda: bool(hindered(caplog=caplog)))
        assert ready(client)
        assert client.get(USER).status_code == 200
        statement("ALTER TABLE ops.callers DROP CONSTRAINT callers_caller_check1")
        wait_until(lambda: noted() == {("churn_v1", CHURN, ""): 2})
    (reason,) = hindered(caplog=caplog)
    assert "callers_caller_check1" in reason


def note(
    connection: psycopg.Connection,
    *callers: str,
    requests: int = 1,
    age: float = 0,
    service: str = "churn_v1",
) -> int:
    """Notes requests of each caller, as the function has it; returns how many it took."""
    many = len(callers)
    ((taken,),) = connection.execute(
        "SELECT ops.note_callers('streamflow', %s, %s, %s, %s, %s)",
        [[service] * many, [CHURN] * many, list(callers), [requests] * many, [age] * many],
    ).fetchall()
    return int(taken)


def test_what_a_role_may_note_has_bounds(copy: str) -> None:
    with psycopg.connect(autocommit=True) as connection:
        assert note(connection, "a", "a", "b") == 3
        assert note(connection, "a", service="nothing") == 0
        assert noted() == {("churn_v1", CHURN, "a"): 2, ("churn_v1", CHURN, "b"): 1}
        with pytest.raises(psycopg.errors.CheckViolation):
            note(connection, "x" * 64)
        assert note(connection, *(f"caller-{number}" for number in range(1500)), "a") == 999
        assert note(connection, "one-too-many", "a") == 1
        found = noted()
        assert len(found) == 1000
        assert found["churn_v1", CHURN, "a"] == 4
        assert note(connection, "a", requests=-5) == 0
        assert note(connection, "a", requests=2**62) == 10**9
        shorter = "SELECT ops.note_callers('streamflow', '{churn_v1}', %s, '{a,b}', '{}', '{}')"
        assert connection.execute(shorter, [[CHURN]]).fetchone() == (0,)
        connection.execute("UPDATE ops.callers SET requests = 9e18 WHERE caller = 'a'")
        assert note(connection, "a", requests=10**9) == 10**9  # and none of the others fails
    assert noted()["churn_v1", CHURN, "a"] == 9 * 10**18


def test_a_note_has_the_time_of_the_last_request_and_forgets_after_400_days(copy: str) -> None:
    ages = "SELECT caller, round(extract(epoch FROM now() - last_at)), first_at = last_at"
    with psycopg.connect() as connection:
        note(connection, "a", age=3600)
        note(connection, "b", age=60)
        note(connection, "b", age=3600)  # of another process, which was away
        note(connection, "c", age=-1e300)
        note(connection, "old", age=401 * 86400)
        found = connection.execute(f"{ages} FROM ops.callers ORDER BY 1").fetchall()
        assert found[:3] == [("a", 3600, True), ("b", 60, True), ("c", 0, True)]
        note(connection, "a")
        assert "old" not in {row[0] for row in connection.execute(f"{ages} FROM ops.callers")}


def test_requests_are_at_the_time_they_came_also_after_an_outage(copy: str) -> None:
    statement("ALTER FUNCTION ops.note_callers RENAME TO another")
    with serving(note_callers_s=0.05) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        time.sleep(2)
        statement("ALTER FUNCTION ops.another RENAME TO note_callers")
        wait_until(lambda: noted() == {("churn_v1", CHURN, ""): 1})
    with psycopg.connect() as connection:
        ((age,),) = connection.execute(
            "SELECT extract(epoch FROM now() - last_at)::float8 FROM ops.callers"
        ).fetchall()
    assert age > 2


def test_a_request_that_is_tried_again_is_counted_once(copy: str) -> None:
    """Each catalog that comes while it is answered has it begin anew."""
    with serving(note_callers_s=1000, cache_users=0) as client:
        wait_until(lambda: ready(client))
        for _ in range(10):
            # Rows of a newer catalog than the one that is known: the request is tried again.
            rewrite(lambda catalog: catalog)
            assert client.get(USER).status_code == 200
    assert noted() == {("churn_v1", CHURN, ""): 10}


def test_a_lock_keeps_a_note_up_and_no_request(
    copy: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_POOL_SIZE", "2")  # one connection for all that is read
    with serving(note_callers_s=0.05, cache_users=0) as client:
        wait_until(lambda: ready(client))
        with psycopg.connect() as connection:
            connection.execute("LOCK TABLE ops.callers")
            until = time.monotonic() + 2
            asked = 0
            while time.monotonic() < until:
                assert client.get(USER).status_code == httpx.codes.OK
                asked += 1
            assert ["lock timeout" in one for one in hindered(caplog=caplog)] == [True]
        wait_until(lambda: noted() == {("churn_v1", CHURN, ""): asked})
    assert asked > 20


def test_a_last_note_that_fails_says_what_is_lost(
    copy: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(note_callers_s=1000) as client:
        wait_until(lambda: ready(client))
        for _ in range(3):
            assert client.get(USER).status_code == 200
        statement("DROP FUNCTION ops.note_callers")
    assert noted() == {}
    (lost,) = [one.requests for one in caplog.records if "of the last requests" in one.message]
    assert lost == 3


def test_callers_beyond_those_that_are_told_apart_are_said(
    copy: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.reading.counts.MOST", 1)
    with serving(note_callers_s=1000) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        assert client.get(USER, params={"service": "profile_v1"}).status_code == 200
    assert noted() == {("churn_v1", CHURN, ""): 1}
    assert hindered(caplog=caplog) == ["more callers than are told apart"]
