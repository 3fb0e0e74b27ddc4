"""docs/api.md is what the service says of itself, and what it says is answered."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import routed
from api.http.problem_examples import EVERYWHERE
from api.reference.example_requests import answer_of, as_text, request_of
from api.reference.page import anchor, page
from api.reference.schema_words import members, resolved, type_of

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
DESCRIBED = routed(needs_keys=True, has_limit=True).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": (method, path, operation)
    for path, item in DESCRIBED["paths"].items()
    for method, operation in item.items()
}
AGES = ("age_seconds", "status")
"""Members of an answer that time changes."""


def test_the_page_of_the_requests_is_as_make_docs_writes_it() -> None:
    assert page() == PAGE, "run: make docs"


def test_every_request_has_a_section_that_the_overview_leads_to() -> None:
    headings = set(re.findall(r"^## (.*)$", PAGE, re.MULTILINE))
    assert set(OPERATIONS) <= headings
    for method, path, _ in OPERATIONS.values():
        assert f"(#{anchor(method, path)})" in PAGE
    links = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert links <= {anchor(*heading.partition(" ")[::2]).strip("-") for heading in headings}


def test_every_parameter_and_every_member_has_a_meaning() -> None:
    nameless = []
    for name, (_, _, operation) in OPERATIONS.items():
        for reference in operation["parameters"]:
            parameter = resolved(DESCRIBED, reference)
            nameless += [name] * (not parameter.get("description"))
        bodies = [operation["responses"]["200"], operation.get("requestBody", {})]
        for media in (media for body in bodies for media in body.get("content", {}).values()):
            nameless += [
                f"{name} {member}"
                for member, schema, _ in members(DESCRIBED, media["schema"])
                if not schema.get("description")
            ]
    assert nameless == []


def test_every_problem_says_what_to_do() -> None:
    for _, _, operation in OPERATIONS.values():
        for answer in operation["responses"].values():
            for media in answer["content"].values():
                for example in media.get("examples", {}).values():
                    assert example["description"].endswith((".", "authentication)."))
                    assert example["description"] in PAGE
    assert all(one.remedy in PAGE for one in EVERYWHERE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_example_of_a_request_is_answered_as_it_says(client: httpx.Client, name: str) -> None:
    request = request_of(DESCRIBED, *OPERATIONS[name])
    client.get("/features/7590-VHVEG")  # so that there is one to be counted
    answer = client.request(request.method, request.target, json=request.body)
    assert answer.status_code == 200, answer.text
    expected = answer_of(DESCRIBED, OPERATIONS[name][2])
    if isinstance(expected, str):  # metrics: the names and labels, whatever the counts
        lines = [line.rpartition(" ")[0] for line in expected.splitlines()]
        assert [line for line in lines if line not in answer.text] == []
    elif expected is not None:
        found = answer.json()
        if name == "GET /services":  # the tests have one more
            found["services"] = [one for one in found["services"] if one in expected["services"]]
        assert json.dumps(timeless(found)) == json.dumps(timeless(expected)), "in this order, too"


def timeless(node: Any) -> Any:
    """`node` without what time changes."""
    if isinstance(node, list):
        return [timeless(one) for one in node]
    if isinstance(node, dict):
        aged = "age_seconds" in node
        return {name: "…" if aged and name in AGES else timeless(one) for name, one in node.items()}
    return node


def test_a_key_is_asked_for_where_the_page_says(loaded: str, tmp_path: Path) -> None:
    from api.tests.access.key_files import ONE, line
    from api.tests.conftest import ready, serving, wait_until

    (tmp_path / "one").write_text(line(ONE))
    with serving(keys_dir=str(tmp_path)) as guarded:
        wait_until(lambda: ready(guarded))
        for method, path, operation in OPERATIONS.values():
            request = request_of(DESCRIBED, method, path, operation)
            status = guarded.request(request.method, request.target, json=request.body).status_code
            assert (status == 401) == ("401" in operation["responses"]), request


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text, or null"),
        ({"type": "string", "minLength": 1, "maxLength": 9}, "text of 1 to 9 characters"),
        ({"enum": ["a", "b", "c"]}, "`a`, `b` or `c`"),
        ({"const": "a"}, "`a`"),
        (
            {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "number"}, {}]}},
            "list of (number or any value), at least 1",
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of whole number"),
        ({"type": "string", "format": "date-time"}, "instant"),
    ],
)
def test_types_are_told_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of({}, schema) == words


def test_json_has_a_line_for_what_fits_one() -> None:
    value = {"short": [1, 2], "long": ["x" * 60, "y" * 60], "empty": {}}
    text = as_text(value)
    assert json.loads(text) == value
    assert '  "short": [1, 2],\n' in text
    assert max(map(len, text.splitlines())) < 100
