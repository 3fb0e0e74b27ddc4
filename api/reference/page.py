"""The page: what all requests have in common, then every operation, then every problem."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.app import routed
from api.http import problem_examples
from api.http.reply import SAFE
from api.reference.example_requests import answer_of, as_text, request_of
from api.reference.schema_words import members, resolved, type_of
from api.settings import PREFIX, ApiSettings

URL = "http://streamflow-api"
LIMITS = {
    "max_users": "users of one `POST /features`, rows of one `POST /get-online-features`; "
    "more is 422",
    "max_body_bytes": "bytes of a body; more is 413",
    "deadline_s": "seconds that a request waits for the database; longer is 503",
    "max_waiting": "requests that wait at once; one more is 503 at once",
    "rate_per_s": "users that a caller may ask for each second in the long run, 0 for no limit; "
    "more is 429",
    "rate_burst": "users that a caller may ask for at once after a pause; more is 429",
    "keep_alive_s": "seconds that a connection which nobody uses stays open",
}
HEAD = """\
# HTTP API
Every request that the service answers, in the words of its own OpenAPI: `make docs` writes this
page. The service has the same at `/openapi.json`, and at `/docs` as a page to try it on. Its
[address](operations.md#which-address) is the operators' to say. [For those who call the
API](clients.md) is what to mind besides: ids, contracts, 32-bit floats, Feast's SDK.
"""
AUTHENTICATION = """\
## Authentication
Where the service is run with keys, every request needs one, but for {open}, which are open to
everybody, as `/docs` and `/openapi.json` are.

```console
$ curl {url}/services -H "Authorization: Bearer $STREAMFLOW_API_KEY"
```

A key may be limited to feature services; it may then ask for those as a whole, and not for single
features. A request without a key is 401, for something that the key is not for 403. Where users
are limited, they are counted by key, or by client address where no keys are needed.
"""
PROBLEMS = """\
## Problems
Every failure is `application/problem+json` (RFC 9457) and has its own `type`, by which a program
decides; `detail` is for people, and `instance` for the operators: the log has it. For example:
"""


def page() -> str:
    """The whole page as Markdown."""
    described = routed(needs_keys=True, has_limit=True).openapi()
    return "\n".join(lines(described)) + "\n"


def lines(described: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of the page, or some of them at once."""
    operations = [
        (method, path, operation)
        for path, item in described["paths"].items()
        for method, operation in item.items()
    ]
    yield HEAD
    yield described["info"]["description"]
    yield from table(
        ("request", "answer"),
        (
            (f"[`{method.upper()} {path}`](#{anchor(method, path)})", operation["summary"])
            for method, path, operation in operations
        ),
    )
    keyless = [f"`{path}`" for _, path, operation in operations if "security" not in operation]
    yield AUTHENTICATION.format(open=", ".join(keyless), url=URL)
    yield from headers(described)
    yield from limits()
    for method, path, operation in operations:
        yield from section(described, method, path, operation)
    yield from problems(described)


def headers(described: Mapping[str, Any]) -> Iterator[str]:
    """Yields the section on headers."""
    parameters, answers = {}, {}
    for item in described["paths"].values():
        for operation in item.values():
            for reference in operation["parameters"]:
                parameter = resolved(described, reference)
                if parameter["in"] == "header":
                    parameters[parameter["name"]] = parameter["description"]
            for answer in operation["responses"].values():
                for name, reference in answer["headers"].items():
                    answers[name] = resolved(described, reference)["description"]
    yield "## Headers"
    sent = {"Authorization": "`Bearer KEY`, where [keys](#authentication) are needed."}
    sent["Content-Type"] = "`application/json`, with every body."
    yield from table(("header of a request", "meaning"), code_first({**sent, **parameters}.items()))
    safe = " and ".join(f"`{name.decode().title()}: {value.decode()}`" for name, value in SAFE)
    yield from table(("header of an answer", "meaning"), code_first(answers.items()))
    yield f"Every answer has {safe}: nobody guesses its type, and nobody on the way keeps it.\n"


