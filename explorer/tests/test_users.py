"""A user's values: served beside trained, marked with the reason where they differ."""

from urllib.parse import quote

import pytest

from explorer.tests.conftest import SPOILT, any_user, page, serving, spoilt_user, statement
from explorer.tests.html import faults

HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE ops.runs; --",
    "%s %(x)s {{ 7 * 7 }} ${x}",
    "x" * 10_000,
    "<script>" * 1_250,
    "ключ 🔑 \u202e\u200b",
    "a\nb\tc",
    '"&amp;<>\\',
    " ",
    "null",
]


def section(found, view: str):
    """The part of a page about a view."""
    (one,) = [each for each in found.every("section") if each.every("h2")[0].text == view]
    return one


def cells(found, view: str) -> dict[str, list[str]]:
    """Served, trained and verdict by feature of a view."""
    body = section(found, view).every("tbody")[0]
    rows = [[cell.text for cell in row.every("th", "td")] for row in body.every("tr")]
    return {row[0]: row[1:] for row in rows}


def test_every_feature_is_there_with_both_values(client):
    user = any_user()
    found = page(client, "/users", id=user)
    assert found.heading == user
    views = {one.every("h2")[0].text for one in found.every("section")}
    assert views == {
        *("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")
    }
    ((online, source),) = statement(
        """SELECT o."subs_profile_fv:monthly_fee"::text, s.monthly_fee::text
           FROM online."streamflow:user_id" AS o JOIN source.subscriptions_profile_snapshots AS s
             USING (user_id) WHERE user_id = %s AND s.as_of = '2024-03-31'""",
        user,
    )
    assert cells(found, "subs_profile_fv")["monthly_fee"] == [online, source, "▲ differs"]


def test_a_row_that_waits_is_the_reason(client):
    text = section(page(client, "/users", id=any_user()), "subs_profile_fv").text
    assert "Online: 2024-02-29" in text
    assert "Training now: 2024-03-31" in text
    assert "Not yet materialized: the row of 2024-03-31 is not online yet." in text


def test_a_value_that_is_served_wrongly_is_seen_behind_a_newer_row(client):
    said = "Differs as well: skips_7d is not as in the row of 2024-02-29, which is online."
    found = page(client, "/users", id=spoilt_user())
    assert said in section(found, "usage_agg_30d_fv").text
    assert "Differs as well" not in section(found, "subs_profile_fv").text
    assert "Differs as well" not in page(client, "/users", id=any_user()).main.text


def test_the_history_has_a_row_for_each_month(client):
    found = section(page(client, "/users", id=any_user()), "subs_profile_fv")
    months = [row.every("th")[0].text for row in found.every("tbody")[1].every("tr")]
    assert months == ["2024-03-31", "2024-02-29", "2024-01-31"]


def materialize_all() -> None:
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded

    with recorded("materialize", views=[]) as run:
        materialize(run)


@pytest.mark.usefixtures("copy")
def test_a_value_that_is_served_wrongly_differs_and_all_others_are_the_same():
    materialize_all()
    spoilt = spoilt_user()
    statement(
        f"""UPDATE online."streamflow:user_id" SET "usage_agg_30d_fv:{SPOILT}" = 77
            WHERE user_id = %s""",
        spoilt,
    )
    with serving() as client:
        found = page(client, "/users", id=spoilt)
        usage = cells(found, "usage_agg_30d_fv")
        assert usage[SPOILT][0] == "77"
        assert [name for name, row in usage.items() if row[2] == "▲ differs"] == [SPOILT]
        assert "Differs: online are other values" in section(found, "usage_agg_30d_fv").text
        assert {row[2] for row in cells(found, "subs_profile_fv").values()} == {"● same"}


@pytest.mark.usefixtures("copy")
def test_a_correction_after_the_materialization_is_the_reason():
    materialize_all()
    user = any_user()
    statement(
        """UPDATE source.payments_agg_90d_snapshots SET failed_payments_90d = 9, loaded_at = now()
           WHERE user_id = %s AND as_of = '2024-03-31'""",
        user,
    )
    with serving() as client:
        text = section(page(client, "/users", id=user), "payments_agg_90d_fv").text
        assert "Not yet materialized: the row was corrected at" in text


