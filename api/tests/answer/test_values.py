"""Values of every type, as /features and as Feast's own protocol have them."""

from typing import Any

import httpx

from api.answer import values
from streamflow.catalog.model import StoredFeature


def test_every_type_is_answered_as_plain_json(rich_client: httpx.Client) -> None:
    from api.tests.feast.feast_objects import TYPES

    for _ in range(2):
        found = rich_client.get("/features/all?service=types_v1").json()["features"]
        assert found == {"user_id": "all", **{name: one[2] for name, one in TYPES.items()}}


def test_every_type_is_answered_as_feasts_server_does(rich_client: httpx.Client) -> None:
    from api.tests.feast.feast_objects import TYPES

    body = {"feature_service": "types_v1", "entities": {"user_id": ["all", "none", "nobody"]}}
    found = rich_client.post("/get-online-features", json=body).json()
    columns = dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))
    assert {name: column["values"] for name, column in columns.items()} == {
        "user_id": ["all", "none", "nobody"],
        **{name: [one[3], None, None] for name, one in TYPES.items()},
    }
    assert {tuple(column["statuses"]) for name, column in columns.items() if name != "user_id"} == {
        ("PRESENT", "PRESENT", "NOT_FOUND")
    }


def test_nulls_of_every_type_are_null(rich_client: httpx.Client) -> None:
    from api.tests.feast.feast_objects import TYPES

    found = rich_client.get("/features/none?service=types_v1").json()
    assert found["features"] == {"user_id": "none", **dict.fromkeys(TYPES)}
    assert found["metadata"]["views"]["types_fv"]["as_of"] == "2024-01-31T12:00:01.250000Z"


def test_the_expected_values_are_what_feast_itself_says(rich: str) -> None:
    """The table of expected values holds what Feast's own conversion gives."""
    from feast.feature_server_utils import convert_response_to_dict

    from api.tests.feast.feast_objects import TYPES
    from streamflow.feast.registry.open import open_store

    with open_store() as store:
        service = store.get_feature_service("types_v1")
        answer = store.get_online_features(service, [{"user_id": "all"}])
        answer_dict: dict[str, Any] = convert_response_to_dict(answer.proto)
    names = answer_dict["metadata"]["feature_names"]
    said = {
        name: column["values"][0]
        for name, column in zip(names, answer_dict["results"], strict=True)
        if name != "user_id"
    }
    assert said == {name: one[3] for name, one in TYPES.items()}


def test_an_instant_that_no_date_can_name_is_told_in_seconds() -> None:
    """No write stores such an instant any more."""
    far = StoredFeature("far", "UnixTimestamp", "v:far", "bigint", "")
    convert = values.plain(far)
    assert convert is not None
    assert (convert(10**15), convert(0)) == (10**15, "1970-01-01T00:00:00Z")
