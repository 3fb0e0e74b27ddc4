"""Plans an `apply`: compares the definitions with the registry, object by object.

Feast's own protobuf forms are compared, so that every property counts except those that Feast
fills in by itself (times, inferred join keys, materialized intervals). Code in Python counts by its
text: what Feast keeps beside it as bytes names the file and the line, and is others each time that
the registry is read.
"""

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

SIGNS = {"added": "+", "changed": "~", "removed": "-"}
FILLED_IN = frozenset({"meta", "project", "entity_columns", "state"})
"""Properties that Feast fills in by itself; a tag may be called so."""
NO_LIMIT = ("ttl", "0s")
"""A ttl that Feast reads back from a registry for views whose definition has none."""
CODE = "user_defined_function"
SCHEMA, ONLINE, CONTRACT = "schema", "online tables", "contract"
"""Kinds of changes beside those of Feast's objects."""
DATA_SOURCE = "data source"
"""Feast's kind of these."""
DUMMY_ENTITY = "__dummy"
"""Feast's stand-in for views without an entity; not a definition of ours."""

Objects = dict[tuple[str, str], Any]
"""Feast objects by (kind, name), in Feast's order of kinds."""


@dataclass(frozen=True)
class Change:
    """One difference between what is there and what the feature repository says."""

    action: str
    """added, changed or removed."""
    kind: str
    name: str
    details: tuple[str, ...] = ()
    """The properties that differ, a line each."""

    def __str__(self) -> str:
        head = f"{SIGNS[self.action]} {self.kind} {self.name}"
        return "\n".join([head, *(f"    {detail}" for detail in self.details)])


@dataclass(frozen=True)
class Plan:
    """The changes that `apply` would make."""

    changes: tuple[Change, ...]
    blocked: tuple[str, ...] = ()
    """The reasons why it needs --allow-removal: views to be removed that a service uses."""

    def __str__(self) -> str:
        if not self.changes:
            return "nothing to do: database and registry are as the feature repository says"
        return "\n".join(map(str, self.changes))


def defined(contents: "RepoContents") -> Objects:
    """The objects that the feature repository defines, by kind and name."""
    from feast.infra.registry.registry import FeastObjectType

    return by_kind_and_name(FeastObjectType.get_objects_from_repo_contents(contents))


def registered(store: "FeatureStore") -> Objects:
    """The objects that are in the registry, by kind and name."""
    from feast.infra.registry.registry import FeastObjectType

    return by_kind_and_name(
        FeastObjectType.get_objects_from_registry(store.registry, store.project)
    )


def by_kind_and_name(objects: dict[Any, list[Any]]) -> Objects:
    """Turns Feast's lists of objects by kind into one dictionary by kind and name."""
    return {
        (kind.value, found.name): found
        for kind, several in objects.items()
        for found in sorted(several, key=lambda one: str(one.name))
        if found.name != DUMMY_ENTITY
    }


def compare(now: Objects, then: Objects) -> Plan:
    """Plans the changes that turn the objects `now` into the objects `then`."""
    changes = [Change("added", *key) for key in then if key not in now]
    for key in now.keys() & then.keys():
        if details := differences(properties(now[key]), properties(then[key])):
            changes.append(Change("changed", *key, details))
    removed = [key for key in now if key not in then]
    changes += [Change("removed", *key) for key in removed]
    order = list({**then, **now})
    changes.sort(key=lambda change: order.index((change.kind, change.name)))
    return Plan(tuple(changes), in_use(now, removed))


def in_use(now: Objects, removed: list[tuple[str, str]]) -> tuple[str, ...]:
    """Says which of the views to be removed a registered service uses, a sentence each."""
    services = [found for (kind, _), found in now.items() if kind == "feature service"]
    return tuple(
        f"{kind} {name} is used by feature service {service.name}"
        for kind, name in removed
        for service in services
        if name in (projection.name for projection in service.feature_view_projections)
    )


def properties(found: Any) -> dict[str, str]:
    """An object's properties by their path, e.g. `features.monthly_fee.value_type`."""
    from google.protobuf.json_format import MessageToDict

    return dict(flattened(MessageToDict(found.to_proto(), preserving_proto_field_name=True)))


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Flattens a nested value to (path, text) pairs; list entries go by their name, if any."""
    if isinstance(value, dict):
        # A view carries its whole source, a service all its views'; the source is an object
        # of its own, so here its name is enough.
        if path.endswith("batch_source"):
            value = {"name": value["name"]}
        # PostgreSQL's sources keep their query in JSON as bytes; others keep what they like.
        if path.endswith("custom_options"):
            with contextlib.suppress(ValueError):
                kept = json.loads(base64.b64decode(value["configuration"]))
                yield from flattened(kept, path.removesuffix("custom_options").rstrip("."))
                return
        is_code = path.endswith(CODE)
        for key, inner in value.items():
            filled_in = key in FILLED_IN and not path.endswith("tags")
            if not (filled_in or (is_code and key == "body" and "body_text" in value)):
                yield from flattened(inner, key if path in ("", "spec") else f"{path}.{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from flattened(inner, f"{path}.{entry_name(inner, place)}")
    elif (path, value) != NO_LIMIT:
        yield path, str(value)


def entry_name(entry: Any, place: int) -> str:
    """The name of a list's entry, or its place."""
    names = ("name", "feature_view_name") if isinstance(entry, dict) else ()
    return next((str(entry[name]) for name in names if name in entry), str(place))


def differences(now: dict[str, str], then: dict[str, str]) -> tuple[str, ...]:
    """Describes each property that differs in one line."""
    lines = []
    for path in sorted(now.keys() | then.keys()):
        before, after = (one_line(side.get(path)) for side in (now, then))
        if before != after:
            lines.append(f"{path}: {before} → {after}")
    return tuple(lines)


def one_line(value: str | None) -> str:
    """A property's text on one line; an absent one as a dash."""
    return "–" if value is None else " ".join(value.split())
