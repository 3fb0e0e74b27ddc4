"""`streamflow contracts`: what services had, what of it is answered, who asks, and its end."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureService

from api.tests.access.key_files import ONE, bearer, line
from api.tests.conftest import ready, serving, wait_until
from jobs.roles.set_up import Names
from jobs.tests.acting import acting, db_roles, done, execute, refused, streamflow
from streamflow.feast.registry.open import open_store

CHURN, PROFILE = "210c99bb71d5f508", "3c0829dcc18ce4d1"
UNKNOWN = "0123456789abcdef"


def service(*names: str) -> str:
    """Gives profile_v1 other features; returns its contract then."""
    with open_store("auto") as store:
        view = store.get_feature_view("subs_profile_fv")
        store.apply(FeatureService(name="profile_v1", features=[view[list(names)]]), partial=True)
    query = "SELECT document->'services'->'profile_v1'->>'contract' FROM ops.catalog"
    return str(execute(query)[0][0])


def listed(*options: str) -> list[dict[str, Any]]:
    """The JSON that the command lists."""
    found: list[dict[str, Any]] = json.loads(
        done(streamflow("contracts", *options, "--json")).stdout
    )
    return found


def test_the_list_says_what_is_answered(database: str) -> None:
    now = service("months_active")
    printed = done(streamflow("contracts")).stdout
    assert next(one.split() for one in printed.splitlines() if "_v1" in one)[:2] == [
        "churn_v1",
        CHURN,
    ]
    found = {one["contract"]: one for one in listed("--service", "profile_v1")}
    assert list(found) == [PROFILE, now]
    older = found[PROFILE]
    assert older["superseded"] == found[now]["since"]
    assert (older["answered"], older["reasons"]) == (True, [])
    assert (older["ended"], found[now]["superseded"]) == (None, None)
    assert older["features"][1] == {
        "view": "subs_profile_fv",
        "name": "monthly_fee",
        "type": "Float32",
        "source": "subs_profile_source.monthly_fee",
    }
    assert older["asked_by"] == []


def test_it_says_why_one_is_not_answered(database: str) -> None:
    service("months_active")
    execute("UPDATE ops.contracts SET features = replace(features::text, 'Int64', 'Int32')::json")
    found = {one["contract"]: one for one in listed("--service", "profile_v1")}
    said = "subs_profile_fv:months_active was Int32, is Int64"
    assert found[PROFILE]["reasons"] == [said]
    assert f"no: {said}" in done(streamflow("contracts")).stdout
    with open_store("auto") as store:
        store.registry.delete_feature_service("profile_v1", "streamflow")
        store.apply(store.get_entity("user"), partial=True)
    for one in listed("--service", "profile_v1"):
        assert (one["answered"], one["reasons"]) == (False, ["the service is gone"])


def test_an_older_one_ends_once(database: str) -> None:
    now = service("months_active")
    first = done(streamflow("contracts", "end", "profile_v1", PROFILE)).stdout
    assert first == (
        f"contract {PROFILE} of profile_v1 is not answered any more; the present one is {now}\n"
    )
    again = done(streamflow("contracts", "end", "profile_v1", PROFILE)).stdout
    assert re.fullmatch(rf"contract {PROFILE} of profile_v1 ended at \S+Z already\n", again)
    (one,) = [one for one in listed() if one["contract"] == PROFILE]
    assert one["reasons"] == [f"ended at {one['ended']}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile_v1", PROFILE), f"{PROFILE} is the present contract of profile_v1, which an"),
        (("profile_v1", UNKNOWN), f"unknown contract of profile_v1 '{UNKNOWN}'; known: {PROFILE}"),
        (("profile_v1", CHURN), f"unknown contract of profile_v1 '{CHURN}'; known: {PROFILE}"),
        (("profile_v9", PROFILE), "unknown feature service 'profile_v9'; known: churn_v1, profile"),
        (("profile_v1", "x"), "'x' is no contract, which is 16 of the characters 0-9 and a-f"),
        (("profile_v1", PROFILE.upper()), f"'{PROFILE.upper()}' is no contract"),
        (("profile_v1", "a" * 10_000), f"'{'a' * 77}…' is no contract"),
        (("profile_v1", "²" * 16), "is no contract"),
        (("", PROFILE), "SERVICE is empty"),
        (("profile_v1",), "Missing argument 'CONTRACT'"),
        (("profile_v1", PROFILE, "more"), "unexpected extra argument"),
    ],
)
def test_what_cannot_end_is_refused(database: str, arguments: tuple[str, ...], said: str) -> None:
    before = execute("SELECT * FROM ops.contracts")
    result = streamflow("contracts", "end", *arguments)
    message = refused(result)
    assert said.lower() in message.lower(), message
    assert len(message) < 400
    assert execute("SELECT service FROM ops.contracts") == [row[1:2] for row in before]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--service", "nope"), "unknown feature service 'nope'; known: churn_v1, profile_v1"),
        (("--service", ""), "--service is empty"),
        (("--json", "end", "profile_v1", PROFILE), "the options of a list come without `end`"),
        (("start",), "No such command 'start'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    database: str, arguments: tuple[str, ...], said: str
) -> None:
    message = refused(streamflow("contracts", *arguments))
    assert said in message, message


def test_a_database_without_a_list_says_what_to_run(database: str) -> None:
    execute("DELETE FROM ops.catalog")
    said = "error: the project was not applied to the database; run: streamflow apply\n"
    assert refused(streamflow("contracts")) == said
    execute("DROP TABLE ops.contracts")
    said = "error: the database keeps no contracts yet; run: streamflow apply\n"
    assert refused(streamflow("contracts", "end", "profile_v1", PROFILE)) == said


def test_who_may_read_lists_and_who_may_write_ends(names: Names, database: str) -> None:
    done(db_roles(names))
    for role in (names.owner, names.writer, names.reader):
        with acting(role):
            assert [one["service"] for one in listed()] == ["churn_v1", "profile_v1"]
    with acting(names.trainer):
        assert f"role {names.trainer} may not do this here" in refused(streamflow("contracts"))
    with acting(names.owner):
        service("months_active")
    for role in (names.reader, names.trainer):
        with acting(role):
            refusal = refused(streamflow("contracts", "end", "profile_v1", PROFILE))
            assert f"role {role} may not do this here (permission denied" in refusal
    with acting(names.writer):
        done(streamflow("contracts", "end", "profile_v1", PROFILE))
    assert execute(
        "SELECT ended_at IS NOT NULL FROM ops.contracts WHERE contract = %s", PROFILE
    ) == [(True,)]


def test_who_asks_is_listed_and_told_at_the_end(database: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_text(line(ONE))
    now = service("months_active")
    assert [who for one in listed() for who in one["asked_by"]] == []
    with serving(keys_dir=str(tmp_path)) as client:
        wait_until(lambda: ready(client))
        for contract in (PROFILE, PROFILE, PROFILE, now):
            asked = {"If-Contract": contract, **bearer(ONE)}
            client.get("/features/a", params={"service": "profile_v1"}, headers=asked)
    found = {one["contract"]: one["asked_by"] for one in listed()}
    (who,) = found[PROFILE]
    assert (who["caller"], who["requests"], who["first"]) == ("one", 3, who["last"])
    (other,) = found[now]
    assert (other["caller"], other["requests"], found[CHURN]) == ("one", 1, [])
    printed = " ".join(done(streamflow("contracts")).stdout.split())
    said = f"one 3 times, last at {who['last']}"
    assert said in printed
    assert f"one once at {other['last']}" in printed
    ended = done(streamflow("contracts", "end", "profile_v1", PROFILE)).stdout.splitlines()
    assert ended[1:] == [f"had asked for it: {said}"]


def test_a_database_of_an_earlier_version_has_no_callers(database: str) -> None:
    execute("DROP TABLE ops.callers")
    assert [one["asked_by"] for one in listed()] == [None, None]
    assert done(streamflow("contracts")).stdout.count("not known") == 2
