"""docs/types.md says of each type of Feast's what RULES say."""

from pathlib import Path

import pytest

from streamflow.errors import ConfigurationError
from streamflow.sources.types import ELEMENTS, RULES, SCALARS, TEXTS, Rule, element_of, rule_of
from streamflow.sources.values import value_of

PAGE = Path(__file__).parents[3] / "docs" / "types.md"
NAMES = {
    "INT32": "Int32",
    "INT64": "Int64",
    "FLOAT": "Float32",
    "DOUBLE": "Float64",
    "BOOL": "Bool",
    "STRING": "String",
    "BYTES": "Bytes",
    "PDF_BYTES": "PdfBytes",
    "IMAGE_BYTES": "ImageBytes",
    "UNIX_TIMESTAMP": "UnixTimestamp",
    "ZONED_TIMESTAMP": "ZonedTimestamp",
    "UUID": "Uuid",
    "TIME_UUID": "TimeUuid",
    "DECIMAL": "Decimal",
    "JSON": "Json",
    "MAP": "Map",
    "STRUCT": "Struct",
    "MAP_LIST": "Array(Map)",
    "STRUCT_LIST": "Array(Struct)",
    "VALUE_LIST": "Array of arrays or sets",
    "VALUE_SET": "Set of arrays or sets",
    "SCALAR_MAP": "ScalarMap",
}
"""The names that people use for value types."""
KINDS = [*dict.fromkeys(kind for rules in RULES.values() for kind in rules), "money", "composite"]


def sources(rules: dict[str, Rule]) -> str:
    """The types that a value can be taken from, in groups of what becomes of it."""
    groups: dict[str, list[str]] = {}
    for kind, rule in rules.items():
        shown = kind.replace("text", "any text type") if kind.startswith("text") else kind
        if kind.removesuffix("[]") not in TEXTS[1:]:
            groups.setdefault(rule.note, []).append(shown)
    return "; ".join(f"{', '.join(kinds)}: {note}" for note, kinds in groups.items()) or "nothing"


def lines() -> list[str]:
    """The table of the page."""
    found = [f"| {name} | {sources(RULES[type_])} |" for type_, name in NAMES.items()]
    return ["| a feature that is | can be taken from |", "|---|---|", *found]


def test_the_page_says_what_is_so() -> None:
    assert set(NAMES) == set(RULES)
    assert "\n".join(lines()) in PAGE.read_text()


@pytest.mark.parametrize("value_type", [*RULES, *(f"{one}_LIST" for one in SCALARS)])
def test_every_pair_is_taken_or_refused_by_name(value_type: str) -> None:
    for kind in (*KINDS, *(f"{one}[]" for one in KINDS if not one.endswith("[]"))):
        if rule_of(value_type, kind) or element_of(value_type, kind):
            value_of("v", "f", "c", kind, value_type)
            continue
        with pytest.raises(ConfigurationError) as refused:
            value_of("v", "f", "c", kind, value_type)
        said = f"feature view v, column c is {kind}, from which f cannot be {value_type}; "
        assert str(refused.value).startswith(said)


def test_elements_have_the_rules_of_scalars() -> None:
    assert {type_: list(rules) for type_, rules in ELEMENTS.items()} == {
        type_: list(rules) for type_, rules in SCALARS.items()
    }
