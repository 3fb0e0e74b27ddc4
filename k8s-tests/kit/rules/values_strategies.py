"""Values of the chart at random: what its schema allows, odd texts, and what it does not allow."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from kit.render import CHART, FULL

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
ODD_TEXTS = [
    *("", " ", "a", "x-y", "with space", "ü", "$(PGPASSWORD)", "$$", "a: b", "- a", "{a: b}", "#"),
    *(
        "{{ .Release.Name }}",
        "'",
        '"',
        "0",
        "1e3",
        "true",
        "null",
        "~",
        "%",
        "a\nb",
        "\t",
        "..",
        "/",
    ),
    *(
        "-x",
        "--help",
        "a" * 64,
        "0x1F",
        "2024-01-31",
        "on",
        "*",
        "&a",
        "!a",
        "|",
        ">",
        "@",
        "\\",
        "=",
        "<<",
    ),
]
OWN: dict[str, Any] = {
    "configMap": {"name": "a"},
    "csi": {"driver": "a.example.com"},
    "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]},
    "emptyDir": {"medium": "Memory"},
    "ephemeral": {},
    "hostPath": {"path": "/a"},
    "image": {"reference": "a:1"},
    "iscsi": {"targetPortal": "a", "iqn": "iqn.2001-04.com.example:a", "lun": 0},
    "nfs": {"server": "a", "path": "/"},
    "persistentVolumeClaim": {"claimName": "a"},
    "projected": {"sources": [{"secret": {"name": "a"}}]},
    "secret": {"secretName": "a"},
    "podAffinityTerm": {"topologyKey": "a"},
    "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
    "topologyKey": "a",
    "weight": 1,
}
"""Valid values, by key, of fields that the chart's schema leaves to Kubernetes."""


def of_schema(schema: dict[str, Any], key: str = "") -> st.SearchStrategy[Any]:
    """Values that a schema allows; `key` is that of the value."""
    if "$ref" in schema:
        return of_schema(SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]], key)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "object")
    return st.one_of(
        [of_kind(kind, schema, key) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    )


def of_kind(kind: str, schema: dict[str, Any], key: str) -> st.SearchStrategy[Any]:
    """Values of one JSON type that a schema allows."""
    least, most = schema.get("minimum", 0), schema.get("maximum", 10**6)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.one_of(st.integers(least, min(most, least + 9)), st.integers(least, most))
    if kind == "number":
        return st.one_of(st.integers(least, most), st.floats(least, most))
    if kind == "string":
        return of_text(schema)
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        return st.lists(of_schema(schema.get("items", {}), key), min_size=least, max_size=most)
    return of_object(schema, key)


def of_text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts that match the schema's pattern and lengths; without a pattern, odd ones."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", 300)
    texts = [one for one in ODD_TEXTS if least <= len(one) <= most]
    if pattern := schema.get("pattern"):
        compiled = re.compile(pattern, re.ASCII)
        made = st.from_regex(compiled, fullmatch=True, alphabet=st.characters(codec="ascii"))
        made = made.filter(lambda text: least <= len(text) <= most)
        matching = [one for one in texts if compiled.search(one) and not one.endswith("\n")]
        return st.one_of(made, st.sampled_from(matching)) if matching else made
    # Up to where JSON, in which helm gets them, and YAML, as which it reads them, escape alike.
    letters = st.characters(codec="utf-8", max_codepoint=0xFFFF)
    return st.one_of(st.sampled_from(texts), st.text(letters, max_size=9))


def of_object(schema: dict[str, Any], key: str) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of a schema: what they must have and some of what they may have."""
    if key in OWN and "properties" not in schema:
        return st.just(OWN[key])
    required = {name: schema.get("properties", {}).get(name) for name in schema.get("required", [])}
    fixed = {
        name: of_schema(found, name) if found else st.just(OWN.get(name, "a"))
        for name, found in required.items()
    }
    optional = {
        name: of_schema(found, name)
        for name, found in schema.get("properties", {}).items()
        if name not in fixed
    }
    closed = st.fixed_dictionaries(fixed, optional=optional)
    if "maxProperties" in schema:
        most = schema["maxProperties"]
        closed = closed.map(lambda found: dict(list(found.items())[:most]))
    if "minProperties" in schema:
        closed = closed.filter(lambda found: len(found) >= schema["minProperties"])
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        names = of_text({"pattern": schema.get("propertyNames", {}).get("pattern", "^[a-z]+$")})
        return st.dictionaries(names, of_schema(extra, key), max_size=3)
    return closed


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The path and schema of every value that has no further ones of the chart's own below."""
    for key, found in schema["properties"].items():
        below = f"{path}.{key}" if path else key
        if "properties" in found:
            yield from leaves(found, below)
        elif key != "global":
            yield below, found


LEAVES = dict(leaves(SCHEMA))
SHOP: dict[str, Any] = {
    "jobs.ingest.months": [],
    "jobs.trainingSet.datasets": [],
    "api.defaultService": "shop_v1",
}
DEFINITIONS: list[dict[str, Any]] = [
    {"definitions.files": {"feature_store.yaml": "", "definitions.py": ""}},
    {"definitions.image.repository": "registry.example.com/shop", "definitions.image.tag": "1"},
    {
        "definitions.git.repository": "ssh://git@git.example.com:2222/shop.git",
        "definitions.git.commit": "12" * 20,
        "definitions.git.ref": "main",
        "definitions.git.existingSecret": "shop",
    },
]
"""Ways in which a feature repository of one's own comes."""
BASES: list[dict[str, Any]] = [{}, FULL, *({**FULL, **SHOP, **way} for way in DEFINITIONS)]
"""Values that others are put beside."""
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(ODD_TEXTS),
    st.lists(st.none() | st.integers() | st.sampled_from(ODD_TEXTS), max_size=2),
    st.dictionaries(st.sampled_from(["a", "name", "requests"]), st.none() | st.integers()),
)
"""Values of any kind, most of which a leaf does not take."""


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Some values at random beside those that make all there is, or beside none.

    All there is comes with StreamFlow's own definitions, or in each way with those of another team.
    """
    base = draw(st.sampled_from(BASES))
    paths = draw(st.lists(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=6, unique=True))
    # Mostly what the schema allows; one value of any kind is enough for a refusal.
    odd = draw(st.integers(0, 3)) == 0
    chosen = {path: draw(of_schema(LEAVES[path], path.rpartition(".")[2])) for path in paths}
    if odd:
        chosen[paths[0]] = draw(ANYTHING)
    return {**base, **chosen}
