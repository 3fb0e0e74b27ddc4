"""Served values of an audit's users, from the API or through Feast's SDK."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from jobs.run.urls import url_error, without_secrets
from streamflow.catalog.contract import Contract
from streamflow.errors import StreamflowError

if TYPE_CHECKING:
    from feast import FeatureStore

SETTLE_S = 1.0
"""The longest time for which the API may still answer with values from before a commit."""
TIMEOUT_S = 30
USERS_PER_REQUEST = 100


class WholeServicesOnly(StreamflowError):
    """The key in use may not ask for single features."""


@dataclass(frozen=True)
class Served:
    """One user's features as they are served."""

    values: dict[str, Any]
    """By reference, `view:feature`."""
    as_of: dict[str, datetime | None]
    """By view; None where it has no row of the user."""
    is_json: bool = False
    """True where the values come from an answer of the API."""

    @classmethod
    def nothing(cls, contract: Contract) -> Self:
        """A user who is not online: no value and no time."""
        return cls(
            {one.reference: None for one in contract.features}, dict.fromkeys(contract.views)
        )

    @classmethod
    def of_answer(cls, contract: Contract, answer: dict[str, Any]) -> Self:
        """One of the results of the API's answer."""
        times = {name: view["as_of"] for name, view in answer["views"].items()}
        values = answer["features"]
        return cls(
            {
                one.reference: values.get(f"{one.view}__{one.name}", values.get(one.name))
                for one in contract.features
            },
            {name: datetime.fromisoformat(at) if at else None for name, at in times.items()},
            is_json=True,
        )


def from_store(
    store: "FeatureStore", contract: Contract, users: Sequence[str]
) -> dict[str, Served]:
    """Reads the online values of users through Feast's SDK; gives them by user."""
    from streamflow.feast.online.client import read, read_single

    if not contract.service:
        keys = [{"user_id": user} for user in users]
        return {
            one.name: Served(one.values, one.as_of) for one in read_single(store, contract, keys)
        }
    return {one.name: Served(one.values, one.as_of) for one in read(store, contract, list(users))}


def from_api(url: str, contract: Contract, users: Sequence[str]) -> dict[str, Served]:
    """Asks the API for the values of users; gives them by user.

    Raises:
        StreamflowError: it does not answer, or has another contract.
    """
    time.sleep(SETTLE_S)
    served = {user: Served.nothing(contract) for user in users}
    for begin in range(0, len(users), USERS_PER_REQUEST):
        answer = ask(url, contract, list(users[begin : begin + USERS_PER_REQUEST]))
        if answer["metadata"]["contract"] != contract.hash:
            raise StreamflowError(
                f"the API serves contract {answer['metadata']['contract']} of "
                f"{contract.service or 'single features'}, "
                f"the registry has {contract.hash}"
            )
        served |= {one["user_id"]: Served.of_answer(contract, one) for one in answer["results"]}
    return served


def ask(url: str, contract: Contract, users: list[str]) -> dict[str, Any]:
    """Sends POST /features to the API, with the key of STREAMFLOW_API_KEY where that is set.

    Args:
        contract: its service is asked for; without one its features, one by one.

    Raises:
        WholeServicesOnly: the key may not ask for those.
        StreamflowError: it does not answer, or with an error.
    """
    what = {"service": contract.service}
    single = {"features": [one.reference for one in contract.features]}
    body = json.dumps({"user_ids": users, **(what if contract.service else single)}).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("STREAMFLOW_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(f"{url.rstrip('/')}/features", body, headers)  # noqa: S310  # the caller's
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            content: dict[str, Any] = json.load(answer)
            return content
    except HTTPError as error:
        said = f"{url} answered {error.code}: {error.read().decode(errors='replace')}"
        is_forbidden = error.code == HTTPStatus.FORBIDDEN and not contract.service
        kind = WholeServicesOnly if is_forbidden else StreamflowError
        raise kind(without_secrets(said)) from None
    except (OSError, ValueError, HTTPException) as error:
        raise url_error(f"{url} does not answer", error) from None