def limits() -> Iterator[str]:
    """Yields the section on limits, with the defaults of the settings."""
    yield "## Limits"
    yield from table(
        ("limit", "by default", "set by"),
        (
            (what, f"{ApiSettings.model_fields[name].default:,}", f"`{PREFIX}{name.upper()}`")
            for name, what in LIMITS.items()
        ),
    )


def section(
    described: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    """Yields the section of one operation."""
    yield f"## {method.upper()} {path}"
    yield f"**{operation['summary']}.** {operation['description']}\n"
    rows = list(parameters_of(described, operation))
    if rows:
        yield from table(("parameter", "in", "type", "default", "meaning"), rows)
    request = request_of(described, method, path, operation)
    yield f"```console\n$ {request.as_curl(URL)}\n```\n"
    example = answer_of(described, operation)
    if isinstance(example, str):
        yield f"```\n{example.rstrip()}\n…\n```\n"
    elif example is not None:
        yield f"```json\n{as_text(example)}\n```\n"
    (media,) = operation["responses"]["200"]["content"].values()
    found = [
        (f"`{name}`", type_of(described, schema), meaning(described, schema))
        for name, schema, _ in members(described, media["schema"])
    ]
    if found:
        yield from table(("member of the answer", "type", "meaning"), found)
    yield from table(("status", "problem", "what to do"), statuses(operation))


def parameters_of(
    described: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    """Yields the rows of an operation's parameters and of its body's members."""
    for reference in operation["parameters"]:
        one = resolved(described, reference)
        if "$ref" not in reference:  # what all have is said once, above
            default = default_of(one["schema"], one.get("required", False))
            kind = type_of(described, one["schema"]).removesuffix(", or null")
            yield f"`{one['name']}`", one["in"], kind, default, one["description"]
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        for name, schema, required in members(described, media["schema"]):
            kind = type_of(described, schema)
            default = default_of(resolved(described, schema), required)
            yield f"`{name}`", "body", kind, default, meaning(described, schema)


def default_of(schema: Mapping[str, Any], required: bool) -> str:
    """The default of a parameter in words."""
    if required:
        return "required"
    default = schema.get("default")
    return "none" if default in (None, []) else f"`{as_text(default)}`"


def meaning(described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The description of a value, its own or its type's."""
    return str(schema.get("description") or resolved(described, schema).get("description", ""))


def statuses(operation: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields the rows of an operation's answers by status."""
    for status, answer in operation["responses"].items():
        media = answer["content"].get("application/problem+json")
        if media is None:
            yield status, "—", "—"
            continue
        for example in media["examples"].values():
            yield status, problem_words(example["value"]), example["description"]


def problem_words(body: Mapping[str, Any]) -> str:
    """The title and the type of a problem."""
    return f"{body['title']}: `{body['type']}`"


def problems(described: Mapping[str, Any]) -> Iterator[str]:
    """Yields the section on problems: their members, and those of any request."""
    yield PROBLEMS
    yield f"```json\n{as_text(problem_examples.UNKNOWN_NAME.body)}\n```\n"
    problem = described["components"]["schemas"]["Problem"]
    yield from table(
        ("member", "type", "meaning"),
        (
            (f"`{name}`", type_of(described, one).removesuffix(", or null"), one["description"])
            for name, one in problem["properties"].items()
        ),
    )
    yield "Any request may be answered by one of these, too:\n"
    yield from table(
        ("status", "problem", "what to do"),
        (
            (str(one.status.value), problem_words(one.body), one.remedy)
            for one in problem_examples.EVERYWHERE
        ),
    )


def anchor(method: str, path: str) -> str:
    """The anchor that GitHub gives an operation's heading."""
    kept = (letter for letter in f"{method} {path}".lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


def code_first(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yields rows with the first cell as code."""
    for first, second in rows:
        yield f"`{first}`", second


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yields the lines of a table, and an empty one."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        cells = [" ".join(cell.split()).replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""
