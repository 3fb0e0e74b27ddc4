"""`apply` says which contract it supersedes, and which older ones it leaves unanswered."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from api.tests.conftest import ready, serving, wait_until
from jobs.apply.apply import apply, plan
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import copy_repository, execute
from jobs.tests.apply.test_apply import edit, with_contract_type
from streamflow.errors import RemovalNotAllowed

CHURN, PROFILE = "210c99bb71d5f508", "3c0829dcc18ce4d1"
NAMES = '["months_active", "monthly_fee", "paperless_billing"]'


def contract_of(service: str) -> str:
    query = "SELECT document->'services'->%s->>'contract' FROM ops.catalog"
    return str(execute(query, service)[0][0])


def contract_lines(shown: Any) -> list[str]:
    """The lines of a plan from the first contract on."""
    lines = str(shown).splitlines()
    at = [number for number, line in enumerate(lines) if line[1:].startswith(" contract ")]
    return lines[at[0] :] if at else []


def test_an_apply_that_changes_no_contract_says_nothing_of_one(database: str, repo: Path) -> None:
    assert contract_lines(plan()) == []
    edit(repo, '"fresh_for_days": "38"', '"fresh_for_days": "40"')
    assert contract_lines(plan()) == []
    found = execute("SELECT service, contract, superseded_at FROM ops.contracts ORDER BY service")
    assert found == [("churn_v1", CHURN, None), ("profile_v1", PROFILE, None)]


def test_the_plan_and_the_apply_say_what_is_superseded(database: str, repo: Path) -> None:
    with_contract_type(repo)
    planned = plan()
    what, run = apply()
    now = contract_of("churn_v1")
    assert (
        contract_lines(what)
        == contract_lines(planned)
        == [
            f"~ contract churn_v1 {CHURN}",
            f"    superseded by {now}",
            "    goes on being answered by its own list",
        ]
    )
    assert run.counts.written == 3  # source, view and service; contracts are no definitions
    assert str(plan()).startswith("nothing to do")
    copy_repository(repo)
    assert contract_lines(plan()) == [
        f"~ contract churn_v1 {CHURN}",
        "    the present one again",
        f"- contract churn_v1 {now}",
        f"    superseded by {CHURN}",
        "    not answered any more:",
        "    subs_profile_fv:contract_type was String, which feature view subs_profile_fv does not"
        " have any more",
    ]
    apply()
    assert contract_of("churn_v1") == CHURN


@pytest.mark.slow
def test_an_older_one_that_is_answered_no_more_is_said_and_keeps_nothing_back(
    database: str, repo: Path
) -> None:
    edit(repo, NAMES, '["months_active", "paperless_billing"]')
    assert contract_lines(apply()[0])[0] == f"~ contract profile_v1 {PROFILE}"
    now = contract_of("profile_v1")
    edit(repo, '"months_active", "paperless_billing"]', '"months_active"]')
    lines = contract_lines(apply()[0])
    assert lines[0] == f"~ contract profile_v1 {now}"
    assert PROFILE not in str(lines)  # superseded before, and answered as before
    file = repo / "definitions.py"
    text = file.read_text()
    start = text.index('        Field(\n            name="monthly_fee"')
    end = text.index("        Field(\n", start + 10)
    file.write_text(text[:start] + text[end:])
    gone = (
        "    subs_profile_fv:monthly_fee was Float32, which feature view subs_profile_fv does not"
        " have any more"
    )
    lines = contract_lines(apply()[0])
    assert lines[-3:] == [
        f"- contract profile_v1 {PROFILE}",
        "    not answered any more:",
        gone,
    ]
    assert f"- contract churn_v1 {CHURN}" in lines
    assert contract_lines(plan()) == []


def test_a_service_that_is_removed_says_enough(database: str, repo: Path) -> None:
    file = repo / "definitions.py"
    text = file.read_text()
    file.write_text(text[: text.index("profile_v1 = FeatureService(")])
    assert str(plan()) == "- feature service profile_v1"


@pytest.mark.slow
def test_days_end_one_and_the_plan_says_so(
    database: str, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(repo, NAMES, '["months_active"]')
    apply()
    monkeypatch.setenv("STREAMFLOW_CONTRACT_RETENTION_DAYS", "10")
    execute("UPDATE ops.contracts SET superseded_at = '2024-01-31' WHERE superseded_at IS NOT NULL")
    what, run = apply()
    assert str(what).splitlines() == [
        "~ online tables as the registry says",
        f"- contract profile_v1 {PROFILE}",
        "    ends, superseded on 2024-01-31, 10 days",
    ]
    assert run.counts.written == 0
    assert str(plan()).startswith("nothing to do")
    with serving(service="profile_v1") as client:
        wait_until(lambda: ready(client))
        refused = client.get("/features/a", headers={"If-Contract": PROFILE})
        assert refused.status_code == 409
        assert "superseded on 2024-01-31 and ended on " in refused.json()["detail"]


def test_a_database_of_before_gets_its_list_by_an_apply_of_the_same(database: str) -> None:
    """The database as 0.1.0 left it: neither the table nor sources in the catalog."""
    execute("DROP TABLE ops.contracts")
    execute("DELETE FROM ops.migrations WHERE number >= 5")
    execute("UPDATE ops.catalog SET document = (document::jsonb - 'sources')::json")
    applied_at = execute("SELECT applied_at FROM ops.catalog")[0][0]
    planned = str(plan()).splitlines()
    assert planned[0] == "~ schema source, registry, online, ops"
    assert planned[-1] == "~ online tables as the registry says"
    what, _ = apply()
    assert str(what).splitlines() == planned
    found = execute("SELECT service, contract, since, superseded_at FROM ops.contracts ORDER BY 1")
    assert found == [
        ("churn_v1", CHURN, applied_at, None),
        ("profile_v1", PROFILE, applied_at, None),
    ]
    assert str(plan()).startswith("nothing to do")


def test_a_refused_apply_keeps_no_list(database: str, repo: Path) -> None:
    edit(repo, ", support_agg_90d_fv]", "]")
    text = (repo / "definitions.py").read_text()
    start = text.index("support_agg_90d_fv = FeatureView(")
    (repo / "definitions.py").write_text(text[:start] + text[text.index("churn_v1 = Fe") :])
    with pytest.raises(RemovalNotAllowed):
        apply()
    assert execute("SELECT count(*) FROM ops.contracts") == [(2,)]


def test_a_model_of_yesterday_is_answered_bit_for_bit(
    database: str, repo: Path, small_months: Path
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with recorded("materialize", views=[]) as run:
        materialize(run)
    pinned = {"If-Contract": CHURN}
    with serving() as client:
        wait_until(lambda: ready(client))
        before = client.get("/features/0002-ORFBO", headers=pinned)
        with_contract_type(repo)
        apply()
        after = client.get("/features/0002-ORFBO", headers=pinned)
        assert "superseded" in after.text
        features = b'"features":'
        assert after.content.partition(features)[2].startswith(
            before.content.partition(features)[2].partition(b',"metadata"')[0]
        )
        now = client.get("/features/0002-ORFBO").json()
        assert now["features"]["contract_type"] == "One year"
        copy_repository(repo)
        apply()
        again = client.get("/features/0002-ORFBO", headers=pinned).json()
        assert "superseded" not in again["metadata"]
        later = {"If-Contract": now["metadata"]["contract"]}
        refused = client.get("/features/0002-ORFBO", headers=later)
        assert refused.status_code == 409
        assert refused.json()["differences"] == [
            "subs_profile_fv:contract_type was String, which feature view subs_profile_fv does "
            "not have any more"
        ]
