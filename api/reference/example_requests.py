"""Requests and answers that the OpenAPI description gives as examples."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from api.reference.schema_words import resolved

WIDTH = 96
"""Letters of a line of JSON."""


@dataclass(frozen=True)
class ExampleRequest:
    """A request as the description of an operation has it."""

    method: str
    target: str
    """Path and query."""
    body: Any = None

    def as_curl(self, url: str) -> str:
        """The command that sends it to the service at `url`."""
        if self.body is None:
            output = " -o registry.pb" if self.target == "/registry.pb" else ""
            return f"curl{output} {shlex.quote(url + self.target)}"
        text = json.dumps(self.body)
        return (
            f"curl {shlex.quote(url + self.target)} -H 'Content-Type: application/json' \\\n"
            f"    -d {shlex.quote(text)}"
        )


def request_of(
    description: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> ExampleRequest:
    """The request of an operation's examples: the parameters that have one, and the body's."""
    query = {}
    for reference in operation.get("parameters", ()):
        parameter = resolved(description, reference)
        for example in parameter["schema"].get("examples", ())[:1]:
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(example))
            elif parameter["in"] == "query":
                query[parameter["name"]] = example
    target = f"{path}?{urlencode(query)}" if query else path
    content = operation.get("requestBody", {}).get("content", {})
    body = example_of(description, content["application/json"]) if content else None
    return ExampleRequest(method.upper(), target, body)


def answer_of(description: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    """The example of an operation's answer: what JSON says, a text, or None."""
    (media,) = operation["responses"]["200"]["content"].values()
    return example_of(description, media)


def example_of(description: Mapping[str, Any], media: Mapping[str, Any]) -> Any:
    """The example of a body, its own or its schema's; None where there is none."""
    return media.get("example", resolved(description, media.get("schema", {})).get("example"))


def as_text(value: Any, indent: str = "") -> str:
    """`value` as JSON, in which whatever fits a line has one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, list | dict):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        parts = [as_text(one, deeper) for one in value]
        return "[\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}]"
    parts = [f"{json.dumps(name)}: {as_text(one, deeper)}" for name, one in value.items()]
    return "{\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}}}"
