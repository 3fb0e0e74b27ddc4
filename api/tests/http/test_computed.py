"""Features that are computed when they are asked for: the same bits as in a training set."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.tests.computed_objects import computed_objects
from api.tests.conftest import TABLE, assert_problem, metric, ready, serving, statement, wait_until
from streamflow import training
from streamflow.catalog.model import READ, parse
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.postgres.connect import connect

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")

USER = "7590-VHVEG"
ASKED = {"quoted_fee": 30.5, "at": "2024-02-01T00:00:00Z", "seats": 4, "plan": "x"}
EACH_USER = "SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots ORDER BY 1"


@pytest.fixture(scope="module")
def computed(
    databases: Any, server: dict[str, str], loaded_template: str
) -> Iterator[dict[str, str]]:
    """A database with computed views; the hashes of its services' contracts."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, loaded_template, monkeypatch),
        open_store("auto") as store,
    ):
        objects = computed_objects(store)
        store.apply(objects, partial=True)
        services = ("with_fees", "fees_alone", "with_quotes", "above_alone")
        yield {name: contract_of(store, name).hash for name in services}


@pytest.fixture(scope="module")
def client(computed: dict[str, str]) -> Iterator[httpx.Client]:
    """Talks to a server in front of that database."""
    with serving() as client:
        wait_until(lambda: ready(client))
        yield client


def users() -> list[str]:
    """All users of the month."""
    with connect() as connection:
        rows = connection.execute("SELECT user_id FROM source.labels_snapshots ORDER BY 1")
        return [user for (user,) in rows]


def trained(service: str, **inputs: tuple[str, Any]) -> dict[str, dict[str, Any]]:
    """By user: a training set's row of a service; `inputs` are columns of its spine."""
    columns = "".join(f", {value!r}::{kind} AS {name}" for name, (kind, value) in inputs.items())
    spine = EACH_USER.replace(" FROM", f"{columns} FROM", 1)
    with open_store() as store, training.build(spine, service, store=store) as made:
        return {row["user_id"]: row for row in made.read_all().to_pylist()}


@pytest.mark.parametrize(
    ("service", "names"),
    [("with_fees", ["months_active", "fee_per_month", "half"]), ("fees_alone", ["half"])],
)
def test_what_is_computed_is_what_is_trained(
    client: httpx.Client, computed: dict[str, str], service: str, names: list[str]
) -> None:
    rows = trained(service)
    answer = client.post("/features", json={"user_ids": users(), "service": service}).json()
    assert answer["metadata"]["contract"] == computed[service]
    assert len(answer["results"]) == len(rows) == 50
    for one in answer["results"]:
        assert list(one["features"]) == ["user_id", *names]
        assert [one["features"][name] for name in names] == [
            rows[one["user_id"]][name] for name in names
        ]
        single = client.get(f"/features/{one['user_id']}", params={"service": service}).json()
        assert single["features"] == one["features"]


def test_a_computed_view_is_as_old_as_what_it_comes_from(client: httpx.Client) -> None:
    found = client.get(f"/features/{USER}", params={"service": "with_fees"}).json()["metadata"]
    ages = found["views"]
    assert list(ages) == ["subs_profile_fv", "fees"]
    assert ages["fees"] == ages["subs_profile_fv"]
    alone = client.get(f"/features/{USER}", params={"service": "fees_alone"}).json()["metadata"]
    assert list(alone["views"]) == ["fees"]
    assert alone["views"]["fees"]["as_of"] == "2024-01-31T00:00:00Z"
    assert alone["views"]["fees"]["status"] == "stale"


def test_values_of_the_request_are_taken(client: httpx.Client, computed: dict[str, str]) -> None:
    rows = trained(
        "with_quotes",
        quoted_fee=("float8", 30.5),
        at=("timestamptz", "2024-02-01 00:00+00"),
        seats=("int", 4),
        plan=("text", "x"),
    )
    body = {"user_ids": users(), "service": "with_quotes", "inputs": ASKED}
    answer = client.post("/features", json=body).json()
    for one in answer["results"]:
        row = rows[one["user_id"]]
        found = one["features"]
        for name in ("fee_per_month", "half", "monthly_fee", "above", "each"):
            assert found[name] == row[name]
        assert found["later"] == "2024-02-01T00:00:00Z"
        assert row["later"].isoformat() == "2024-02-01T00:00:00+00:00"
    asked = [f"{name}:{value}" for name, value in ASKED.items()]
    single = client.get(f"/features/{USER}", params={"service": "with_quotes", "input": asked})
    assert single.json()["features"] == next(
        one["features"] for one in answer["results"] if one["user_id"] == USER
    )
    again = client.get(f"/features/{USER}", params={"service": "with_quotes", "input": asked})
    assert again.json()["features"] == single.json()["features"]


