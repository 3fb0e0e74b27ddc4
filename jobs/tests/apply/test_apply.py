"""`apply`: the plan, the change, nothing twice, nothing removed by accident."""

import os
import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from jobs.apply.apply import apply, plan
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from streamflow.errors import ConfigurationError, RemovalNotAllowed
from streamflow.feast.online.client import read
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect


def edit(repo: Path, before: str, after: str) -> None:
    """Replaces text in the definitions."""
    file = repo / "definitions.py"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def with_contract_type(repo: Path) -> None:
    """Makes `contract_type` a feature of subs_profile_fv."""
    edit(
        repo,
        "plan_stream_movies, net_service\n",
        "plan_stream_movies, net_service, contract_type\n",
    )
    edit(
        repo,
        '        Field(\n            name="net_service",',
        '        Field(name="contract_type", dtype=String, description="Contract term."),\n'
        '        Field(\n            name="net_service",',
    )


def remove(repo: Path, start: str, end: str) -> None:
    """Cuts the definitions from `start` up to `end`."""
    file = repo / "definitions.py"
    text = file.read_text()
    file.write_text(text[: text.index(start)] + text[text.index(end) :])


def test_an_empty_database_gets_schema_and_registry(empty_database: str) -> None:
    shown: list[str] = []
    what, run = apply(show=shown.append)
    assert shown == [str(what)]
    assert str(what).splitlines() == [
        "+ schema source, registry, online, ops",
        "+ project streamflow",
        "+ data source payments_agg_90d_source",
        "+ data source subs_profile_source",
        "+ data source support_agg_90d_source",
        "+ data source usage_agg_30d_source",
        "+ entity user",
        "+ feature view payments_agg_90d_fv",
        "+ feature view subs_profile_fv",
        "+ feature view support_agg_90d_fv",
        "+ feature view usage_agg_30d_fv",
        "+ feature service churn_v1",
        "+ feature service profile_v1",
    ]
    assert (run.outcome, run.counts.written, run.counts.unchanged) == ("done", 12, 0)
    with open_store() as store:
        assert len(contract_of(store, "churn_v1").features) == 14


def test_a_second_apply_finds_nothing_to_do(database: str) -> None:
    what, run = apply()
    assert what.changes == ()
    assert str(what).startswith("nothing to do")
    assert (run.counts.written, run.counts.unchanged) == (0, 12)


ON_DEMAND = """
import pandas as pd
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

@on_demand_feature_view(sources=[subs_profile_fv], schema=[Field(name="doubled", dtype=Float64)],
    tags={"state": "tried"})
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"doubled": inputs["monthly_fee"] * 2.0})
"""


@pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")
def test_code_of_a_view_is_compared_by_its_text(database: str, repo: Path) -> None:
    file = repo / "definitions.py"
    text = file.read_text()
    file.write_text(text + ON_DEMAND)
    apply()
    assert plan().changes == (), str(plan())
    file.write_text(f"{text}\n\n# Lower down in the file.\n{ON_DEMAND}")
    assert plan().changes == (), str(plan())
    edit(repo, "* 2.0", "* 3.0")
    (change,) = plan().changes
    assert (change.kind, change.name) == ("on demand feature view", "doubled")
    (said,) = change.details
    assert said.startswith("feature_transformation.user_defined_function.body_text: ")
    assert said.endswith('"monthly_fee"] * 3.0})')


@pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")
def test_a_tag_may_be_called_as_what_feast_fills_in(database: str, repo: Path) -> None:
    edit(repo, "tags=MONTHLY,", 'tags={**MONTHLY, "state": "tried", "project": "a"},')
    apply()
    edit(repo, '"state": "tried", "project": "a"', '"state": "proven", "project": "b"')
    details = {one for change in plan().changes for one in change.details}
    assert details >= {"tags.state: tried → proven", "tags.project: a → b"}


