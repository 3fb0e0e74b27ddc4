"""The schema of the values is made, of values.yaml and of values.schema.yaml."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from kit.render import CHART, require

MADE_OF = ("values.yaml", "values.schema.yaml")


def make(chart: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the generator, as `make schema` does, over a chart."""
    return subprocess.run(
        [sys.executable, CHART.parent / "schema.py", chart, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with what the schema is made of, and the schema."""
    for name in (*MADE_OF, "values.schema.json"):
        shutil.copy(CHART / name, tmp_path)
    return tmp_path


def replace(chart: Path, before: str, after: str) -> None:
    """Replaces a text, which has to be there, in the sources."""
    texts = {name: (chart / name).read_text() for name in MADE_OF}
    assert any(before in text for text in texts.values()), before
    for name, text in texts.items():
        (chart / name).write_text(text.replace(before, after, 1))


def test_the_schema_is_what_its_sources_make() -> None:
    done = make(CHART, "--check")
    assert done.returncode == 0, done.stderr


def test_another_comment_default_or_source_makes_another_schema(copied: Path) -> None:
    replace(copied, "  # -- Number of pods when autoscaling is off.", "  # -- How many.\n  # @x")
    replace(copied, "  allowRemoval: false", "  allowRemoval: never")
    replace(copied, "  keepRunsDays: {minimum: 31}", "  keepRunsDays: {minimum: 32}")
    done = make(copied, "--check")
    assert (done.returncode, done.stderr) == (
        1,
        f"{copied / 'values.schema.json'} is not what its sources make; run: make schema\n",
    )
    assert make(copied).returncode == 0
    values = json.loads((copied / "values.schema.json").read_text())["properties"]
    assert values["api"]["properties"]["replicaCount"]["description"] == "How many."
    jobs = values["jobs"]["properties"]
    assert jobs["apply"]["properties"]["allowRemoval"]["type"] == "string"
    assert jobs["keepRunsDays"]["minimum"] == 32
    assert make(copied, "--check").returncode == 0


FAULTS = {
    "a value without a comment": (
        "  # -- Number of pods when autoscaling is off.\n",
        "",
        "values.yaml: api.replicaCount has no comment",
    ),
    "a group without a line": (
        "\nimage:\n",
        "\nnew:\n  # -- New.\n  on: true\n\nimage:\n",
        "groups: lacks a line for new",
    ),
    "a number without its bounds": (
        "  replicaCount: {$ref: count}\n",
        "",
        "api.replicaCount is an integer and lacks minimum",
    ),
    "a list without its items": (
        "  tolerations: {items: {$ref: toleration}}\n",
        "",
        "api.tolerations is an array and lacks items",
    ),
    "an object without its content": (
        "  affinity: {$ref: affinity}\n",
        "",
        "api.affinity is an object and lacks properties or",
    ),
    "a value that is gone": ("  replicaCount: {", "  replicaCounts: {", "replicaCounts belongs to"),
    "an entry that a later one has": (
        "  nameOverride: {",
        '  "*.tag": {minimum: 1}\n  nameOverride: {',
        "*.tag belongs to nothing, or to what a later one has",
    ),
    "an unknown word": ("{minimum: 31}", "{minimun: 31, minimum: 31}", "unknown key 'minimun'"),
    "a comma in a description": ("All rights of the node.", "All, rights.", "unknown key 'rights"),
    "something beside a $ref": (
        "{$ref: fraction}",
        "{$ref: fraction, maximum: 1}",
        "beside a $ref",
    ),
    "an unknown definition": ("{$ref: fraction}", "{$ref: part}", "definitions: lacks part"),
    "an unknown pattern": ("<httpUrl>", "<url>", "patterns: lacks url"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_sources_that_lack_something_are_refused(copied: Path, what: str) -> None:
    before, after, said = FAULTS[what]
    made = (copied / "values.schema.json").read_text()
    replace(copied, before, after)
    done = make(copied)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (copied / "values.schema.json").read_text() == made


def test_the_source_is_not_in_the_package(tmp_path: Path) -> None:
    require("helm")
    package = ["helm", "package", CHART, "--destination", tmp_path]
    subprocess.run(package, capture_output=True, timeout=60, check=True)
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as found:
        names = {Path(name).name for name in found.getnames()}
    assert "values.schema.json" in names
    assert "values.schema.yaml" not in names
