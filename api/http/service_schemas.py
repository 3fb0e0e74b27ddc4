"""Answers about feature services as pydantic models, with examples for the documentation."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict, JsonValue

from api.http.schemas import CONTRACT, Answered

WHY_NOT = "Why it cannot be asked for; only where that is so."
CHURN: JsonDict = {
    "name": "churn_v1",
    "description": "All features of the churn model, version 1.",
    "contract": "210c99bb71d5f508",
    "features": 14,
}
PROFILE = "The three profile features that a first screen needs."
PROFILE_FEATURES: list[JsonValue] = [
    {
        "view": "subs_profile_fv",
        "name": "months_active",
        "type": "Int64",
        "description": "Full months since the subscription began, in months.",
    },
    {
        "view": "subs_profile_fv",
        "name": "monthly_fee",
        "type": "Float32",
        "description": "Fee of the current plan, in US dollars per month.",
    },
    {
        "view": "subs_profile_fv",
        "name": "paperless_billing",
        "type": "Bool",
        "description": "Whether bills are sent electronically.",
    },
]


class ServiceSummary(Answered):
    """A feature service."""

    name: Annotated[str, Field(description="Its name, as `service` takes it.")]
    description: Annotated[str, Field(description="Its meaning, as its team wrote it.")]
    contract: Annotated[
        str, Field(description="The hash of its features, as `If-Contract` takes it.")
    ]
    features: Annotated[int, Field(description="How many it has.")]
    unservable: Annotated[str | None, Field(description=WHY_NOT)] = None


class Services(Answered):
    """All feature services."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "services": [
                    CHURN,
                    {
                        "name": "profile_v1",
                        "description": PROFILE,
                        "contract": CONTRACT,
                        "features": 3,
                    },
                ]
            }
        }
    )

    services: Annotated[list[ServiceSummary], Field(description="By name.")]


class FeatureDescription(Answered):
    """One feature of a service."""

    view: Annotated[str, Field(description="The feature view that has it.")]
    name: Annotated[str, Field(description="Its name, as answers have it.")]
    type: Annotated[str, Field(description="Its type in Feast's words.")]
    description: Annotated[str, Field(description="Its meaning with its unit.")]
    expression: Annotated[
        str | None, Field(description="The SQL that computes it; only where it is computed.")
    ] = None


class ServiceContract(Answered):
    """The contract of a feature service: its features in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "profile_v1",
                "description": PROFILE,
                "contract": CONTRACT,
                "features": PROFILE_FEATURES,
                "join_keys": {"user_id": "String"},
            }
        }
    )

    name: Annotated[str, Field(description="Its name, as `service` takes it.")]
    description: Annotated[str, Field(description="Its meaning, as its team wrote it.")]
    contract: Annotated[
        str, Field(description="The hash of its features, as `If-Contract` takes it.")
    ]
    features: Annotated[list[FeatureDescription], Field(description="In the order of answers.")]
    join_keys: Annotated[
        dict[str, str],
        Field(description="By name, the types of the join keys that it is asked by."),
    ]
    inputs: Annotated[
        dict[str, str] | None,
        Field(
            description="By name, the types of the values that computed features take from a "
            "request; only where there are any."
        ),
    ] = None
    unservable: Annotated[str | None, Field(description=WHY_NOT)] = None