def test_each_user_may_have_values_of_its_own(client: httpx.Client) -> None:
    first, second = users()[:2]
    body = {
        "user_ids": [first, "nobody", second, first],
        "service": "above_alone",
        "inputs": {"quoted_fee": [10, 20, 30.25, None]},
    }
    answer = client.post("/features", json=body).json()
    assert answer["unknown"] == ["nobody"]
    fees = trained("with_fees")
    given = [10, 30.25, None]
    for one, quoted in zip(answer["results"], given, strict=True):
        fee = 2 * fees[one["user_id"]]["half"]
        assert one["features"]["above"] == (None if quoted is None else quoted - fee)


def test_feasts_protocol_takes_them_as_entities(client: httpx.Client) -> None:
    asked = {name: [value, value] for name, value in ASKED.items()}
    body = {
        "feature_service": "with_quotes",
        "entities": {"user_id": [USER, "nobody"], **asked},
    }
    answer = client.post("/get-online-features", json=body).json()
    names = answer["metadata"]["feature_names"]
    assert names == [
        *("user_id", "fee_per_month", "half", "monthly_fee", "above", "later", "each"),
    ]
    columns = dict(zip(names, answer["results"], strict=True))
    plain = client.post(
        "/features", json={"user_ids": [USER], "service": "with_quotes", "inputs": ASKED}
    ).json()["results"][0]["features"]
    for name in ("fee_per_month", "half", "above", "each"):
        assert columns[name]["values"][0] == plain[name]
        assert columns[name]["event_timestamps"][0].startswith("2024-01-31")
    assert columns["later"]["values"][0] == 1_706_745_600
    assert columns["half"]["statuses"] == ["PRESENT", "NOT_FOUND"]


def test_what_comes_from_the_request_alone_is_there_and_has_no_age(client: httpx.Client) -> None:
    asked = {name: [value, value] for name, value in ASKED.items()}
    body = {"feature_service": "with_offers", "entities": {"user_id": [USER, "nobody"], **asked}}
    answer = client.post("/get-online-features", json=body).json()
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    assert columns["months_active"]["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert columns["per_seat"] == {
        "values": [7.625, 7.625],
        "statuses": ["PRESENT", "PRESENT"],
        "event_timestamps": ["1970-01-01T00:00:00Z"] * 2,
    }
    taken = {name: ASKED[name] for name in ("quoted_fee", "seats")}
    plain = client.post(
        "/features", json={"user_ids": [USER], "service": "with_offers", "inputs": taken}
    ).json()["results"][0]
    assert plain["features"]["per_seat"] == 7.625
    assert plain["views"]["offers"] == {"as_of": None, "age_seconds": None, "status": "fresh"}
    named = [f"{name}:{value}" for name, value in taken.items()]
    single = client.get(f"/features/{USER}", params={"service": "with_offers", "input": named})
    assert single.json()["metadata"]["views"]["offers"] == plain["views"]["offers"]


