"""`streamflow audit` finds what is served otherwise than trained on, and nothing else."""

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.request import Request

import pandas as pd
import pytest

from jobs.audit.served import ask
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.roles.set_up import Names
from jobs.run.entry import LOCK_CLASS
from jobs.run.ledger import recorded
from jobs.tests.acting import acting, db_roles, done, execute, streamflow
from jobs.tests.conftest import serving
from streamflow.catalog.contract import Contract
from streamflow.feast.registry.open import open_store
from streamflow.tests.imports import imported_by

ONLINE = 'online."streamflow:user_id"'
FEE, SKIPS = "subs_profile_fv:monthly_fee", "usage_agg_30d_fv:skips_7d"


def load(months: Path, month: int, as_of: date) -> None:
    with recorded("ingest") as run:
        ingest(run, months / f"month_00{month}", as_of)


@pytest.fixture
def served(database: str, small_months: Path) -> None:
    """A database whose first month is online."""
    load(small_months, 0, date(2024, 1, 31))
    with recorded("materialize", views=[]) as run:
        materialize(run)


def audit(*options: str) -> tuple[int, dict[str, Any], str]:
    """The command's exit code, its JSON line and what it says on standard error."""
    done = streamflow("audit", "--users", "50", *options)
    return done.exit_code, json.loads(done.stdout.splitlines()[-1]), done.stderr


def differing(line: dict[str, Any]) -> dict[str, float]:
    """The features that differ, with their share."""
    return {name: share for name, share in line["skew"].items() if share}


def test_an_empty_database_says_so(database: str) -> None:
    code, line, _ = audit()
    assert (code, line["outcome"]) == (0, "done")
    assert line["message"] == "no user is known: nothing to audit"
    assert execute("SELECT FROM ops.skew") == []


def test_a_database_that_was_never_applied_is_told(empty_database: str) -> None:
    done = streamflow("audit")
    assert done.exit_code == 2
    assert "run: streamflow apply" in done.stderr


@pytest.mark.usefixtures("served")
def test_equal_data_has_no_skew() -> None:
    code, line, _ = audit("--seed", "3")
    assert (code, line["outcome"], differing(line)) == (0, "done", {})
    assert line["message"] == "700 values compared, no difference"
    assert line["rows"]["read"] == line["rows"]["unchanged"] == 50
    rows = execute("SELECT compared, differing, pending FROM ops.skew")
    assert rows == [(50, 0, 0)] * 14
    parameters = execute("SELECT parameters FROM ops.runs WHERE command = 'audit'")
    assert parameters[0][0]["seed"] == 3


@pytest.mark.usefixtures("served")
def test_a_value_changed_online_is_found_by_its_feature() -> None:
    # By the last of a 32-bit float's bits.
    statement = f'UPDATE {ONLINE} SET "{FEE}" = "{FEE}" * 1.0000001::real WHERE user_id = %s'
    execute(statement, "0002-ORFBO")
    code, line, said = audit()
    assert (code, line["outcome"]) == (1, "failed")
    assert differing(line) == {FEE: 0.02}
    assert line["rows"]["unchanged"] == 49
    assert "subs_profile_fv:monthly_fee differs in 2.0% of the users" in said
    assert "user 0002-ORFBO, monthly_fee: served 65.6000" in said
    found = execute("SELECT feature, differing FROM ops.status_of_features WHERE differing > 0")
    assert found == [("monthly_fee", 1)]
    code, line, _ = audit("--threshold", "0.02")
    assert (code, line["outcome"], differing(line)) == (0, "done", {FEE: 0.02})
    execute(f"DELETE FROM {ONLINE} WHERE user_id = '7590-VHVEG'")
    with recorded("materialize", views=[]) as run:  # which mends both, as the runbook says
        materialize(run)
    code, line, _ = audit()
    assert (code, differing(line)) == (0, {})


@pytest.mark.usefixtures("served")
def test_a_value_changed_in_the_source_is_found() -> None:
    execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d + 1")
    code, line, _ = audit()
    assert (code, differing(line)) == (1, {SKIPS: 1.0})


