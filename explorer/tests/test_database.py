"""A database that is empty, away, slow, locked, or another project's."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drills.pooler import Pooler
from explorer.database import Database
from explorer.settings import ExplorerSettings
from explorer.tests.conftest import any_user, page, serving, statement
from explorer.tests.html import faults, parsed
from streamflow.errors import StreamflowError
from streamflow.registry.messages import CLASSES

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")
SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.mark.parametrize("is_pooled", [False, True])
def test_nothing_can_be_written_by_its_connections(is_pooled, monkeypatch, server, copy):
    with contextlib.ExitStack() as stack:
        if is_pooled:
            pooler = stack.enter_context(Pooler(server, size=2))
            for name, value in pooler.environment.items():
                monkeypatch.setenv(name, value)
        database = Database(ExplorerSettings())
        database.open()
        stack.callback(database.close)
        for writing in ("DELETE FROM ops.runs", "CREATE TABLE public.mine ()"):
            with (
                pytest.raises(StreamflowError, match="read-only"),
                database.reading() as connection,
            ):
                connection.execute(writing)


def test_its_own_role_sees_on_every_page_what_a_superuser_sees(
    databases, server, filled_template, monkeypatch
):
    from jobs.tests.acting import PASSWORDS, acting, db_roles, done, roles_of_their_own

    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    with (
        roles_of_their_own(databases, server) as names,
        databases.database_of(server, filled_template, monkeypatch),
    ):
        paths = ["/", "/features", "/features?q=fee", "/views/subs_profile_fv", "/runs", "/runs/1"]
        paths += ["/features/subs_profile_fv/monthly_fee", "/services/churn_v1"]
        paths += [f"/users?id={any_user()}"]
        done(db_roles(names))
        with serving() as client:
            expected = {path: without_ages(page(client, path).main.text) for path in paths}
        with acting(names.viewer), serving() as client:
            found = {path: without_ages(page(client, path).main.text) for path in paths}
        assert found == expected


def without_ages(text: str) -> str:
    """The text of a page without the seconds that passed since something happened."""
    return re.sub(r"\d+ (second|minute)s?( ago)?", "", text)


def test_a_database_that_goes_away_is_said_and_pages_come_back_with_it(disconnect):
    with serving() as client:
        page(client, "/")
        disconnect(False)
        for path in ("/", "/features?q=fee", "/runs/1"):
            began = time.monotonic()
            answer = client.get(path)
            assert answer.status_code == 503
            assert time.monotonic() - began < 6
            assert answer.headers["retry-after"] == "5"
            found = parsed(answer.text)
            assert found.heading == "The database cannot be read"
            assert "not currently accepting connections" in found.main.text
            assert faults(found) == []
            assert found.links()["Look again"] == path
            assert "data-retry" in answer.text
        assert client.get("/livez").status_code == 200
        assert client.get("/static/explorer.css").status_code == 200
        disconnect(True)
        page(client, "/")
        disconnect(True)  # the connections of the pool are dead, and nobody told it
        for _ in range(5):
            page(client, "/runs")


def test_without_any_server_the_cause_is_said(monkeypatch, tmp_path):
    for name, value in {
        "PGHOST": str(tmp_path),
        "PGUSER": "postgres",
        "PGDATABASE": "streamflow",
    }.items():
        monkeypatch.setenv(name, value)
    with serving(wait_s=0.5) as client:
        found = page(client, "/", 503)
        assert "No such file or directory" in found.main.text
        assert "Traceback" not in found.main.text


@pytest.mark.usefixtures("empty_database")
def test_an_empty_database_says_what_to_run_and_shows_it_when_it_ran():
    from jobs.apply.apply import apply

    with serving() as client:
        for path in ("/", "/features", "/users?id=1", "/runs", "/services/churn_v1"):
            found = page(client, path, 503)
            assert found.heading == "There is nothing to show yet"
            assert "streamflow apply" in found.main.text
        apply()
        assert "churn_v1" in page(client, "/features").links()


@pytest.mark.usefixtures("copy")
def test_a_statement_that_takes_too_long_is_ended_and_said():
    with serving(statement_timeout_s=1) as client, psycopg.connect() as connection:
        connection.execute("LOCK TABLE ops.runs IN ACCESS EXCLUSIVE MODE")
        found = page(client, "/runs", 503)
        assert "took longer than" in found.main.text
        page(client, "/features")
        connection.rollback()
        page(client, "/runs")


@pytest.mark.usefixtures("copy")
def test_when_all_connections_are_in_use_it_is_said():
    with serving(pool_size=1, wait_s=0.3, statement_timeout_s=3) as client:
        page(client, "/")
        with psycopg.connect() as connection:
            connection.execute("LOCK TABLE ops.runs IN ACCESS EXCLUSIVE MODE")
            waiting = threading.Thread(target=client.get, args=["/runs"])
            waiting.start()
            time.sleep(0.5)
            found = page(client, "/features", 503)
            assert "all 1 connections of the explorer are in use" in found.main.text.lower()
            waiting.join()


@pytest.mark.usefixtures("copy")
def test_without_the_registry_pages_say_what_they_lack():
    with serving() as client:
        statement("DROP SCHEMA registry CASCADE")
        statement("UPDATE ops.catalog SET version = version + 1")
        found = page(client, "/features")
        assert "Tags, owners and sources are not shown" in found.text
        assert len(found.rows("Features of subs_profile_fv")) == 6
        user = page(client, "/users", id=any_user())
        assert "its source is not known here" in user.main.text
        page(client, "/features/subs_profile_fv/monthly_fee")
        assert "streamflow" in page(client, "/services/churn_v1").text


@pytest.mark.usefixtures("copy")
def test_a_tag_that_changes_is_shown_although_the_catalog_is_the_same():
    where = "WHERE feature_view_name = 'subs_profile_fv'"
    ((message,),) = statement(f"SELECT feature_view_proto FROM registry.feature_views {where}")
    entry = CLASSES["FeatureView"].FromString(message)
    entry.spec.owner = "team-churn@example.com"
    entry.spec.features[0].tags.add(key="unit", value="lunar months")
    with serving() as client:
        assert "lunar" not in page(client, "/features").text
        statement(
            f"UPDATE registry.feature_views SET feature_view_proto = %s {where}",
            entry.SerializeToString(),
        )
        found = page(client, "/features").text
        assert "unit: lunar months" in found
        assert "owner team-churn@example.com" in found
        assert "Tags, owners" not in found
        assert "months_active" in page(client, "/features", q="lunar").main.text


@pytest.mark.usefixtures("copy")
def test_a_catalog_of_a_later_version_is_said():
    with serving() as client:
        statement("UPDATE ops.catalog SET version = version + 1, format = 999")
        found = page(client, "/", 503)
        assert "format 999" in found.main.text


@pytest.mark.usefixtures("copy")
def test_a_database_of_before_there_were_statistics_is_shown_without():
    statement(
        "DROP TABLE ops.drift, ops.statistics, ops.statistics_edges, ops.statistics_months CASCADE"
    )
    with serving() as client:
        assert any("No month has statistics" in one for one in page(client, "/").statements())
        for path in (
            "/features",
            "/views/subs_profile_fv",
            "/features/subs_profile_fv/monthly_fee",
        ):
            page(client, path)


@pytest.fixture(scope="module")
def shop(databases: Any, server: dict[str, str]) -> Iterator[str]:
    """The example of another project: its tables filled, its features applied and online."""
    from jobs.apply.apply import apply
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded

    with (
        pytest.MonkeyPatch.context() as patch,
        databases.database_of(server, "template0", patch) as name,
    ):
        patch.setenv("STREAMFLOW_FEATURE_REPO", str(SHOP))
        with psycopg.connect() as connection:
            connection.execute((SHOP / "application.sql").read_bytes())
        apply()
        with recorded("materialize") as run:
            materialize(run)
        patch.delenv("STREAMFLOW_FEATURE_REPO")
        yield name


@pytest.mark.usefixtures("shop")
def test_a_project_of_another_kind_is_shown_as_well():
    with serving() as client:
        home = page(client, "/")
        assert home.heading == "Everything is well"
        assert "example_shop" in home.text
        service = page(client, "/services/return_v1")
        assert "order_computed" in service.one("svg", class_="lineage").text
        assert '"shop_id": [1]' in service.every("code")[1].text
        computed = page(client, "/features/order_computed/total")
        assert "price * quantity" in computed.main.text
        assert "computed when it is asked for" in computed.main.text
        stored = page(client, "/features/customer_daily/spent_7d")
        assert "streamflow stats --view customer_daily" in stored.main.text


@pytest.mark.usefixtures("shop")
def test_keys_of_several_parts_and_types_are_asked_by_their_parts():
    with serving() as client:
        form = page(client, "/users?by=shop_id,sku")
        assert [one.text for one in form.every("label")] == ["shop_id", "sku"]
        found = page(client, "/users?by=shop_id,sku&id=1&id=tea")
        text = found.main.text
        assert "product_hourly" in text
        assert "▲ differs" not in text
        assert "● same" in text
        for query, said in {
            "id=x&id=tea": "shop_id is a whole number, and x is none",
            "id=1": "A key of these views is shop_id and sku",
            "id=99999999999999999999&id=tea": "shop_id is a whole number, and",
            "id=9223372036854775808&id=tea": "too large",
            "id=-1&id=tea": "No view has a value",
        }.items():
            assert said in page(client, f"/users?by=shop_id,sku&{query}").main.text
        anna = page(client, "/users?by=customer_id&id=anna").main.text
        assert "{pot,cup" in anna or "{tea" in anna
        assert "▲ differs" not in anna


@pytest.mark.usefixtures("shop")
def test_a_project_that_is_not_there_is_said():
    with serving(project="elsewhere") as client:
        assert "no project elsewhere yet" in page(client, "/", 503).main.text
