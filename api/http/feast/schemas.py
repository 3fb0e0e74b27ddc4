"""Requests and answers of Feast's own HTTP protocol, as pydantic models."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonValue

from api.http.schemas import USER, Answered


class OnlineRequest(BaseModel):
    """The request of a Feast SDK."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "feature_service": "profile_v1",
                "entities": {"user_id": [USER, "0000-NOONE"]},
                "full_feature_names": False,
            }
        },
    )

    entities: Annotated[
        dict[str, list[Any]], Field(description="By join key, its value in each row.")
    ]
    feature_service: Annotated[str | None, Field(description="A feature service.")] = None
    features: Annotated[
        list[str], Field(description="`view:name` each, where no feature service is given.")
    ] = []
    full_feature_names: Annotated[
        bool, Field(description="Whether features are called `view__name` in the answer.")
    ] = False
    include_feature_view_version_metadata: Annotated[
        bool, Field(description="Not supported; has to be false.")
    ] = False


class OnlineMetadata(Answered):
    """The names of the columns."""

    feature_names: Annotated[list[str], Field(description="Join keys first, then features.")]


class OnlineColumn(Answered):
    """A join key or a feature in all rows."""

    values: Annotated[list[Any], Field(description="In the order of the rows.")]
    statuses: Annotated[
        list[Literal["PRESENT", "NOT_FOUND", "OUTSIDE_MAX_AGE"]],
        Field(description="`NOT_FOUND` without a row, `OUTSIDE_MAX_AGE` past the view's ttl."),
    ]
    event_timestamps: Annotated[
        list[datetime],
        Field(description="The instants that they describe, UTC; 1970 where there is none."),
    ]


NEVER, MONTH = "1970-01-01T00:00:00Z", "2024-01-31T00:00:00Z"
FOUND: list[JsonValue] = ["PRESENT", "NOT_FOUND"]


def column(values: list[JsonValue], statuses: list[JsonValue], first: str) -> JsonValue:
    """A column of the example: the first row is of the instant `first`, the second of none."""
    return {"values": values, "statuses": statuses, "event_timestamps": [first, NEVER]}


class OnlineFeatures(Answered):
    """The answer of Feast's own feature server."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [
                    column([USER, "0000-NOONE"], ["PRESENT", "PRESENT"], NEVER),
                    column([1, None], FOUND, MONTH),
                    column([29.850000381469727, None], FOUND, MONTH),
                    column([True, None], FOUND, MONTH),
                ],
                "metadata": {
                    "feature_names": [
                        "user_id",
                        "months_active",
                        "monthly_fee",
                        "paperless_billing",
                    ]
                },
            }
        }
    )

    results: Annotated[list[OnlineColumn], Field(description="One for each of the names.")]
    metadata: Annotated[OnlineMetadata, Field(description="What the columns are of.")]
