"""Requests for a feature service, ready to be copied; they name no real person."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from explorer.definitions import Definitions
from explorer.links import query
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import Service

USER = "user_id"
"""The join key that GET /features takes, unless the API was told another one."""
EXAMPLES = {
    "Int64": 1,
    "Int32": 1,
    "Float32": 1.5,
    "Float64": 1.5,
    "Bool": True,
    "UnixTimestamp": "2024-01-31T00:00:00Z",
}
"""A value to begin with by Feast's type; of any other a word in capitals."""
KEY_EXAMPLES: Mapping[str, object] = {"bigint": 1, "integer": 1, "boolean": True}
"""The same by PostgreSQL's type of a key."""


@dataclass(frozen=True)
class Example:
    """A request in a language."""

    title: str
    text: str


def of(defined: Definitions, service: Service, url: str) -> list[Example]:
    """The requests for a service; none for one that is not served."""
    if service.unservable:
        return []
    keys, inputs = keys_of(defined, service), inputs_of(defined, service)
    if list(keys) == [USER] and not inputs:
        return [curl_of_user(service, url), python_of_user(service, url), feast(service, keys)]
    entities = {name: [value] for name, value in {**keys, **inputs}.items()}
    body = {"feature_service": service.name, "entities": entities}
    return [curl(body, url), python(body, url), feast(service, {**keys, **inputs})]


def keys_of(defined: Definitions, service: Service) -> dict[str, object]:
    """By the names that requests give join keys: a value to begin with."""
    found: dict[str, object] = {}
    for one in service.projections:
        if (stored := defined.catalog.views.get(one.view)) is not None:
            named = {key.name: key for key in stored.keys}
            renamed = one.join_keys
        else:
            computed = defined.catalog.computed.get(one.view)
            inputs = {view for view, _ in computed.inputs.values()} if computed else set()
            named = {
                key.name: key
                for view in sorted(inputs)
                if view in defined.catalog.views
                for key in defined.catalog.views[view].keys
            }
            renamed = {
                theirs: ours
                for mapping in (computed.join_keys.values() if computed else ())
                for theirs, ours in mapping.items()
            }
        for name, key in named.items():
            if name != NO_KEY:
                asked = renamed.get(name, name)
                found.setdefault(asked, KEY_EXAMPLES.get(key.type, asked.upper()))
    return found


def inputs_of(defined: Definitions, service: Service) -> dict[str, object]:
    """The values that computed features take from a request."""
    found: dict[str, object] = {}
    for one in service.projections:
        if (computed := defined.catalog.computed.get(one.view)) is not None:
            for name, type_ in computed.request.items():
                found.setdefault(name, EXAMPLES.get(type_, name.upper()))
    return found


def curl_of_user(service: Service, url: str) -> Example:
    """A user's features, from a shell."""
    address = query(f"{url}/features/{USER.upper()}", service=service.name)
    return Example("curl", f"curl '{address}'")


def python_of_user(service: Service, url: str) -> Example:
    """A user's features, in Python."""
    text = (
        "import httpx\n\n"
        f'answer = httpx.get("{url}/features/{USER.upper()}",'
        f" params={json.dumps({'service': service.name})})\n"
        "answer.raise_for_status()\n"
        'print(answer.json()["features"])'
    )
    return Example("Python", text)


def curl(body: Mapping[str, object], url: str) -> Example:
    """Features of any keys, from a shell."""
    said = json.dumps(body).replace("'", "'\\''")
    return Example("curl", f"curl {url}/get-online-features --json '{said}'")


def python(body: Mapping[str, object], url: str) -> Example:
    """Features of any keys, in Python."""
    text = (
        "import httpx\n\n"
        f"body = {literal(body, indent=4)}\n"
        f'answer = httpx.post("{url}/get-online-features", json=body)\n'
        "answer.raise_for_status()\n"
        "print(answer.json())"
    )
    return Example("Python", text)


def feast(service: Service, row: Mapping[str, object]) -> Example:
    """The features by Feast's SDK."""
    text = (
        "from feast import FeatureStore\n\n"
        'store = FeatureStore("feature_repo")  # the folder with feature_store.yaml\n'
        "answer = store.get_online_features(\n"
        f"    features=store.get_feature_service({literal(service.name)}),\n"
        f"    entity_rows=[{literal(row)}],\n"
        ")\n"
        "print(answer.to_dict())"
    )
    return Example("Feast", text)


def literal(value: object, indent: int | None = None) -> str:
    """A value as Python writes it, in double quotes."""
    text = json.dumps(value, indent=indent)
    return re.sub(r"(?<=[\s:\[])true(?=[,\s\]}])", "True", text)
