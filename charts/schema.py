"""Makes the chart's values.schema.json of its values.yaml and values.schema.yaml.

Types come from the defaults in values.yaml, descriptions from its `# --` comments, all else from
values.schema.yaml, which says how. Exit codes: 1, `--check` found another file; 2, the sources lack
something, or have something that belongs to nothing, with a line for each.
"""

import argparse
import json
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

CHART = Path(__file__).parent / "streamflow"
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
CONTENTS = ("properties", "patternProperties", "additionalProperties")
NEEDED = {"integer": ("minimum",), "number": ("minimum",), "array": ("items",), "object": CONTENTS}
"""One of which values.schema.yaml has to say of a value, by the type of its default."""
KEYWORDS = {
    *("$ref", "description", "enum", "items", "maxLength", "maximum", "maxProperties", "minItems"),
    *("minLength", "minimum", "minProperties", "pattern", "propertyNames", "required", "type"),
    *CONTENTS,
}
"""The keywords that a schema in values.schema.yaml may have."""


class SourceError(Exception):
    """The sources make no schema; has a line for each fault."""


class Generator:
    """The schema of values, from the two sources as texts."""

    def __init__(self, values: str, source: str) -> None:
        self.values: dict[str, Any] = yaml.safe_load(values)
        self.descriptions = descriptions(values)
        self.source: dict[str, Any] = yaml.safe_load(source)
        self.used: set[tuple[str, str]] = set()
        self.faults: list[str] = []

    def schema(self) -> Schema:
        """The whole schema.

        Raises:
            SourceError: something is missing in a source, or belongs to nothing.
        """
        made = self.group("", self.values)
        made["properties"] = self.each(self.source["beside"]) | made["properties"]
        definitions = self.each(self.source["definitions"])
        self.faults += [
            f"values.schema.yaml: {section}: {name} belongs to nothing, or to what a later one has"
            for section in ("groups", "optional", "values", "patterns", "definitions")
            for name in self.source[section]
            if (section, name) not in self.used
        ]
        if self.faults:
            raise SourceError("\n".join(self.faults))
        return {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$comment": "Made by `make schema` of values.yaml and values.schema.yaml.",
            "title": "Values of the chart streamflow",
            **made,
            "definitions": definitions,
        }

    def group(self, path: str, values: dict[str, Any]) -> Schema:
        """An object that holds values, and no others."""
        properties = {}
        required = []
        for key, default in values.items():
            below = f"{path}.{key}" if path else key
            if isinstance(default, dict) and below not in self.descriptions:
                description = self.fitting("groups", below)
                if description is None:
                    self.faults.append(f"values.schema.yaml: groups: lacks a line for {below}")
                properties[key] = {"description": description, **self.group(below, default)}
            else:
                properties[key] = self.value(below, default)
            if self.fitting("optional", below) is None:
                required.append(key)
        closed = {"type": "object", "additionalProperties": False}
        return {**closed, "required": required, "properties": properties}

    def value(self, path: str, default: Any) -> Schema:
        """A value: what its default, its comment and values.schema.yaml say."""
        if path not in self.descriptions:
            self.faults.append(f"values.yaml: {path} has no comment that begins with `# -- `")
        said: Schema = self.fitting("values", path) or {}
        kind = TYPES.get(type(default), "object")
        needed = NEEDED.get(kind)
        if needed and not said.keys() & {*needed, "$ref", "enum", "type"}:
            self.faults.append(
                f"values.schema.yaml: values: {path} is an {kind} and lacks {' or '.join(needed)}"
            )
        typed = {} if said.keys() & {"$ref", "enum"} else {"type": kind}
        return self.whole({"description": self.descriptions.get(path), **typed, **said})

    def fitting(self, section: str, path: str) -> Any:
        """The last entry of a section that fits the end of a path; None without one."""
        entries = self.source[section]
        for name in reversed(list(entries)):
            if fnmatchcase(f".{path}", f"*.{name}"):
                self.used.add((section, name))
                return name if isinstance(entries, list) else entries[name]
        return None

    def each(self, schemas: dict[str, Schema]) -> dict[str, Schema]:
        """Named schemas, each whole."""
        return {name: self.whole(schema) for name, schema in schemas.items()}

    def whole(self, schema: Schema) -> Schema:
        """A schema of values.schema.yaml with all that it leaves out."""
        self.check(schema)
        made = dict(schema)
        for key in ("properties", "patternProperties"):
            if key in made:
                made[key] = self.each(made[key])
        for key in ("items", "additionalProperties", "propertyNames"):
            if isinstance(made.get(key), dict):
                made[key] = self.whole(made[key])
        if "pattern" in made:
            made["pattern"] = self.pattern(made["pattern"])
        if "$ref" in made:
            self.known("definitions", made["$ref"])
            made["$ref"] = f"#/definitions/{made['$ref']}"
        if "properties" in made:
            made = {"type": "object", "additionalProperties": False, **made}
        elif "items" in made:
            made = {"type": "array", **made}
        first = {key: made[key] for key in ("description", "type") if key in made}
        return first | made

    def check(self, schema: Schema) -> None:
        """Notes what JSON schema would pass over in silence."""
        for key in sorted(schema.keys() - KEYWORDS):
            self.faults.append(f"values.schema.yaml: {schema}: unknown key {key!r}")
        if "$ref" in schema and schema.keys() - {"$ref", "description"}:
            self.faults.append(f"values.schema.yaml: {schema}: nothing counts beside a $ref")

    def pattern(self, text: str) -> str:
        """A pattern with those that it names."""

        def named(found: re.Match[str]) -> str:
            return self.pattern(self.known("patterns", found[1]))

        return re.sub(r"<(\w+)>", named, text)

    def known(self, section: str, name: str) -> Any:
        """The entry of this name, which is used from now on."""
        if name not in self.source[section]:
            raise SourceError(f"values.schema.yaml: {section}: lacks {name}")
        self.used.add((section, name))
        return self.source[section][name]


def descriptions(values: str) -> dict[str, str]:
    """The `# --` comment of each value in values.yaml, by its path, as helm-docs reads it."""
    found = {}
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in values.splitlines():
        if said := re.match(r" *# ?(.*)", line):
            comment = [said[1]] if said[1].startswith("-- ") else [*comment, said[1]]
            continue
        if key := re.match(r"( *)([A-Za-z]\w*):", line):
            parents = [one for one in parents if one[0] < len(key[1])]
            parents.append((len(key[1]), key[2]))
            if comment and comment[0].startswith("-- "):
                lines = [one for one in comment if not one.startswith("@")]
                path = ".".join(name for _, name in parents)
                found[path] = " ".join(lines).removeprefix("-- ")
        comment = []
    return found


def generate(chart: Path) -> str:
    """The text of the chart's values.schema.json."""
    texts = [(chart / name).read_text() for name in ("values.yaml", "values.schema.yaml")]
    return json.dumps(Generator(*texts).schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the schema, or compares it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("chart", nargs="?", type=Path, default=CHART)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    file = options.chart / "values.schema.json"
    try:
        made = generate(options.chart)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 2
    if not options.check:
        file.write_text(made)
    elif file.read_text() != made:
        print(f"{file} is not what its sources make; run: make schema", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
