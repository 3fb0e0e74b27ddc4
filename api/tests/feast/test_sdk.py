"""A stock Feast SDK with a remote online store reads here what it reads from the store itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.tests.conftest import rewrite, statement, wait_until

if TYPE_CHECKING:
    from feast import FeatureStore

PROFILE = ["subs_profile_fv:months_active", "subs_profile_fv:monthly_fee"]
USERS = ["7590-VHVEG", "0002-ORFBO", "nobody", "7590-VHVEG"]
PAIRS = [
    {"user_id": "7590-VHVEG", "shop_id": 1},
    {"user_id": "7590-VHVEG", "shop_id": 2},
    {"user_id": "0002-ORFBO", "shop_id": 2},
    {"user_id": "1", "shop_id": 11},
    {"user_id": "11", "shop_id": 1},
    {"user_id": "nobody", "shop_id": -(2**63)},
    {"user_id": "7590-VHVEG", "shop_id": 1},
]


@pytest.fixture(scope="module")
def direct(rich: str) -> Iterator["FeatureStore"]:
    """The SDK on the online store."""
    from streamflow.feast.registry.open import open_store

    with open_store() as store:
        yield store


@pytest.fixture
def own(rich: str) -> Iterator["FeatureStore"]:
    """The SDK on the online store, for a test that changes its definitions."""
    from streamflow.feast.registry.open import open_store

    with open_store() as store:
        yield store


@pytest.fixture(scope="module")
def remote(rich_client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> "FeatureStore":
    """The SDK on the server, with the registry that the server gives."""
    from feast import FeatureStore, RepoConfig

    registry = tmp_path_factory.mktemp("remote") / "registry.pb"
    registry.write_bytes(rich_client.get("/registry.pb").content)
    return FeatureStore(
        config=RepoConfig(
            project="streamflow",
            provider="local",
            registry=str(registry),
            online_store={"type": "remote", "path": str(rich_client.base_url).rstrip("/")},
            entity_key_serialization_version=3,
        )
    )


def both(
    direct: "FeatureStore", remote: "FeatureStore", features: Any, rows: Any, full: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers of both, by feature: values and statuses."""

    def read(store: "FeatureStore") -> dict[str, Any]:
        asked = store.get_feature_service(features) if isinstance(features, str) else features
        answer = store.get_online_features(asked, rows, full_feature_names=full)
        names = answer.proto.metadata.feature_names.val
        assert len(names) == len(set(names)) == len(answer.proto.results)
        statuses = {
            name: list(column.statuses)
            for name, column in zip(names, answer.proto.results, strict=True)
        }
        values = answer.to_dict()
        return {name: (values[name], statuses[name]) for name in values}

    return read(direct), read(remote)