@pytest.mark.usefixtures("served")
def test_a_user_who_is_not_online_differs_in_all_they_have() -> None:
    execute(f"DELETE FROM {ONLINE} WHERE user_id = '0002-ORFBO'")
    code, line, said = audit()
    assert code == 1
    assert set(line["skew"].values()) == {0.02}
    assert "user 0002-ORFBO, months_active: served nothing, trained on 9" in said


@pytest.mark.usefixtures("served")
def test_rows_that_were_not_materialized_yet_are_no_skew(small_months: Path) -> None:
    load(small_months, 1, date(2024, 2, 29))
    code, line, _ = audit()
    assert (code, differing(line)) == (0, {})
    assert "not yet materialized, users by view: subs_profile_fv 5" in line["message"]
    assert set(line["pending"].values()) == {50}
    execute(f'UPDATE {ONLINE} SET "{SKIPS}" = 9999 WHERE user_id = %s', "0002-ORFBO")
    # A correction of what is served: nobody knows any more what that was.
    execute(
        "UPDATE source.usage_agg_30d_snapshots SET skips_7d = 77, loaded_at = clock_timestamp()"
        " WHERE user_id = '7590-VHVEG' AND as_of = '2024-01-31'"
    )
    code, line, said = audit()
    assert (code, differing(line)) == (1, {SKIPS: 1 / 49})
    assert "user 0002-ORFBO, skips_7d: served 9999, trained on" in said
    with recorded("materialize", views=[]) as run:
        materialize(run)
    code, line, _ = audit()
    assert (code, differing(line), set(line["pending"].values())) == (0, {}, {0})


