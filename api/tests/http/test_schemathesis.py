"""Requests that schemathesis makes of the OpenAPI description: every answer is as it says."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi import schemas as _schemas  # noqa: F401  # else a server's thread is there

from drills.results import Result, choose, record

pytestmark = pytest.mark.slow  # requests at random

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
"""All checks but those that expect random users or services to exist."""
EXAMPLES = choose(50, 150)


OPERATIONS = [
    ("GET", "/features/{user_id}"),
    ("POST", "/features"),
    ("POST", "/get-online-features"),
    ("GET", "/services"),
    ("GET", "/services/{name}"),
    ("GET", "/registry.pb"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


def takes(operation: tuple[str, str], mode: GenerationMode) -> bool:
    """True if there can be such a request: a part without parameters cannot be wrong."""
    return mode is GenerationMode.POSITIVE or "/features" in operation[1] or operation[0] == "POST"


@pytest.fixture(scope="module")
def described(rich_client: httpx.Client) -> Any:
    """The description as the running server gives it."""
    return schemathesis.openapi.from_url(str(rich_client.base_url.join("/openapi.json")))


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*one, mode) for mode in GenerationMode for one in OPERATIONS if takes(one, mode)],
)
def test_every_answer_is_as_described(
    described: Any, method: str, path: str, mode: GenerationMode
) -> None:
    count = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(described[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        nonlocal count
        count += 1
        response = case.call()
        case.validate_response(response, checks=CHECKS)

    check()
    record(
        Result("requests made of the OpenAPI description", f"{method} {path}", count, 0, None, 0)
    )


def test_every_operation_is_asked(described: Any) -> None:
    found = [one.ok() for one in described.get_all_operations()]
    assert sorted((one.method.upper(), one.path) for one in found) == sorted(OPERATIONS)
