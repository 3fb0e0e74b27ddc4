"""Compares what the API serves with what training would see, user by user, bit by bit."""

import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow as pa
from psycopg import sql

from jobs.audit import comparable
from jobs.run.urls import failure, shown
from jobs.training.build import columns
from streamflow.catalog.contract import Contract
from streamflow.errors import StreamflowError, VerificationFailed
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)

TIMEOUT_S = 30


@dataclass(frozen=True)
class Compared:
    """How much was compared, all of it equal."""

    users: int
    values: int


def compare(api: str, service: str, users: int) -> Compared:
    """Asks the API at the URL `api` for some users and recomputes their features offline.

    Each value is recomputed point-in-time at the `as_of` that the API gave for its view.

    Args:
        users: how many of the known users, always the same ones.

    Raises:
        VerificationFailed: naming the first user and feature that differ.
        StreamflowError: the API does not answer.
    """
    with connect() as connection:
        schema.require(connection)
        chosen = connection.execute(
            "SELECT user_id FROM source.users ORDER BY md5(user_id) LIMIT %s", [users]
        ).fetchall()
    if not chosen:
        return Compared(0, 0)
    served = ask(api, service, [user for (user,) in chosen])
    count = 0
    with open_store() as store:
        contract = contract_of(store, service)
        if served["metadata"]["contract"] != contract.hash:
            raise VerificationFailed(
                f"the API serves contract {served['metadata']['contract']} of {service}, "
                f"the registry has {contract.hash}"
            )
        for instant in sorted({time for one in served["results"] for time in times(one)}):
            count += compare_at(store, contract, instant, served["results"])
    return Compared(len(served["results"]), count)


def ask(api: str, service: str, users: list[str]) -> dict[str, Any]:
    """The API's answer to POST /features; with the key of STREAMFLOW_API_KEY where that is set."""
    body = json.dumps({"user_ids": users, "service": service}).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("STREAMFLOW_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(f"{api.rstrip('/')}/features", body, headers)  # noqa: S310  # the caller's
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        said = f"{api} answered {error.code}: {error.read().decode(errors='replace')}"
        raise StreamflowError(shown(said)) from None
    except (OSError, ValueError, HTTPException) as error:
        raise failure(f"{api} does not answer", error) from None


def times(served: dict[str, Any]) -> set[str]:
    """The different times of a user's views."""
    return {view["as_of"] for view in served["views"].values() if view["as_of"]}


def compare_at(
    store: "FeatureStore", contract: Contract, instant: str, results: list[dict[str, Any]]
) -> int:
    """Compares the values of one time; gives how many there were."""
    count = 0
    offline = offline_values(store, contract, instant, [one["user_id"] for one in results])
    for one in results:
        for feature in contract.features:
            if one["views"][feature.view]["as_of"] != instant:
                continue
            count += 1
            given, expected = one["features"][feature.name], offline[one["user_id"]][feature.name]
            served = comparable.served(given, feature.type, is_json=True)
            trained = comparable.trained(expected, feature.type, is_json=True)
            if repr(served) != repr(trained):
                raise VerificationFailed(
                    f"user {one['user_id']}, {feature.name} as of {instant}: "
                    f"served {served!r}, trained on {trained!r}"
                )
    return count


def offline_values(
    store: "FeatureStore", contract: Contract, instant: str, users: list[str]
) -> dict[str, dict[str, Any]]:
    """By user: the features as a training set of that time has them."""
    entities = sql.SQL(
        "SELECT user_id, {}::timestamptz AS event_timestamp FROM unnest({}::text[]) AS t(user_id)"
    ).format(sql.Literal(datetime.fromisoformat(instant)), sql.Literal(users))
    found = store.get_historical_features(
        entity_df=entities.as_string(None), features=store.get_feature_service(contract.service)
    ).to_arrow()
    kinds = columns(contract)
    names = ["user_id", *(feature.name for feature in contract.features)]
    typed = found.select(names).cast(pa.schema([kinds.field(name) for name in names]))
    return {row["user_id"]: row for row in typed.to_pylist()}