@pytest.mark.usefixtures("copy")
def test_what_is_older_than_its_ttl_is_expired():
    from streamflow.catalog.model import READ, parse

    ((version, format_, document),) = statement(READ)
    catalog = parse(version, format_, document)
    catalog.views["support_agg_90d_fv"].__dict__["ttl_s"] = 60.0
    statement("UPDATE ops.catalog SET version = version + 1, document = %s", catalog.document())
    with serving() as client:
        found = section(page(client, "/users", id=any_user()), "support_agg_90d_fv")
        assert "Expired: the row of 2024-03-31 is older than the view's ttl" in found.text


@pytest.mark.parametrize("user", HOSTILE)
def test_a_user_of_any_text_is_unknown_and_nothing_worse(client, user):
    found = page(client, "/users", id=user)
    assert "No view has a value of this key" in found.main.text
    assert faults(found) == []
    assert found.one("input", id="id-1").attributes["value"] == user.replace("\r\n", "\n")
    assert len(found.heading) < 100


def test_a_nul_is_no_part_of_a_key(client):
    found = client.get("/users?id=a%00b")
    assert found.status_code == 200
    assert "NUL" in found.text


@pytest.mark.parametrize("query", ["", "?id=", "?by=user_id", "?by=user_id&id="])
def test_without_a_user_there_is_the_form(client, query):
    found = page(client, f"/users{query}")
    assert found.heading == "Users"
    assert not found.every("section")


@pytest.mark.parametrize("query", ["?by=nothing", "?by=" + quote("<b>")])
def test_keys_that_no_view_has_are_said(client, query):
    assert "No feature view is stored by" in page(client, f"/users{query}", 404).main.text


def test_several_ids_are_no_key_of_one_column(client):
    assert "A key of these views is user_id." in page(client, "/users?id=a&id=b").main.text


@pytest.mark.usefixtures("filled")
def test_who_must_not_show_persons_shows_none():
    users = [one for (one,) in statement("SELECT user_id FROM source.users")]
    with serving(show_users=False) as client:
        found = page(client, f"/users?id={users[0]}", 404)
        assert "STREAMFLOW_EXPLORER_SHOW_USERS is false" in found.main.text
        audit = statement("SELECT run, message FROM ops.runs WHERE command = 'audit'")[0]
        assert any(one in audit[1] for one in users)  # so that there is something to hide
        for path in ("/", "/runs", f"/runs/{audit[0]}", "/features", "/services/churn_v1"):
            answer = client.get(path)
            assert "/users" not in answer.text
            assert not [one for one in users if one in answer.text]


@pytest.mark.usefixtures("filled")
def test_only_those_whom_the_proxy_names_see_persons():
    users = [one for (one,) in statement("SELECT user_id FROM source.users")]
    ((audit,),) = statement("SELECT run FROM ops.runs WHERE command = 'audit'")
    header = "X-Forwarded-Groups"
    refused = [[], [(header, "sales")], [(header, "")], [(header, "care"), (header, "care")]]
    with serving(users_header=header, users_allowed="care, risk", users_contact="Ann") as client:
        for headers in refused:
            answer = client.get(f"/users?id={users[0]}", headers=headers)
            assert answer.status_code == 403
            assert "Ask Ann" in answer.text
            paths = ("/", "/features", "/nowhere", "/runs", f"/runs/{audit}")
            pages = [answer, *(client.get(one, headers=headers) for one in paths)]
            assert not [one for one in users for each in pages if one in each.text]
            assert not [each for each in pages if '"/users"' in each.text]
        allowed = [(header, "sales,care")]
        assert users[0] in client.get(f"/users?id={users[0]}", headers=allowed).text
        assert '"/users"' in client.get("/", headers=allowed).text
    with serving(users_allowed="care") as client:
        assert client.get("/users", headers=[(header, "care")]).status_code == 403
