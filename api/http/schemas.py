"""Requests and answers as pydantic models; their examples stand in the documentation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api.http.user_ids import UserKey

USER = "7590-VHVEG"
CONTRACT = "3c0829dcc18ce4d1"
FEATURES: JsonDict = {
    "user_id": USER,
    "months_active": 1,
    "monthly_fee": 29.850000381469727,
    "paperless_billing": True,
}
VIEWS: JsonDict = {
    "subs_profile_fv": {"as_of": "2024-01-31T00:00:00Z", "age_seconds": 86400, "status": "fresh"}
}


HASH = r"^[0-9a-f]{16}$"
"""A contract's hash."""
ID = "The user, as the join key is written."
VALUES = (
    "`user_id`, then the features in the contract's order, null where there is none; a 32-bit "
    "float as the number it is. `view__name` where two views have a feature of one name."
)
AGES = "By feature view, the age of its values."
SERVICE = "The feature service; null when single features were asked for."
SAME = "Equal for equal features in equal order; a training set has it too."
OLDER = "Only where an older contract was asked for."
BEHIND = "Only where features are read from a replica of the database."
EXPECTED = (
    "The features' contract as the caller knows it. One that the service had before is answered by "
    "its own list while all of that is there; with any other one the answer is 409."
)


class Selection(BaseModel):
    """The features that a request asks for: a service's, or single ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[
        str | None,
        Field(
            description="A feature service; without it and without `features` the default one.",
            examples=["profile_v1"],
        ),
    ] = None
    features: Annotated[
        list[str] | None,
        Field(
            description="Single features as `view:name` instead of a service; several are "
            "repeated or separated by commas, and one given twice is answered once.",
        ),
    ] = None

    @field_validator("features")
    @classmethod
    def references(cls, given: list[str] | None) -> list[str] | None:
        """Split at commas, and check that each part is `view:name`."""
        if given is None:
            return None
        found = [one.strip() for some in given for one in some.split(",")]
        if not all(found) or not found:
            raise PydanticCustomError("empty", "is empty; give view:name, or leave it out")
        for one in found:
            view, _, name = one.partition(":")
            if not view or not name:
                raise PydanticCustomError("reference", "a feature is written view:name")
        return found

    @model_validator(mode="after")
    def service_or_features(self) -> Self:
        """Refuse a service together with single features."""
        if self.service is not None and self.features is not None:
            raise PydanticCustomError("both", "give service or features, not both")
        return self


class Asked(Selection):
    """The features that the query of a URL asks for."""

    input: Annotated[
        list[str] | None,
        Field(
            description="A value that computed features take from the request, as `name:value`; "
            "several are repeated.",
        ),
    ] = None

    contract: Annotated[str | None, Field(pattern=HASH, description=EXPECTED)] = None


class Batch(Selection):
    """The features of many users."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"user_ids": [USER, "0000-NOONE"], "service": "profile_v1"}}
    )

    user_ids: Annotated[
        list[UserKey],
        Field(
            min_length=1,
            description="In the order they are answered; 1000 at most by default. Texts, or what "
            "the join key is: 1 and 1.0 are the whole number that `1` is.",
        ),
    ]

    inputs: Annotated[
        dict[str, Any] | None,
        Field(
            description="By name, the values that computed features take from the request: one "
            "for all users, or a list with one for each.",
        ),
    ] = None


class Answered(BaseModel):
    """The base of all answers, which have exactly their members."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def answered(
    model: type[Answered], headers: Mapping[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Describes an answer by the example of its model, in order, and its headers, for `responses`.

    Pydantic sorts the members of what a schema has as its example.
    """
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)  # noqa: S101  # of the models that are given here
    described = {"content": {"application/json": {"example": extra["example"]}}}
    return {200: {**described, **({"headers": {**headers}} if headers else {})}}


class ViewStatus(Answered):
    """The age of the values of one feature view."""

    as_of: Annotated[datetime | None, Field(description="The instant they describe, UTC.")]
    age_seconds: Annotated[int | None, Field(description="Whole seconds since then.")]
    status: Annotated[
        Literal["fresh", "stale", "missing"],
        Field(description="`stale` past the view's own limit, `missing` where it has no values."),
    ]
    ttl_seconds: Annotated[
        float | None,
        Field(description="Age up to which the view's values hold; only where there is one."),
    ] = None


