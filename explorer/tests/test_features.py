"""Features, services and views: what they are, found by a search, and asked for."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from explorer.tests.conftest import any_user, page, serving, statement

FEATURES = 14


def shown(found) -> set[str]:
    """The features in the tables of a page."""
    tables = [one for one in found.every("table") if one.attributes.get("class") == "features"]
    return {row.every("th")[0].text for one in tables for row in one.every("tbody")[0].every("tr")}


def test_all_features_are_listed_by_view_with_type_and_meaning(client):
    found = page(client, "/features")
    assert len(shown(found)) == FEATURES
    assert f"{FEATURES} features" in found.main.text
    assert ["monthly_fee", "Float32", "Fee of the current plan, in US dollars per month."] in (
        found.rows("Features of subs_profile_fv")
    )
    assert "fresh_for_days: 38" in found.main.text
    assert {"churn_v1", "profile_v1"} <= set(found.links())


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("fee", {"monthly_fee"}),
        ("FEE us dollars", {"monthly_fee"}),
        ("stalls", {"rebuffer_events_7d"}),
        ("float32 hours", {"watch_hours_30d", "ticket_avg_resolution_hrs_90d"}),
        ("payments_agg", {"failed_payments_90d"}),
        ("no such thing", set()),
        ("<script>alert(1)</script>", set()),
        ("%' OR 1=1 --", set()),
        ("x" * 5000, set()),
        ("\0", set()),
    ],
)
def test_a_search_finds_by_name_type_and_description(client, search, expected):
    found = page(client, "/features", q=search)
    assert shown(found) == expected
    assert not [one for one in found.every("script") if "src" not in one.attributes]
    assert found.one("input", id="q").attributes["value"] == search.strip()[:200]


def test_a_service_has_its_contract_in_order_and_its_way(client):
    found = page(client, "/services/churn_v1")
    rows = found.rows("Features of churn_v1")
    assert len(rows) == FEATURES
    assert rows[0][:3] == ["months_active", "subs_profile_fv", "Int64"]
    assert rows[-1][:2] == ["ticket_avg_resolution_hrs_90d", "support_agg_90d_fv"]
    (button,) = [one for one in found.every("button") if len(one.attributes["data-copy"]) == 16]
    assert button.attributes["data-copy"] in found.main.text
    picture = found.one("svg", class_="lineage")
    assert "table subscriptions_profile_snapshots" in picture.text
    assert "file subscriptions.csv" in picture.text
    ways = [one for one in picture.every("path") if one.attributes["class"] == "arrow"]
    assert len(ways) == 4 * 3 + 1  # of each file to its table, view and service; to a training set
    linked = {one.attributes["href"] for one in picture.every("a")}
    assert {"/views/subs_profile_fv", "/runs?command=ingest"} <= linked
    (training,) = found.rows("The newest training sets")
    assert training[2] == "2024-01-31"


@pytest.mark.usefixtures("filled")
def test_the_requests_of_a_service_are_answered_as_they_stand(tmp_path: Path):
    """Copied from the page, with a real user and the address of a real API."""
    from api.tests.conftest import ready, wait_until
    from api.tests.conftest import serving as serving_api

    user = any_user()
    with serving_api() as api:
        wait_until(lambda: ready(api))
        with serving(api_url=str(api.base_url).rstrip("/")) as client:
            found = page(client, "/services/profile_v1")
        curl, python = (
            found.every("button")[at].attributes["data-copy"].replace("USER_ID", user)
            for at in (1, 2)
        )
        for command in (curl.split(" ", 1), [sys.executable, "-c", python]):
            given = ["sh", "-c", curl] if command[0] == "curl" else command
            said = subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)
            assert said.returncode == 0, said.stderr
            assert "monthly_fee" in said.stdout


@pytest.mark.usefixtures("copy")
def test_a_service_lists_the_contracts_that_it_had():
    statement("""
        INSERT INTO ops.contracts SELECT project, service, '0123456789abcdef', features, views,
            since - interval '9 days', since, NULL, now() FROM ops.contracts
        WHERE service = 'churn_v1'""")
    with serving() as client:
        ((contract, _, _, answered, last),) = page(client, "/services/churn_v1").rows(
            "Callers that name"
        )
        assert contract == "0123456789abcdef"
        assert answered.startswith("no longer, since ")
        assert last == "–"
        assert "Contracts before" not in page(client, "/services/profile_v1").main.text


ASKED = """
    SELECT ops.note_callers(
        project, array[service], array[contract], array[%s], array[%s::int8], '{0}')
    FROM ops.contracts WHERE service = 'churn_v1' AND (superseded_at IS NULL) = %s"""
"""Notes requests of a caller, for the present contract or an older one."""
ASKERS = "Callers of churn_v1, as the API notes them every minute"
ALL, SOME = "every service, and single features", "services that are named, this one among them"


@pytest.mark.usefixtures("copy")
def test_a_service_tells_who_asks_for_it_and_who_may(tmp_path: Path):
    for name, services in {"risk": "churn_v1", "care": "", "ads": "profile_v1"}.items():
        (tmp_path / name).write_text(f"{sha256(name.encode()).hexdigest()} {services}")
    statement("""
        INSERT INTO ops.contracts SELECT project, service, '0123456789abcdef', features, views,
            since - interval '9 days', since FROM ops.contracts WHERE service = 'churn_v1'""")
    statement(ASKED, "gone", 7, True)
    statement(ASKED, "risk", 1200, True)
    statement(ASKED, "risk", 3, False)
    statement("UPDATE ops.callers SET last_at = '2026-01-05T10:30Z' WHERE caller = 'risk'")
    statement("UPDATE ops.callers SET last_at = '2026-01-06T10:30Z' WHERE caller = 'gone'")
    with serving(api_keys_dir=tmp_path) as client:
        found = page(client, "/services/churn_v1")
        gone = "not this service, or is no key any more"
        assert found.rows(ASKERS) == [
            ["gone", "7", "2026-01-06 10:30", "the present one", gone],
            ["risk", "1,203", "2026-01-05 10:30", "0123456789abcdef , the present one", SOME],
            ["care", "none", "–", "–", ALL],
        ]
        ((*_, last),) = found.rows("Callers that name")
        assert last == "2026-01-05 10:30"
        picture = found.one("svg", class_="lineage").text
        assert "may ask care" in picture
        assert "asks risk" in picture
        assert "asks gone" in picture
        assert "ads" not in picture.split()
        assert sha256(b"care").hexdigest() not in client.get("/services/churn_v1").text
        assert "Nobody since" not in found.main.text
    with serving() as client:  # which shall not know the names
        (by_key,) = page(client, "/services/churn_v1").rows(ASKERS)
        assert by_key == [
            "with a key",
            "1,210",
            "2026-01-06 10:30",
            "the present one, 0123456789abcdef",
        ]
        assert "risk" not in client.get("/services/churn_v1").text


@pytest.mark.usefixtures("filled")
def test_a_page_has_the_keys_of_its_own_time(tmp_path: Path):
    (tmp_path / "care").write_text(sha256(b"care").hexdigest())
    with serving(api_keys_dir=tmp_path) as client:
        assert len(page(client, "/services/churn_v1").rows(ASKERS)) == 1
        (tmp_path / "care").write_text(f"{sha256(b'care').hexdigest()} profile_v1")
        said = page(client, "/services/churn_v1").main.text
        assert "Nobody since" in said
        assert "began to note it ; and no API key may." in said.replace("it;", "it ;")
        for number in range(50):
            (tmp_path / f"key-{number}").write_text(sha256(b"%d" % number).hexdigest())
        many = page(client, "/services/churn_v1")
        assert len(many.rows(ASKERS)) == 50
        assert "44 more callers" in many.one("svg", class_="lineage").text


@pytest.mark.usefixtures("copy")
def test_a_database_of_an_earlier_version_knows_neither_callers_nor_files():
    statement("DROP TABLE ops.callers")
    statement("ALTER TABLE ops.statistics_months DROP COLUMN file")
    with serving() as client:
        found = page(client, "/services/churn_v1")
        assert "Not known : the database keeps no callers yet" in found.main.text
        assert "Nobody since" not in found.main.text
        assert "subscriptions.csv" not in found.one("svg", class_="lineage").text


@pytest.mark.usefixtures("filled")
def test_keys_that_cannot_be_read_are_told_and_the_page_stays(tmp_path: Path):
    (tmp_path / "care").write_text("not a hash")
    for folder, said in (
        (tmp_path, "care: line 1 does not begin with a SHA-256"),
        (tmp_path / "nowhere", "nowhere: No such file or directory"),
    ):
        with serving(api_keys_dir=folder) as client:
            text = page(client, "/services/churn_v1").main.text
        assert "Keys not known : STREAMFLOW_EXPLORER_API_KEYS_DIR" in text
        assert said in text
        assert "monthly_fee" in text


def test_a_view_shows_the_shape_of_each_of_its_features(client):
    found = page(client, "/views/subs_profile_fv")
    assert len([one for one in found.every("svg") if one.attributes["class"] == "spark"]) == 6
    (card,) = [one for one in found.every("li") if "monthly_fee" in one.text]
    assert "drifted" in card.text
    assert "/services/churn_v1" in found.links().values()


@pytest.mark.parametrize(
    "path",
    [
        "/services/nowhere",
        "/services/%3Cscript%3E",
        "/views/nowhere",
        "/views/%00",
        "/features/nowhere/monthly_fee",
        "/features/subs_profile_fv/nowhere",
        "/features/subs_profile_fv/" + "x" * 10_000,
        "/features/subs_profile_fv",
        "/features/subs_profile_fv/monthly_fee/more",
    ],
)
def test_what_is_not_there_is_said_with_a_way_out(client, path):
    found = page(client, path, 404)
    assert found.heading == "Not found"
    (link,) = found.main.every("a")
    assert client.get(link.attributes["href"]).status_code == 200
