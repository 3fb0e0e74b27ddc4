"""Served values of an audit's rows, and those that the API answers."""

import base64
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from jobs.audit.keys import Row
from jobs.run.urls import url_error, without_secrets
from streamflow.catalog.contract import Contract
from streamflow.errors import StreamflowError

SETTLE_S = 1.0
"""The longest time for which the API may still answer with values from before a commit."""
TIMEOUT_S = 30
ROWS_PER_REQUEST = 100


class WholeServicesOnly(StreamflowError):
    """The key in use may not ask for single features."""


@dataclass(frozen=True)
class Served:
    """The features of one row as they are served."""

    values: dict[str, Any]
    """By reference, `view:feature`."""
    as_of: dict[str, datetime | None]
    """By view; None where it has no values of the row's key."""
    is_json: bool = False
    """True where the values come from an answer of the API."""


def from_api(url: str, contract: Contract, rows: Sequence[Row]) -> list[Served]:
    """Asks the API for the values of the rows.

    Raises:
        StreamflowError: it does not answer, or has another contract.
    """
    time.sleep(SETTLE_S)
    served: list[Served] = []
    for begin in range(0, len(rows), ROWS_PER_REQUEST):
        some = rows[begin : begin + ROWS_PER_REQUEST]
        answer, hash_ = ask(url, contract, some)
        if hash_ != contract.hash:
            raise StreamflowError(
                f"the API serves contract {hash_} of {contract.service or 'single features'}, "
                f"the registry has {contract.hash}"
            )
        served += of_answer(contract, answer, len(some))
    return served


def of_answer(contract: Contract, answer: dict[str, Any], count: int) -> list[Served]:
    """The rows of an answer, whose columns are the join keys and then the contract's features."""
    columns = answer["results"][-len(contract.features) :]
    features = list(zip(contract.features, columns, strict=True))
    return [
        Served(
            values={one.reference: column["values"][row] for one, column in features},
            as_of={one.view: instant(column, row) for one, column in features},
            is_json=True,
        )
        for row in range(count)
    ]


def instant(column: dict[str, Any], row: int) -> datetime | None:
    """The instant that a row of a column describes; None where there is none."""
    if column["statuses"][row] == "NOT_FOUND":
        return None
    return datetime.fromisoformat(column["event_timestamps"][row])


def ask(url: str, contract: Contract, rows: Sequence[Row]) -> tuple[dict[str, Any], str]:
    """Sends POST /get-online-features to the API, which takes rows of any join keys.

    The key of STREAMFLOW_API_KEY is sent where that is set.

    Args:
        contract: its service is asked for; without one its features, one by one.

    Returns:
        The answer, and the hash of the contract that it has.

    Raises:
        WholeServicesOnly: the key may not ask for those.
        StreamflowError: it does not answer, or with an error.
    """
    asked: dict[str, Any] = {"features": [one.reference for one in contract.features]}
    if contract.service:
        asked = {"feature_service": contract.service}
    entities = {name: [in_json(row[name]) for row in rows] for name in rows[0]}
    body = json.dumps({**asked, "entities": entities, "full_feature_names": True}).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("STREAMFLOW_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    place = f"{url.rstrip('/')}/get-online-features"
    request = Request(place, body, headers)  # noqa: S310  # the caller's
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer), answer.headers["Contract"]
    except HTTPError as error:
        said = f"{url} answered {error.code}: {error.read().decode(errors='replace')}"
        is_forbidden = error.code == HTTPStatus.FORBIDDEN and not contract.service
        kind = WholeServicesOnly if is_forbidden else StreamflowError
        raise kind(without_secrets(said)) from None
    except (OSError, ValueError, HTTPException) as error:
        raise url_error(f"{url} does not answer", error) from None


def in_json(value: Any) -> Any:
    """A join key as the API takes it in JSON: bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
