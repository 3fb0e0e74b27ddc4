"""Join keys in the forms in which people and programs send them: taken or refused, not changed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.answer import join_keys as keys
from api.errors import InvalidRequest
from api.settings import ApiSettings
from api.tests.conftest import assert_problem, serving, wait_until

TAKEN: list[tuple[str, Any, Any]] = [
    ("bigint", 7, 7),
    ("bigint", "7", 7),
    ("bigint", 7.0, 7),
    ("bigint", "-7", -7),
    ("bigint", "007", 7),
    ("bigint", -0.0, 0),
    ("bigint", float(2**53), 2**53),
    ("bigint", 2**63 - 1, 2**63 - 1),
    ("bigint", str(-(2**63)), -(2**63)),
    ("integer", "2147483647", 2**31 - 1),
    ("integer", 1e3, 1000),
    ("text", "7", "7"),
    ("text", 7, "7"),
    ("text", -7, "-7"),
    ("text", 2**70, str(2**70)),
    ("text", "07", "07"),
    ("text", "7.0", "7.0"),
    ("text", "true", "true"),
    ("boolean", True, True),
    ("boolean", "false", False),
    ("boolean", 1, True),
    ("boolean", 0.0, False),
    ("bytea", "/wA=", b"\xff\x00"),
]
NULL, LIST, OBJECT = "not null", "not a list", "not an object"
REFUSED: list[tuple[str, Any, str]] = [
    ("bigint", None, f"should be a whole number (bigint), {NULL}"),
    ("bigint", True, "should be a whole number (bigint), not true"),
    ("bigint", 7.5, "should be a whole number (bigint), not the number 7.5"),
    ("bigint", float(2**53 + 2), "not the number 9007199254740994.0"),
    ("bigint", 1e300, "not the number 1e+300"),
    ("bigint", float("nan"), "not the number nan"),
    ("bigint", "7.0", "should be a whole number (bigint), not the text '7.0'"),
    ("bigint", " 7", "not the text ' 7'"),
    ("bigint", "+7", "not the text '+7'"),
    ("bigint", "7_0", "not the text '7_0'"),
    ("bigint", "٣", "not the text '٣'"),
    ("bigint", "-", "not the text '-'"),
    ("bigint", "", "not the text ''"),
    ("bigint", "9" * 5000, "should be a whole number (bigint), not the text '9999"),
    ("bigint", 2**63, f"is a larger number than the key can be (bigint): the number {2**63}"),
    ("bigint", 10**4000, "is a larger number than the key can be (bigint): a number of more than"),
    ("bigint", ["7"], f"should be a whole number (bigint), {LIST}"),
    ("bigint", {"a": 7}, f"should be a whole number (bigint), {OBJECT}"),
    ("integer", 2**31, "is a larger number than the key can be (integer): the number 2147483648"),
    ("integer", "2147483648", "(integer): the text '2147483648'"),
    ("text", None, f"should be a text, {NULL}"),
    ("text", 7.0, "should be a text, not the number 7.0"),
    ("text", False, "should be a text, not false"),
    ("text", [], f"should be a text, {LIST}"),
    ("text", "a\0", "a NUL character cannot be in a key"),
    ("text", "\ud800", "half a character cannot be in a key"),
    ("boolean", 2, "should be true or false, not the number 2"),
    ("boolean", "True", "should be true or false, not the text 'True'"),
    ("boolean", None, f"should be true or false, {NULL}"),
    ("boolean", [], f"should be true or false, {LIST}"),
    ("bytea", "%", "should be bytes in base64, not the text '%'"),
    ("bytea", 7, "should be bytes in base64, not the number 7"),
    ("bytea", None, f"should be bytes in base64, {NULL}"),
]


@pytest.mark.parametrize(("type_", "value", "key"), TAKEN)
def test_what_is_the_key_without_a_loss_is_taken(type_: str, value: Any, key: Any) -> None:
    [found] = keys.from_json([value], type_, "here")
    assert (found, type(found)) == (key, type(key))
    if isinstance(value, str):
        assert keys.from_text(value, type_, "here") == key


@pytest.mark.parametrize(("type_", "value", "said"), REFUSED)
def test_all_else_is_refused_with_its_value_and_type(type_: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        keys.from_json(["good" if type_ == "text" else "0", value], type_, "here")
    [(where, what)] = [one for one in refused.value.faults if one[0] == "here.1"]
    assert where == "here.1"
    assert said in what
    assert len(what) < 160


@pytest.fixture(scope="module")
def shops(rich: str) -> Iterator[httpx.Client]:
    """A server whose /features takes the id of a shop, a bigint."""
    with serving(join_key="shop_id", service="shops_v2") as client:
        wait_until(lambda: client.get("/features/1", params=CITY).status_code == 200)
        yield client


CITY = {"features": ["shop_fv:city"]}
VALUES = [1, "1", 1.0, 2.0, "01", "7", 2**63, None, True, 1.5, "1.0", " 1", [], {}]


@pytest.mark.parametrize("value", VALUES, ids=map(repr, VALUES))
def test_all_routes_have_one_rule_for_whole_numbers(shops: httpx.Client, value: Any) -> None:
    batch = shops.post("/features", json={"user_ids": [value], **CITY})
    online = shops.post("/get-online-features", json={"entities": {"shop_id": [value]}, **CITY})
    assert batch.status_code == online.status_code
    if isinstance(value, str):
        single = shops.get(f"/features/{value}", params=CITY).status_code
        assert single == (200 if value in ("1", "01") else 404 if value == "7" else 422)
    if batch.status_code == 422:
        assert_problem(batch, 422, "invalid-request", "body.user_ids.0: ")
        assert_problem(online, 422, "invalid-request", "body.entities.shop_id.0: ")
        return
    results, columns = batch.json(), online.json()["results"]
    key = int(float(value))
    assert columns[0]["values"] == [key]
    assert type(columns[0]["values"][0]) is int
    assert [one["features"]["shop_id"] for one in results["results"]] == ([key] if key < 5 else [])
    assert results["unknown"] == ([] if key < 5 else [str(key)])


@pytest.mark.parametrize("way", ["batch", "online"])
def test_a_number_finds_the_user_whose_id_is_its_digits(
    rich_client: httpx.Client, way: str
) -> None:
    features = {"features": ["visits_fv:visits"] if way == "online" else ["odd_fv:n"]}
    if way == "batch":
        body = rich_client.post("/features", json={"user_ids": [7, "a/b"], **features}).json()
        assert body["unknown"] == ["7"]
        assert [one["user_id"] for one in body["results"]] == ["a/b"]
        return
    entities = {"user_id": [1, "11"], "shop_id": ["11", 1.0]}
    body = rich_client.post("/get-online-features", json={"entities": entities, **features}).json()
    assert [one["values"] for one in body["results"]] == [["1", "11"], [11, 1], [3, 4]]


@pytest.mark.parametrize(("value", "said"), [("null", "null"), ("7.0", "the number 7.0")])
def test_a_body_that_has_no_id_says_what_it_has(
    rich_client: httpx.Client, value: str, said: str
) -> None:
    response = rich_client.post(
        "/features",
        content=f'{{"user_ids": ["a", {value}]}}',
        headers={"Content-Type": "application/json"},
    )
    expected = "should be a valid string" if value == "null" else f"should be a text, not {said}"
    assert_problem(response, 422, "invalid-request", "body.user_ids.1: ")
    assert expected in json.loads(response.text)["detail"]


def test_the_former_name_of_the_setting_goes_on_working_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert ApiSettings().join_key == "user_id"
    assert not caplog.records
    monkeypatch.setenv("STREAMFLOW_API_ENTITY", "shop_id")
    assert ApiSettings().join_key == "shop_id"
    assert "STREAMFLOW_API_ENTITY is called STREAMFLOW_API_JOIN_KEY now" in caplog.text
    monkeypatch.setenv("STREAMFLOW_API_JOIN_KEY", "account_id")
    assert ApiSettings().join_key == "account_id"


def test_the_present_name_alone_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STREAMFLOW_API_JOIN_KEY", "account_id")
    assert ApiSettings().join_key == "account_id"
    assert not caplog.records