@pytest.mark.parametrize(
    ("features", "rows", "full"),
    [
        ("churn_v1", [{"user_id": one} for one in USERS], False),
        ("churn_v1", [{"user_id": one} for one in USERS], True),
        ("churn_v1", {"user_id": USERS}, False),
        (PROFILE, {"user_id": USERS}, False),
        ([*PROFILE, "odd_fv:n"], {"user_id": ["nothing", "Zoë 🎬", "a/b"]}, False),
        ([PROFILE[0], "subs_copy_fv:months_active"], {"user_id": USERS}, True),
        (["subs_profile_fv@latest:months_active"], {"user_id": USERS}, False),
        ("visits_v1", PAIRS, False),
        ("visits_v1", PAIRS, True),
        (["visits_fv:visits", "shop_fv:city"], PAIRS, False),
        (["shop_fv:city"], {"shop_id": [1, 2, 3, -(2**63)]}, False),
        ("shops_v1", {"shop_id": [1, 2], "other_shop_id": [2, 7]}, True),
        ("friends_v1", {"user_id": USERS, "friend_id": USERS[::-1]}, True),
        ("everyone_v1", {"user_id": USERS}, False),
        ("holidays_v1", {"user_id": USERS}, False),
        (["visits_fv:visits", "shop_fv:city"], {"user_id": [1, 11], "shop_id": [11, 1]}, False),
        (["shop_fv:city"], {"shop_id": ["1", "2", "5"]}, False),
        (["shop_fv:city"], {"shop_id": [1.0, 2.0, 5.0]}, False),
        (["shop_fv:city"], [{"shop_id": "1"}, {"shop_id": 2.0}, {"shop_id": 3}], False),
        (PROFILE, {"user_id": USERS, "shop_id": [1, 2, 3, 4], "unknown": [1, 2, 3, 4]}, False),
    ],
)
def test_both_ways_give_the_same(
    direct: "FeatureStore", remote: "FeatureStore", features: Any, rows: Any, full: bool
) -> None:
    expected, found = both(direct, remote, features, rows, full)
    assert found == expected


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        ("churn_v1", {"user_id": USERS}),
        ("visits_v1", {key: [one[key] for one in PAIRS] for key in ("user_id", "shop_id")}),
        ("shops_v1", {"shop_id": [5, 1, 2], "other_shop_id": [2, 5, 7]}),
        ("everyone_v1", {"user_id": USERS}),
    ],
)
def test_the_answer_is_the_one_of_feasts_server(
    direct: "FeatureStore", rich_client: httpx.Client, features: str, rows: dict[str, list[Any]]
) -> None:
    """Value by value in the form in which Feast's server writes them, event times included."""
    from feast.feature_server_utils import convert_response_to_dict

    answer = direct.get_online_features(
        direct.get_feature_service(features), rows, full_feature_names=True
    )
    expected = convert_response_to_dict(answer.proto)
    body = {"feature_service": features, "entities": rows, "full_feature_names": True}
    found = rich_client.post("/get-online-features", json=body).json()
    keys = len(rows)
    assert found.keys() == expected.keys() == {"results", "metadata"}
    names = [one["metadata"]["feature_names"] for one in (found, expected)]
    assert names[0][:keys] == names[1][:keys] == list(rows)

    def columns(one: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(one["metadata"]["feature_names"], one["results"], strict=True))

    assert columns(found) == columns(expected)


def test_the_features_of_a_service_are_in_its_order(rich_client: httpx.Client) -> None:
    body = {"feature_service": "visits_v1", "entities": {"shop_id": [1], "user_id": ["a"]}}
    answer = rich_client.post("/get-online-features", json=body)
    contract = rich_client.get("/services/visits_v1").json()
    names = answer.json()["metadata"]["feature_names"]
    assert names == ["shop_id", "user_id", *(one["name"] for one in contract["features"])]
    assert answer.headers["contract"] == contract["contract"]


def test_one_view_can_be_read_as_the_sdk_does_for_itself(
    direct: "FeatureStore", remote: "FeatureStore"
) -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    view = direct.get_feature_view("subs_profile_fv")
    keys = [
        EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=one)]) for one in USERS
    ]
    names = ["months_active", "net_service"]
    answers = [
        store._get_provider().online_read(store.config, view, keys, names)
        for store in (direct, remote)
    ]
    expected, found = answers
    assert [values for _, values in found if values["months_active"].WhichOneof("val")] == [
        values for _, values in expected if values is not None
    ]
    assert found[0][0] == expected[0][0]


def test_old_values_have_feasts_status_for_them(
    own: "FeatureStore", remote: "FeatureStore", rich_client: httpx.Client
) -> None:
    """The store's policy comes from the view's tag, the server's from the compiled catalog."""
    from dataclasses import replace
    from datetime import timedelta

    view = own.get_feature_view("shop_fv")
    before = view.tags, view.ttl
    view.tags, view.ttl = {"ttl_policy": "null"}, timedelta(days=1)
    own.apply(view, partial=True)
    statement(
        'UPDATE online."streamflow:shop_id bigint" SET "shop_fv@event_ts" = now() WHERE shop_id = 2'
    )
    try:
        own.refresh_registry()
        body = {"features": ["shop_fv:city"], "entities": {"shop_id": [1, 2, 3]}}

        def statuses() -> list[str]:
            found = rich_client.post("/get-online-features", json=body).json()["results"][1]
            return list(found["statuses"])

        wait_until(lambda: statuses() == ["OUTSIDE_MAX_AGE", "PRESENT", "NOT_FOUND"], 2)
        expected, found = both(own, remote, ["shop_fv:city"], {"shop_id": [1, 2, 3]})
        assert found == expected
        assert found["city"][0] == [None, None, None]
    finally:
        view.tags, view.ttl = before
        own.apply(view, partial=True)
        rewrite(lambda catalog: replace(catalog))
