"""JSON schemas of an OpenAPI description in words, for the tables of a page."""

from collections.abc import Iterator, Mapping
from typing import Any

NULL = {"type": "null"}
NAMES = {"string": "text", "integer": "whole number", "boolean": "truth value"}
FORMATS = {"date-time": "instant"}


def resolved(description: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, or the component that it refers to."""
    found: Any = node
    while "$ref" in found:
        target: Any = description
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return dict(found)


def type_of(description: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a value with its limits."""
    found = resolved(description, schema)
    if "anyOf" in found:
        options = [one for one in found["anyOf"] if one != NULL]
        words = either([type_of(description, one) for one in options])
        return f"{words}, or null" if NULL in found["anyOf"] else words
    if "enum" in found or "const" in found:
        return either([f"`{one}`" for one in found.get("enum", [found.get("const")])])
    kind = found.get("type")
    if kind == "array":
        least = f", at least {found['minItems']}" if "minItems" in found else ""
        items = type_of(description, found["items"])
        return f"list of {f'({items})' if ' or ' in items else items}{least}"
    if kind == "object" and isinstance(found.get("additionalProperties"), Mapping):
        return f"object of {type_of(description, found['additionalProperties'])}"
    if kind is None:
        return "any value"
    named = FORMATS.get(found.get("format", "")) or NAMES.get(kind) or str(kind)
    return named + limits(found)


def either(words: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def limits(schema: Mapping[str, Any]) -> str:
    """The limits of a text."""
    if "pattern" in schema:
        return f" like `{schema['pattern']}`"
    if "maxLength" in schema:
        return f" of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    return ""


def members(
    description: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yields every member of a document, with its schema, and whether it is required.

    A member of a member is `metadata.contract`, of the elements of a list `results[].user_id`, of
    the values of an object `views.*.as_of`.
    """
    found = resolved(description, schema)
    for name, one in found.get("properties", {}).items():
        yield f"{prefix}{name}", one, name in found.get("required", ())
        inner, path = resolved(description, one), f"{prefix}{name}."
        if inner.get("type") == "array":
            inner, path = resolved(description, inner["items"]), f"{prefix}{name}[]."
        elif isinstance(inner.get("additionalProperties"), Mapping):
            inner, path = resolved(description, inner["additionalProperties"]), f"{path}*."
        yield from members(description, inner, path)
