"""Requests and answers of Feast's own HTTP protocol, as pydantic models."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    feature_service: str | None = None
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

    values: list[Any]
    statuses: list[Literal["PRESENT", "NOT_FOUND", "OUTSIDE_MAX_AGE"]]
    event_timestamps: list[datetime]


class OnlineFeatures(Answered):
    """The answer of Feast's own feature server."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [
                    {
                        "values": [USER, "0000-NOONE"],
                        "statuses": ["PRESENT", "PRESENT"],
                        "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
                    },
                    {
                        "values": [29.850000381469727, None],
                        "statuses": ["PRESENT", "NOT_FOUND"],
                        "event_timestamps": ["2024-01-31T00:00:00Z", "1970-01-01T00:00:00Z"],
                    },
                ],
                "metadata": {"feature_names": ["user_id", "monthly_fee"]},
            }
        }
    )

    results: list[OnlineColumn]
    metadata: OnlineMetadata