OF_ANOTHER_CLASS = {
    "a file is a table now": (
        "FileSource(name='other', path='there.parquet', timestamp_field='as_of')",
        "PostgreSQLSource(name='other', query=QUERY, timestamp_field='as_of')",
    ),
    "a table is pushed to now": (
        "PostgreSQLSource(name='other', query=QUERY, timestamp_field='as_of')",
        "PushSource(name='other', batch_source=subs_profile_source)",
    ),
    "pushes are requests now": (
        "PushSource(name='other', batch_source=subs_profile_source)",
        "RequestSource(name='other', schema=[Field(name='n', dtype=Int64)])",
    ),
    "a plain view is one of batches now": (
        "view(FeatureView)",
        "view(BatchFeatureView, mode='python', udf=lambda rows: rows, udf_string='x')",
    ),
    "a view of batches is a plain one now": (
        "view(BatchFeatureView, mode='python', udf=lambda rows: rows, udf_string='x')",
        "view(FeatureView)",
    ),
}
CLASSES = """
from feast import BatchFeatureView, Field, FileSource, PushSource, RequestSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource)
from feast.types import Int64
QUERY = "SELECT user_id, as_of, months_active FROM source.subscriptions_profile_snapshots"

def view(kind, **more):
    return kind(name="other", entities=[user], source=subs_profile_source,
        schema=[Field(name="months_active", dtype=Int64)], **more)

other = """


@pytest.mark.filterwarnings("ignore:Batch feature views are:RuntimeWarning")
@pytest.mark.parametrize(("before", "after"), OF_ANOTHER_CLASS.values(), ids=OF_ANOTHER_CLASS)
def test_what_has_another_class_now_is_applied(
    database: str, repo: Path, before: str, after: str
) -> None:
    file = repo / "definitions.py"
    text = file.read_text() + CLASSES
    file.write_text(text + before)
    apply()
    file.write_text(text + after)
    shown, _ = apply()
    assert [(one.action, one.name) for one in shown.changes] == [("changed", "other")]
    assert plan().changes == ()


def test_plan_changes_nothing(empty_database: str) -> None:
    assert len(plan().changes) == 13
    with connect() as connection:
        assert schema.state(connection) == "missing"
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace >= 16384"
        assert connection.execute(tables).fetchone() == (0,)


def test_a_changed_definition_is_shown_with_its_difference(database: str, repo: Path) -> None:
    edit(repo, '"fresh_for_days": "38"', '"fresh_for_days": "40"')
    edit(repo, "Payments over the last 90 days.", "Payments of the last 90 days.")
    shown = str(plan()).splitlines()
    at = shown.index("~ feature view payments_agg_90d_fv")
    assert shown[at + 1 : at + 3] == [
        "    description: Payments over the last 90 days. → Payments of the last 90 days.",
        "    tags.fresh_for_days: 38 → 40",
    ]
    apply()
    assert plan().changes == (), str(plan())


def test_an_added_feature_is_shown_applied_and_served(database: str, repo: Path) -> None:
    with_contract_type(repo)
    shown = str(plan())
    assert "    features.contract_type.value_type: – → STRING" in shown
    assert "~ feature service churn_v1" in shown
    assert "plan_stream_movies, net_service FROM source.subscriptions_profile_snapshots → " in shown
    apply()
    with open_store() as store:
        names = [one.name for one in contract_of(store, "churn_v1").features]
    assert names.index("contract_type") == names.index("net_service") - 1


def test_a_view_in_use_is_removed_only_on_request(database: str, repo: Path) -> None:
    edit(
        repo,
        "usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv]",
        "usage_agg_30d_fv, payments_agg_90d_fv]",
    )
    remove(repo, "support_agg_90d_fv = FeatureView(", "churn_v1 = FeatureService(")
    remove(repo, "support_agg_90d_source = PostgreSQLSource(", "subs_profile_fv = FeatureView(")
    with pytest.raises(RemovalNotAllowed) as refused:
        apply()
    assert str(refused.value) == (
        "feature view support_agg_90d_fv is used by feature service churn_v1; "
        "nothing was changed, --allow-removal removes it"
    )
    with open_store() as store:
        assert len(contract_of(store, "churn_v1").features) == 14

    what, _ = apply(allow_removal=True)
    assert "- feature view support_agg_90d_fv" in str(what)
    assert "- data source support_agg_90d_source" in str(what)
    with open_store() as store:
        assert len(contract_of(store, "churn_v1").features) == 12
        assert "support_agg_90d_fv" not in {view.name for view in store.list_feature_views()}
    with connect() as connection:
        gone = connection.execute("SELECT to_regclass('online.streamflow_support_agg_90d_fv')")
        assert gone.fetchone() == (None,)
    assert plan().changes == (), str(plan())


