"""`materialize`: the newest values of a window, never older over newer ones by accident."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Field, OnDemandFeatureView, PushSource, StreamFeatureView
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.labeling import LabelView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Int64, String

from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.run.result import Run
from streamflow.errors import ConfigurationError, StreamflowError, UnknownName
from streamflow.feast.online.client import Vector, read
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store

NOT_READ = "nothing written since the last run, not read"
JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
JANUARY_WINDOW = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))


@pytest.fixture
def both_months(database: str, small_months: Path) -> None:
    """January and February are in the snapshot tables, nothing is online."""
    for month, day in (("month_000", JANUARY), ("month_001", FEBRUARY)):
        with recorded("ingest") as run:
            ingest(run, small_months / month, day)


def go(*window: datetime, views: tuple[str, ...] = (), force: bool = False) -> Run:
    """Runs one recorded materialization."""
    with recorded("materialize", views=list(views)) as run:
        materialize(run, *window, views=views, force=force)
    return run


def vector(user: str = "0002-ORFBO") -> Vector:
    """The online features of a user."""
    with open_store() as store:
        return read(store, contract_of(store, "churn_v1"), [user])[0]


def value(name: str) -> object:
    """One online feature of the known user."""
    return next(value for reference, value in vector().values.items() if reference.endswith(name))


@pytest.mark.usefixtures("both_months")
def test_a_window_serves_its_month() -> None:
    run = go(*JANUARY_WINDOW)
    assert (run.counts.read, run.counts.written, run.counts.late) == (200, 200, 0)
    found = vector()
    assert found.values["subs_profile_fv:months_active"] == 9
    assert found.values["subs_profile_fv:monthly_fee"] == 65.5999984741211
    assert found.values["usage_agg_30d_fv:watch_hours_30d"] == 30.80069923400879
    assert set(found.as_of.values()) == {datetime(2024, 1, 31, tzinfo=UTC)}
    assert vector("7590-VHVEG").values["subs_profile_fv:monthly_fee"] == 29.850000381469727


@pytest.mark.usefixtures("both_months")
@pytest.mark.parametrize(
    ("views", "said"),
    [
        ((), "payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv"),
        (("subs_profile_fv",), "subs_profile_fv"),
    ],
    ids=["all views", "one view"],
)
def test_a_run_that_reads_no_row_says_so_loudly(
    views: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = go(datetime(2008, 1, 1, tzinfo=UTC), datetime(2008, 6, 25, tzinfo=UTC), views=views)
    assert (run.outcome, run.counts.read) == ("done", 0)
    assert run.message == f"no row from 2008-01-01T00:00:00Z to 2008-06-25T00:00:00Z of: {said}"
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        run.message
    ]


@pytest.mark.usefixtures("both_months")
def test_a_view_without_a_row_is_named_beside_those_that_have_some() -> None:
    with psycopg.connect() as connection:
        connection.execute("DELETE FROM source.support_agg_90d_snapshots")
    run = go()
    assert run.counts.read == 300
    assert run.message.endswith(" of: support_agg_90d_fv")
    assert go(views=("subs_profile_fv",)).message == ""
    assert go(*JANUARY_WINDOW).message == ""  # of somebody's own choice


@pytest.mark.usefixtures("both_months")
def test_without_a_window_the_newest_month_is_served() -> None:
    run = go()
    assert (run.counts.read, run.counts.written) == (400, 200)
    assert value("months_active") == 10
    assert set(vector().as_of.values()) == {datetime(2024, 2, 29, tzinfo=UTC)}


@pytest.mark.usefixtures("both_months")
def test_what_nobody_wrote_is_not_read_again_until_somebody_does(
    small_months: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = go()
    caplog.set_level("INFO")
    again = go()
    told = [one for one in caplog.records if one.message == NOT_READ]
    assert [len(vars(one)["views"]) for one in told] == [4]
    assert (again.counts.read, again.counts.written) == (first.counts.read, 0)
    assert again.counts.unchanged == first.counts.written + first.counts.unchanged
    with psycopg.connect() as connection:
        for statement in (
            "UPDATE source.subscriptions_profile_snapshots SET monthly_fee = 1"
            " WHERE user_id = '0002-ORFBO'",
            "DELETE FROM source.usage_agg_30d_snapshots WHERE user_id = '0002-ORFBO'",
        ):
            connection.execute(statement)
    caplog.clear()
    assert go().counts.written == 1
    (told,) = (one for one in caplog.records if one.message == NOT_READ)
    assert vars(told)["views"] == ["payments_agg_90d_fv", "support_agg_90d_fv"]
    assert value("monthly_fee") == 1
    with recorded("ingest") as run:
        ingest(run, small_months / "month_001", FEBRUARY)
    assert go().counts.written == 2
    assert value("monthly_fee") != 1


@pytest.mark.usefixtures("both_months")
def test_an_older_window_never_replaces_newer_values() -> None:
    go()
    again = go(*JANUARY_WINDOW).counts
    assert (again.read, again.written, again.unchanged, again.older) == (200, 0, 0, 200)
    assert value("months_active") == 10


@pytest.mark.usefixtures("both_months")
def test_force_serves_exactly_the_window() -> None:
    go()
    go(*JANUARY_WINDOW, force=True)
    assert value("months_active") == 9


@pytest.mark.usefixtures("both_months")
def test_one_view_alone() -> None:
    run = go(views=("usage_agg_30d_fv",))
    assert run.counts.written == 50
    found = vector()
    assert found.as_of["usage_agg_30d_fv"] == datetime(2024, 2, 29, tzinfo=UTC)
    assert found.as_of["subs_profile_fv"] is None
    assert found.values["subs_profile_fv:months_active"] is None


@pytest.mark.usefixtures("both_months")
def test_a_late_correction_is_picked_up_and_counted(small_months: Path, tmp_path: Path) -> None:
    go()
    corrected = tmp_path / "month"
    corrected.mkdir()
    for file in (small_months / "month_001").iterdir():
        text = file.read_text()
        if file.name == "subscriptions.csv":
            line = next(line for line in text.splitlines() if line.startswith("0002-ORFBO"))
            text = text.replace(line, line.replace(",65.6,", ",70.1,"))
        (corrected / file.name).write_text(text)
    with recorded("ingest") as run:
        ingest(run, corrected, FEBRUARY)
    assert run.counts.written == 1
    assert go().counts.late == 1
    assert value("monthly_fee") == pytest.approx(70.1, abs=1e-5)


@pytest.mark.usefixtures("both_months")
def test_two_at_once_both_end_well() -> None:
    runs: list[Run] = []
    threads = [threading.Thread(target=lambda: runs.append(go())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.outcome for run in runs] == ["done", "done"]
    assert value("months_active") == 10


def test_nothing_to_materialize_is_no_failure(database: str) -> None:
    run = go()
    assert (run.outcome, run.counts.read, run.counts.written) == ("done", 0, 0)
    assert not vector().found


def test_an_upside_down_window_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--start 2024-02-01.* is after --end 2024-01-01"):
        go(*reversed(JANUARY_WINDOW))
    assert [run["outcome"] for run in recent(1)] == ["failed"]


def test_an_end_in_the_future_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match="--end 2999-01-01T00:00:00Z is in the future"):
        go(JANUARY_WINDOW[0], datetime(2999, 1, 1, tzinfo=UTC))


def test_an_unknown_view_is_named_with_the_known_ones(database: str) -> None:
    with pytest.raises(
        UnknownName, match="unknown feature view 'nope'; known: payments_agg_90d_fv"
    ):
        go(views=("nope",))


@pytest.mark.usefixtures("both_months")
def test_online_times_are_right_where_the_database_is_not_in_utc(database: str) -> None:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET TimeZone = 'Pacific/Auckland'")
    go(*JANUARY_WINDOW)
    assert set(vector().as_of.values()) == {datetime(2024, 1, 31, tzinfo=UTC)}


@pytest.mark.usefixtures("both_months")
def test_a_source_query_may_hold_a_percent_sign() -> None:
    with open_store() as store:
        view = store.get_feature_view("payments_agg_90d_fv")
        view.batch_source = PostgreSQLSource(
            name="some",
            query="SELECT * FROM source.payments_agg_90d_snapshots WHERE user_id LIKE '7590-%'",
            timestamp_field="as_of",
            created_timestamp_column="loaded_at",
        )
        store.registry.apply_feature_view(view, store.project)
    run = go(*JANUARY_WINDOW, views=("payments_agg_90d_fv",))
    assert (run.counts.read, run.counts.written) == (1, 1)


@pytest.mark.usefixtures("both_months")
@pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")
def test_views_of_every_class_are_materialized_and_one_that_fails_leaves_the_others_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def plus_one(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"more": [one + 1 for one in inputs["failed_payments_90d"]]}

    def broken(inputs: dict[str, Any]) -> dict[str, Any]:
        if len(inputs["failed_payments_90d"]) > 1:  # Feast tries it with one row when it applies
            raise ArithmeticError("cannot compute")
        return {"more": [0]}

    with open_store() as store:
        payments = store.get_feature_view("payments_agg_90d_fv")
        user = store.get_entity("user")

        def on_demand(name: str, udf: Any) -> OnDemandFeatureView:
            return OnDemandFeatureView(
                name=name,
                entities=[user],
                sources=[payments],
                schema=[Field(name="user_id", dtype=String), Field(name="more", dtype=Int64)],
                feature_transformation=PythonTransformation(udf=udf, udf_string=name),
                mode="python",
                write_to_online_store=True,
            )

        pushes = PushSource(name="payments", batch_source=payments.batch_source)
        fields = {"user_id": String, "failed_payments_90d": Int64}
        stream = StreamFeatureView(
            name="payments_stream",
            entities=[user],
            source=pushes,
            schema=[Field(name=name, dtype=dtype) for name, dtype in fields.items()],
        )
        labels = LabelView(
            name="labels",
            entities=[user],
            schema=stream.schema,
            source=PushSource(name="labelling", batch_source=payments.batch_source),
        )
        store.apply([labels, stream, on_demand("a_broken", broken), on_demand("more", plus_one)])
    with caplog.at_level("INFO"), pytest.raises(ArithmeticError, match="cannot compute"):
        go()
    said = {r.view: (r.way, r.written) for r in caplog.records if r.message == "view materialized"}
    assert said["payments_stream"] == said["payments_agg_90d_fv"] == ("database", 50)
    assert said["more"] == ("feast", 50)
    with open_store() as store:
        asked = ["payments_stream:failed_payments_90d", "more:more"]
        found = store.get_online_features(asked, {"user_id": ["0002-ORFBO"]}).to_dict()
    assert found["more"][0] == found["failed_payments_90d"][0] + 1
    with open_store() as store:
        store.delete_feature_view("a_broken")
        disabled = store.get_feature_view("payments_agg_90d_fv")
        disabled.name, disabled.enabled = "disabled", False
        store.apply([disabled])
    assert go().outcome == go(views=("more", "payments_stream")).outcome == "done"
    with pytest.raises(UnknownName, match="unknown feature view 'labels'; known: disabled, more"):
        go(views=("labels",))


@pytest.mark.usefixtures("both_months")
def test_a_view_that_fails_fails_the_run_and_leaves_the_others_done() -> None:
    with psycopg.connect() as connection:
        connection.execute(
            "ALTER TABLE source.payments_agg_90d_snapshots RENAME failed_payments_90d TO gone"
        )
    with pytest.raises(StreamflowError, match="failed_payments_90d"):
        go()
    last = recent(1)[0]
    assert (last["outcome"], last["written"]) == ("failed", 150)