class Superseded(Answered):
    """The end of an older contract as the present one of its service."""

    at: Annotated[datetime, Field(description="Since when the service has another one, UTC.")]
    by: Annotated[str, Field(description="The present contract.", examples=[CONTRACT])]
    ends: Annotated[
        datetime | None,
        Field(description="Until when it is answered; only where that is configured."),
    ] = None


class Replica(Answered):
    """The age that the values of the replica which was read may have."""

    lag_seconds: Annotated[
        float,
        Field(
            description="All that was committed longer ago than that is in the answer; proven, so "
            "that it may be less. 0 where the primary itself answers."
        ),
    ]


class Metadata(Answered):
    """The contract of one user's features, and the ages of their values."""

    service: Annotated[str | None, Field(description=SERVICE)]
    contract: Annotated[str, Field(description=SAME)]
    superseded: Annotated[Superseded | None, Field(description=OLDER)] = None
    views: Annotated[dict[str, ViewStatus], Field(description=AGES)]
    source: Annotated[
        Literal["cache"] | None,
        Field(description="Only where the database is away and the answer was kept from before."),
    ] = None
    replica: Annotated[Replica | None, Field(description=BEHIND)] = None


class UserFeatures(Answered):
    """The features of one user."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "user_id": USER,
                "features": FEATURES,
                "metadata": {"service": "profile_v1", "contract": CONTRACT, "views": VIEWS},
            }
        }
    )

    user_id: Annotated[str, Field(description=ID)]
    features: Annotated[dict[str, Any], Field(description=VALUES)]
    metadata: Annotated[Metadata, Field(description="What the values are of, and how old.")]


class Result(Answered):
    """One user of a batch."""

    user_id: Annotated[str, Field(description=ID)]
    features: Annotated[dict[str, Any], Field(description=VALUES)]
    views: Annotated[dict[str, ViewStatus], Field(description=AGES)]


class BatchMetadata(Answered):
    """The contract of the features of all users of a batch."""

    service: Annotated[str | None, Field(description=SERVICE)]
    contract: Annotated[str, Field(description=SAME)]
    superseded: Annotated[Superseded | None, Field(description=OLDER)] = None
    replica: Annotated[Replica | None, Field(description=BEHIND)] = None


class BatchFeatures(Answered):
    """The features of many users."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [{"user_id": USER, "features": FEATURES, "views": VIEWS}],
                "unknown": ["0000-NOONE"],
                "metadata": {"service": "profile_v1", "contract": CONTRACT},
            }
        }
    )

    results: Annotated[list[Result], Field(description="Known users, in the order asked for.")]
    unknown: Annotated[list[str], Field(description="Users without any feature, in that order.")]
    metadata: Annotated[BatchMetadata, Field(description="What the values are of.")]


class Status(Answered):
    """The state of the service."""

    status: Annotated[str, Field(description="The state in one word.")]
    detail: Annotated[
        str | None, Field(description="What is amiss nevertheless; only where something is.")
    ] = None


class Problem(BaseModel):
    """A problem by RFC 9457."""

    type: Annotated[str, Field(description="Identifies the kind of problem.")]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="The status of the answer.")]
    detail: Annotated[str, Field(description="This problem in a sentence.")]
    instance: Annotated[str, Field(description="The request's id, as the log has it.")]
    kind: Annotated[
        Literal["feature service", "feature view", "feature"] | None,
        Field(description="For an unknown name: what it would be the name of."),
    ] = None
    known: Annotated[
        list[str] | None,
        Field(
            description="For an unknown name: the names there are. For another contract of a "
            "service: the contracts that it can be asked with, the present one first."
        ),
    ] = None
    errors: Annotated[
        list[dict[str, str]] | None,
        Field(description="For a request that is not valid: where and what, the first ten."),
    ] = None
    expected: Annotated[
        str | None, Field(description="For another contract: the one that the request expects.")
    ] = None
    actual: Annotated[
        str | None, Field(description="For another contract: the one that the features have.")
    ] = None
    differences: Annotated[
        list[str] | None,
        Field(
            description="For a contract that the service had before: what is not as it was then, "
            "the first ten."
        ),
    ] = None