@pytest.mark.usefixtures("served")
def test_an_audit_without_feast_finds_what_one_by_feast_finds(
    small_months: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(small_months, 1, date(2024, 2, 29))
    execute("DELETE FROM source.support_agg_90d_snapshots WHERE user_id < '2'")
    execute(f'UPDATE {ONLINE} SET "{FEE}" = "{FEE}" * 1.0000001::real WHERE user_id < \'5\'')
    execute(f"DELETE FROM {ONLINE} WHERE user_id > '9'")
    plain = audit("--seed", "3")
    monkeypatch.setattr("jobs.audit.audit.plain_project", lambda *_: None)
    by_feast = audit("--seed", "3")
    for code, line, said in (plain, by_feast):
        assert (code, line["outcome"]) == (1, "failed")
        assert {FEE, "usage_agg_30d_fv:skips_7d"} <= set(differing(line))
        assert "served" in said
    found = ("skew", "pending", "message", "rows")
    assert [plain[1][one] for one in found] == [by_feast[1][one] for one in found]


@pytest.mark.usefixtures("served")
def test_the_command_imports_neither_feast_nor_pandas() -> None:
    imported = imported_by("audit", "--users", "5")
    assert "pyarrow" in imported
    assert not imported & {"feast", "pandas", "sqlalchemy", "prefect"}


def test_what_was_never_materialized_is_pending(database: str, small_months: Path) -> None:
    load(small_months, 0, date(2024, 1, 31))
    code, line, _ = audit()
    assert (code, differing(line), set(line["pending"].values())) == (0, {}, {50})
    assert execute("SELECT sum(compared), sum(pending) FROM ops.skew") == [(0, 700)]


@pytest.mark.usefixtures("database")
def test_what_was_pushed_to_a_view_that_was_never_materialized_is_compared(
    small_months: Path,
) -> None:
    load(small_months, 0, date(2024, 1, 31))
    pushed = {
        "user_id": ["0002-ORFBO"],
        "as_of": [datetime(2024, 1, 31, tzinfo=UTC)],
        "failed_payments_90d": [0],
        "loaded_at": [datetime(2024, 2, 1, tzinfo=UTC)],
    }
    with open_store("auto") as store:
        store.write_to_online_store("payments_agg_90d_fv", pd.DataFrame(pushed))
    failures = "payments_agg_90d_fv:failed_payments_90d"
    code, line, _ = audit()
    assert (code, differing(line)) == (0, {})
    assert "50 values compared, no difference" in line["message"]
    execute(f'UPDATE {ONLINE} SET "{failures}" = 7')
    code, line, said = audit()
    assert (code, differing(line)) == (1, {failures: 0.02})
    assert "user 0002-ORFBO, failed_payments_90d: served 7, trained on 0" in said


@pytest.mark.usefixtures("served")
def test_one_that_only_reads_enters_nothing() -> None:
    everything = "SELECT (SELECT count(*) FROM ops.runs), (SELECT count(*) FROM ops.skew)"
    before = execute(everything)
    code, line, _ = audit("--read-only")
    assert (code, line["outcome"], line["run"]) == (0, "done", None)
    assert line["message"] == "700 values compared, no difference"
    execute(f'UPDATE {ONLINE} SET "{SKIPS}" = "{SKIPS}" + 1')
    code, line, said = audit("--read-only")
    assert (code, line["outcome"], differing(line)) == (1, "failed", {SKIPS: 1.0})
    assert "skips_7d: served" in said
    assert execute(everything) == before


@pytest.mark.slow
def test_the_trainer_may_ask_the_api(names: Names, served: None) -> None:
    done(db_roles(names))
    with serving() as url, acting(names.trainer):
        code, line, said = audit("--read-only", "--url", url)
        assert (code, line["message"]) == (0, "700 values compared, no difference"), said
        plant = "UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d + 1"
        execute(plant, role=names.writer)
        code, line, said = audit("--read-only", "--url", url)
    assert (code, differing(line)) == (1, {SKIPS: 1.0})


class Answer(io.BytesIO):
    """An empty answer of the API."""

    headers = MappingProxyType({"Contract": ""})


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def urlopen(request: Request, timeout: float) -> Answer:
        sent.append(request.get_header("Authorization"))
        return Answer(b"{}")

    monkeypatch.setattr("jobs.audit.served.urlopen", urlopen)
    ask("http://api", Contract("churn_v1", ()), [{"user_id": "a"}])
    monkeypatch.setenv("STREAMFLOW_API_KEY", "sfk_one")
    ask("http://api", Contract("churn_v1", ()), [{"user_id": "a"}])
    assert sent == [None, "Bearer sfk_one"]


@pytest.mark.usefixtures("served")
def test_an_api_that_does_not_answer_is_an_error() -> None:
    code, line, said = audit("--read-only", "--url", "http://127.0.0.1:1")
    assert (code, line["outcome"]) == (1, "failed")
    assert "error: http://127.0.0.1:1 does not answer" in said


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_the_api_is_asked_where_a_url_is_given() -> None:
    with serving() as url:
        code, line, said = audit("--url", url)
        assert (code, differing(line)) == (0, {}), said
        execute(f"DELETE FROM {ONLINE} WHERE user_id = '0002-ORFBO'")
        execute(f'UPDATE {ONLINE} SET "{FEE}" = 1')
        code, line, said = audit("--url", url)
    assert code == 1
    assert differing(line) == {**dict.fromkeys(line["skew"], 0.02), FEE: 1.0}
    code, line, said = audit("--url", url)
    assert (code, line["outcome"]) == (1, "failed")
    assert "does not answer" in said


def test_the_status_says_how_runs_ended(database: str) -> None:
    with recorded("ingest"):
        pass
    with pytest.raises(ZeroDivisionError), recorded("ingest"):
        raise ZeroDivisionError
    query = (
        "SELECT done, failed, killed, running, last_outcome, last_duration IS NOT NULL"
        " FROM ops.status_of_commands WHERE command = 'ingest'"
    )
    with recorded("ingest"):
        assert execute(query) == [(1, 1, 0, 1, "failed", True)]
    execute("INSERT INTO ops.runs (command, parameters, versions) VALUES ('ingest', '{}', '{}')")
    assert execute(query) == [(2, 1, 1, 0, "killed", False)]


def test_the_ledger_knows_a_runs_lock(database: str) -> None:
    """The view's SQL repeats the lock's number, as it cannot import jobs/run/ledger.py."""
    ((definition,),) = execute("SELECT pg_get_viewdef('ops.ledger'::regclass)")
    assert str(LOCK_CLASS) in definition