def test_a_service_nobody_needs_is_removed_without_asking(database: str, repo: Path) -> None:
    file = repo / "definitions.py"
    text = file.read_text()
    file.write_text(text[: text.index("profile_v1 = FeatureService(")])
    what, _ = apply()
    assert [str(change) for change in what.changes] == ["- feature service profile_v1"]


def test_definitions_that_do_not_load_change_nothing(database: str, repo: Path) -> None:
    edit(repo, "dtype=Float32", "dtype=Float31")
    with pytest.raises(
        ConfigurationError, match=r"the definitions do not load: NameError: .*Float31"
    ):
        apply()
    assert recent(1) == []


def test_an_older_schema_is_migrated_and_keeps_its_rows(database: str) -> None:
    with psycopg.connect() as connection:
        connection.execute("INSERT INTO source.labels_snapshots VALUES ('a', '2024-01-31', true)")
        connection.execute("ALTER TABLE ops.runs RENAME TO runs_of_an_older_version")
        connection.execute("UPDATE ops.schema_version SET sha256 = 'older'")
    what, _ = apply()
    assert [(one.action, one.kind) for one in what.changes] == [("changed", "schema")]
    with connect() as connection:
        assert schema.state(connection) == "current"
        kept = connection.execute("SELECT user_id FROM source.labels_snapshots").fetchall()
        assert kept == [("a",)]
    assert len(recent(5)) == 1


@pytest.mark.slow
def test_eight_at_once_on_an_empty_database(empty_database: str) -> None:
    # One process loads Feast and forks, so that eight copies start at the same instant.
    code = textwrap.dedent("""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        import feast.feature_store, feast.repo_operations, feast.infra.registry.sql
        from streamflow import logs
        from jobs.apply.apply import apply
        children = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                try:
                    what, run = apply()
                    print(run.counts.written, flush=True)
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), flush=True)
                    os._exit(1)
            children.append(child)
        sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert sorted(done.stdout.split()) == ["0"] * 7 + ["12"], done.stdout + done.stderr
    assert done.returncode == 0
    outcomes = [run["outcome"] for run in recent(20)]
    assert outcomes == ["done"] * 8


def test_what_a_killed_apply_left_undone_is_completed(database: str) -> None:
    """Feast writes the registry first: a run that is killed then leaves the tables as they were."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute('DROP TABLE online."streamflow:user_id"')
        connection.execute("DELETE FROM ops.catalog")
    what, run = apply()
    assert str(what) == "~ online tables as the registry says"
    assert (run.counts.read, run.counts.written) == (12, 0)
    with psycopg.connect(autocommit=True) as connection:
        connection.execute('SELECT "subs_profile_fv:monthly_fee" FROM online."streamflow:user_id"')
    assert str(apply()[0]).startswith("nothing to do")


def test_the_catalog_changes_only_with_the_definitions(repo: Path, database: str) -> None:
    def version() -> int:
        with psycopg.connect(autocommit=True) as connection:
            row = connection.execute("SELECT version FROM ops.catalog").fetchone()
            assert row is not None
            return int(row[0])

    before = version()
    apply()
    assert version() == before
    edit(repo, "Subscription profile at the month's end.", "Subscription profile.")
    apply()
    assert version() == before + 1


def test_a_new_feature_is_filled_as_far_as_its_view_was_materialized(
    repo: Path, database: str, small_months: Path
) -> None:
    for month, day in (("month_000", date(2024, 1, 31)), ("month_001", date(2024, 2, 29))):
        with recorded("ingest") as run:
            ingest(run, small_months / month, day)
    with recorded("materialize") as run:
        materialize(run, end=datetime(2024, 2, 1, tzinfo=UTC))
    with_contract_type(repo)
    apply()
    with open_store() as store:
        (found,) = read(store, contract_of(store, "churn_v1"), ["0002-ORFBO"])
    assert found.values["subs_profile_fv:contract_type"] == "One year"
    assert found.values["subs_profile_fv:months_active"] == 9
    assert found.as_of["subs_profile_fv"] == datetime(2024, 1, 31, tzinfo=UTC)
