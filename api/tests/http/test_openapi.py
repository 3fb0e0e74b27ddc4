"""The documentation shows itself without a CDN and says what the service does."""

import json
import re
from typing import Any

import httpx
import jsonschema
import pytest

from api.http import schemas
from api.http.feast import schemas as online_schemas


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    """The OpenAPI description as it is served."""
    description: dict[str, Any] = client.get("/openapi.json").json()
    return description


def test_the_root_leads_to_the_documentation(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.is_redirect
    assert client.get("/", follow_redirects=True).url.path == "/docs"


def test_everything_the_page_loads_comes_from_here(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", page.text)
    paths = ["".join(one) for one in loaded]
    assert sorted(path.rsplit("/")[-1] for path in paths) == [
        "favicon.png",
        "openapi.json",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
    ]
    assert "//" not in "".join(paths)
    types = [client.get(path).raise_for_status().headers["content-type"] for path in paths]
    assert {one.split(";")[0] for one in types} == {
        "text/css",
        "image/png",
        "text/javascript",
        "application/json",
    }
    assert len(client.get("/docs/swagger-ui-bundle.js").content) > 1_000_000


def test_swagger_ui_can_read_the_description(
    client: httpx.Client, described: dict[str, Any]
) -> None:
    assert described["openapi"].startswith("3.1.")
    script = client.get("/docs/swagger-ui-bundle.js").text
    (major,) = re.findall(r'PACKAGE_VERSION:"(\d+)\.', script)
    assert int(major) >= 5, "Swagger UI 4 reads OpenAPI 3.0 alone"


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert references <= set(described["components"]["schemas"])
    assert "Problem" in references


def test_every_operation_is_described_with_its_problems(described: dict[str, Any]) -> None:
    problems = {
        f"{method} {path}": [
            int(status)
            for status, response in operation["responses"].items()
            if "application/problem+json" in response.get("content", {})
        ]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    models = {
        f"{method} {path}": operation["responses"]["200"]["content"]
        .get("application/json", {})
        .get("schema", {})
        .get("$ref", "")
        .rpartition("/")[2]
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    assert models == {
        "get /features/{user_id}": "UserFeatures",
        "post /features": "BatchFeatures",
        "post /get-online-features": "OnlineFeatures",
        "get /services": "Services",
        "get /services/{name}": "ServiceContract",
        "get /registry.pb": "",
        "get /livez": "Status",
        "get /readyz": "Status",
        "get /metrics": "",
    }
    assert "HTTPValidationError" not in json.dumps(described)
    assert problems == {
        "get /features/{user_id}": [404, 409, 422, 503],
        "post /features": [408, 409, 413, 422, 503],
        "post /get-online-features": [408, 409, 413, 422, 503],
        "get /services": [503],
        "get /services/{name}": [404, 503],
        "get /registry.pb": [404, 503],
        "get /livez": [],
        "get /readyz": [503],
        "get /metrics": [],
    }
    for operations in described["paths"].values():
        assert all(operation["description"] for operation in operations.values())


@pytest.mark.parametrize(
    "name", ["Batch", "UserFeatures", "BatchFeatures", "OnlineRequest", "OnlineFeatures"]
)
def test_examples_are_as_they_describe(described: dict[str, Any], name: str) -> None:
    found = described["components"]["schemas"][name]
    module = online_schemas if name.startswith("Online") else schemas
    getattr(module, name).model_validate(found["example"])


def test_the_documented_example_is_answered(
    client: httpx.Client, described: dict[str, Any]
) -> None:
    example = described["components"]["schemas"]["UserFeatures"]["example"]
    answered = client.get(
        f"/features/{example['user_id']}", params={"service": example["metadata"]["service"]}
    ).json()
    expected = example["features"]
    assert {name: answered["features"][name] for name in expected} == expected
    assert answered["metadata"]["contract"] == example["metadata"]["contract"]


@pytest.mark.parametrize(
    ("method", "asked", "status", "name"),
    [
        ("get", "/features/0000-NOONE", 404, "unknown-user"),
        ("get", f"/features/x?contract={'0' * 16}", 409, "contract-mismatch"),
        ("get", "/features/x?service=churn_v9", 422, "unknown-name"),
        ("get", "/features/%00", 422, "invalid-request"),
        ("get", "/services/churn_v9", 404, "unknown-name"),
        ("post", "/features", 413, "Request Entity Too Large"),
    ],
)
def test_problems_are_as_they_are_described(
    client: httpx.Client, described: dict[str, Any], method: str, asked: str, status: int, name: str
) -> None:
    path = re.sub(r"(?<=/features/|/services/).*", "", asked)
    path += {"/features/": "{user_id}", "/services/": "{name}"}.get(path, "")
    response = described["paths"][path][method]["responses"][str(status)]
    example = response["content"]["application/problem+json"]["examples"][name]["value"]
    body = {"user_ids": ["x" * (1 << 20)]} if method == "post" else None
    answered = client.request(method, asked, json=body).json()
    for one in (answered, example):
        jsonschema.validate(one, schemas.Problem.model_json_schema())
    assert list(answered) == list(example)
    same = ("type", "title", "status")
    assert [answered[name] for name in same] == [example[name] for name in same]
