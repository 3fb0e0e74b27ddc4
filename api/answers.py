"""Shapes what was read into what is answered."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.responses import JSONResponse

from api.catalog import Catalog, Service
from api.features import Answer
from feature_repo.contract import Contract
from feature_repo.online import Vector


class Json(JSONResponse):
    """JSON with floats as the shortest text that reads back equal, and times ending in Z."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def one(answer: Answer) -> dict[str, Any]:
    """The answer for the single user of a read."""
    [vector] = answer.vectors
    return {
        "user_id": vector.user_id,
        "features": features(keys(answer.contract), vector),
        "metadata": {
            **metadata(answer.contract),
            "views": views(answer.catalog, vector, datetime.now(UTC)),
        },
    }


def many(answer: Answer) -> dict[str, Any]:
    """The answer for many users: known ones with their features, then the unknown ones' ids."""
    named, now = keys(answer.contract), datetime.now(UTC)
    return {
        "results": [
            {
                "user_id": vector.user_id,
                "features": features(named, vector),
                "views": views(answer.catalog, vector, now),
            }
            for vector in answer.vectors
            if vector.found
        ],
        "unknown": [vector.user_id for vector in answer.vectors if not vector.found],
        "metadata": metadata(answer.contract),
    }


def metadata(contract: Contract) -> dict[str, Any]:
    """Which features they are."""
    return {"service": contract.service or None, "contract": contract.hash}


def keys(contract: Contract) -> list[tuple[str, str]]:
    """Each feature's key in an answer with its reference, in the contract's order.

    The key is the feature's name, or `view__name` where several views have that name.
    """
    uses = Counter(feature.name for feature in contract.features)
    return [
        (
            feature.name if uses[feature.name] == 1 else f"{feature.view}__{feature.name}",
            feature.reference,
        )
        for feature in contract.features
    ]


def features(named: Sequence[tuple[str, str]], vector: Vector) -> dict[str, Any]:
    """The user's id, then its values under the keys of `named`."""
    values = {key: vector.values[reference] for key, reference in named}
    return {"user_id": vector.user_id, **values}


def views(catalog: Catalog, vector: Vector, now: datetime) -> dict[str, Any]:
    """How old the values of each view are, at the instant `now`."""
    return {
        view: freshness(as_of, catalog.fresh_for(view), now) for view, as_of in vector.as_of.items()
    }


def freshness(as_of: datetime | None, limit: timedelta | None, now: datetime) -> dict[str, Any]:
    """How old values of the instant `as_of` are; stale when older than `limit`, None for never.

    A clock that is behind the database's makes no age negative.
    """
    if as_of is None:
        return {"as_of": None, "age_seconds": None, "status": "missing"}
    age = max(now - as_of, timedelta())
    stale = limit is not None and age > limit
    return {
        "as_of": as_of,
        "age_seconds": age // timedelta(seconds=1),
        "status": "stale" if stale else "fresh",
    }


def summary(service: Service) -> dict[str, Any]:
    """A service in the list of all."""
    return {
        "name": service.name,
        "description": service.description,
        "contract": service.contract.hash,
        "features": len(service.contract.features),
    }


def contract(service: Service) -> dict[str, Any]:
    """A service with its features in order."""
    return {**summary(service), "features": service.contract.described()}