@pytest.mark.parametrize(
    ("inputs", "faults"),
    [
        ({}, [("body.inputs.quoted_fee", "is needed, Float64: features are computed from it")]),
        ({"quoted_fee": 1, "x": 2}, [("body.inputs.x", "is no value that these features take")]),
        ({"quoted_fee": "many"}, [("body.inputs.quoted_fee", "should be a number, not the text")]),
        ({"quoted_fee": True}, [("body.inputs.quoted_fee", "should be a number, not true")]),
        ({"quoted_fee": [1, 2]}, [("body.inputs.quoted_fee", "has 2 values for 1 rows")]),
        ({"quoted_fee": [{}]}, [("body.inputs.quoted_fee.0", "should be a number, not an")]),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_place(
    client: httpx.Client, inputs: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    body = {"user_ids": [USER], "service": "above_alone", "inputs": inputs}
    response = client.post("/features", json=body)
    assert response.status_code == 422
    for place, why in faults:
        assert place in response.text
        assert why in response.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seats", 2**31),
        ("seats", 1.5),
        ("at", "yesterday"),
        ("at", "99999-01-01"),
        ("plan", 1.5),
        ("plan", "a\0"),
        ("quoted_fee", "1e"),
    ],
)
def test_each_type_has_values_that_it_does_not_take(
    client: httpx.Client, name: str, value: Any
) -> None:
    body = {"user_ids": [USER], "service": "with_quotes", "inputs": {**ASKED, name: value}}
    response = client.post("/features", json=body)
    assert response.status_code == 422
    assert f"body.inputs.{name}" in response.text


def test_values_for_features_that_take_none_are_refused(client: httpx.Client) -> None:
    response = client.get(f"/features/{USER}", params={"service": "with_fees", "input": "a:1"})
    assert response.status_code == 422
    assert "they take none" in response.text
    bad = client.get(f"/features/{USER}", params={"service": "with_fees", "input": "a"})
    assert bad.status_code == 422
    assert "is written name:value" in bad.text


def test_single_features_may_be_computed(client: httpx.Client) -> None:
    found = client.get(
        f"/features/{USER}", params={"features": "fees:half,quotes:above", "input": "quoted_fee:1"}
    )
    assert list(found.json()["features"]) == ["user_id", "half", "above"]
    unknown = client.get(f"/features/{USER}", params={"features": "fees:third"})
    assert unknown.status_code == 422
    assert "fees:fee_per_month" in unknown.text


def test_a_change_of_what_it_comes_from_is_seen(client: httpx.Client) -> None:
    def half() -> Any:
        answer = client.get(f"/features/{USER}", params={"service": "fees_alone"})
        return answer.json()["features"]["half"]

    before = half()
    wait_until(lambda: half() == before and metric(client, "streamflow_api_cache_hits_total") > 0)
    change = f"UPDATE {TABLE} SET \"subs_profile_fv:monthly_fee\" = %s WHERE user_id = '{USER}'"
    statement(change % 5)
    wait_until(lambda: half() == 2.5)
    statement(change % (2 * before))
    wait_until(lambda: half() == before)


def test_an_earlier_reader_refuses_the_catalog(computed: dict[str, str]) -> None:
    """It knows no computed views, and would fail; a catalog without them it may read on."""
    with connect() as connection:
        row = connection.execute(READ).fetchone()
    assert row is not None
    found = parse(*row)
    assert (row[1], replace(found, computed={}).format) == (2, 1)


def test_one_name_for_values_of_two_types_is_no_service(client: httpx.Client) -> None:
    answer = client.post(
        "/features",
        json={"user_ids": [USER], "service": "two_kinds", "inputs": {"quoted_fee": 1, "seats": 2}},
    )
    assert_problem(answer, 422, "unservable", "seats is Int32 for one feature, String for another")


def test_an_unknown_user_is_unknown(client: httpx.Client) -> None:
    assert client.get("/features/nobody", params={"service": "fees_alone"}).status_code == 404


def test_services_tell_expressions_and_inputs(client: httpx.Client) -> None:
    found = client.get("/services/with_quotes").json()
    first = found["features"][0]
    assert first["expression"] == "monthly_fee / NULLIF(months_active, 0)"
    assert first["description"] == "Fee by month, in US dollars."
    assert found["inputs"] == {
        "quoted_fee": "Float64",
        "plan": "String",
        "at": "UnixTimestamp",
        "seats": "Int32",
    }
    assert "unservable" not in json.dumps(found)


SECONDS = {"quoted_fee": 30.5, "at": 1706745600, "seats": 0, "plan": "x"}


@pytest.mark.parametrize(
    ("features", "more"),
    [
        ("with_fees", {}),
        ("fees_alone", {}),
        ("with_quotes", SECONDS),
        ("with_offers", {**SECONDS, "seats": 4}),
        ("above_alone", SECONDS),
        (["fees:half", "subs_profile_fv:months_active"], {}),
    ],
)
def test_a_remote_sdk_reads_what_the_sdk_computes_itself(
    client: httpx.Client, tmp_path: Path, features: Any, more: dict[str, Any]
) -> None:
    """Though the registry that the API gives has none of the views' code."""
    from feast import FeatureStore, RepoConfig

    (tmp_path / "registry.pb").write_bytes(client.get("/registry.pb").content)
    remote = FeatureStore(
        config=RepoConfig(
            project="streamflow",
            provider="local",
            registry=str(tmp_path / "registry.pb"),
            online_store={"type": "remote", "path": str(client.base_url).rstrip("/")},
            entity_key_serialization_version=3,
        )
    )
    rows = [{"user_id": user, **more} for user in users()[:5]]

    def read(store: FeatureStore) -> dict[str, Any]:
        asked = store.get_feature_service(features) if isinstance(features, str) else features
        found = store.get_online_features(asked, rows).to_dict()
        return {
            name: [seconds(value) for value in values]
            for name, values in found.items()
            if name not in more
        }

    def seconds(value: Any) -> Any:
        """An instant as Feast's protocol has it."""
        return int(value.timestamp()) if isinstance(value, datetime) else value

    with open_store() as direct:
        expected = read(direct)
    assert read(remote) == expected
    assert len(expected) >= 2
