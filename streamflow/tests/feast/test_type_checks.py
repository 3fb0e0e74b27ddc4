"""Feast's type checks say the same when they are made ready at the first call of a function."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import inspect, json, re, sys, typeguard._decorators as typeguard
rewritten, instrument = [], typeguard.instrument
def counted(function):
    rewritten.append(function.__qualname__)
    return instrument(function)
counted.__module__ = instrument.__module__
typeguard.instrument = counted
if sys.argv[1] == "deferred":
    import streamflow.feast
import feast
from feast import *
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import *
from feast.types import Int64

at_import = len(rewritten)
source = PostgreSQLSource(name="s", query="SELECT 1", timestamp_field="t")
entity = Entity(name="e", join_keys=["k"])
fields = [Field(name="a", dtype=Int64)]
view = FeatureView(name="v", entities=[entity], schema=fields, source=source)
mistakes = [
    lambda: Entity(name=1),
    lambda: Entity(name="a", join_keys="b"),
    lambda: Field(name="a", dtype="Int64"),
    lambda: Field(name=None, dtype=Int64),
    lambda: FeatureView(name=3, source=source),
    lambda: FeatureView(name="v", source=source, ttl=5),
    lambda: FeatureView(name="v", source=source, schema=["a"]),
    lambda: FeatureService(name=b"x", features=[view]),
    lambda: FeatureService(name="x", features="v"),
    lambda: PushSource(name="p", batch_source="s"),
    lambda: RequestSource(name="r", schema={"a": Int64}),
    lambda: PostgreSQLSource(name=1, query="SELECT 1"),
    lambda: Project(name=1),
    lambda: view.with_name(1),
    lambda: Entity.from_proto("no"),
    lambda: setattr(view, "ttl", "a day"),
]
said = []
for each in mistakes:
    try:
        said.append(f"none: {each()}"[:5])
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
classes = [one for one in vars(feast).values() if inspect.isclass(one)]
def look(function):
    signature = re.sub(" at 0x[0-9a-f]+", "", str(inspect.signature(function)))
    return [signature, function.__doc__, function.__module__]
looks = {
    f"{one.__qualname__}.{name}": look(each)
    for one in classes
    for name, each in inspect.getmembers(one, inspect.isfunction)
    if each.__module__.startswith("feast")
}
print(json.dumps({"said": said, "looks": looks, "at_import": at_import, "rewritten": rewritten}))
"""
"""Makes mistakes with Feast's objects; prints what Feast says and how its functions look."""


def outcome(way: str) -> Any:
    """The program's JSON, where the checks are made ready in this way."""
    command = [sys.executable, "-c", PROGRAM, way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OTHERS = """
import inspect
import streamflow.feast
import feast
from typeguard import typechecked
@typechecked
def ours(number: int) -> int:
    return number
assert not hasattr(ours, "__wrapped__")  # rewritten at once, as its author expects
streamflow.feast.type_checks.defer()
from typeguard import _decorators
assert _decorators.instrument.__module__ == "streamflow.feast.type_checks"
async def coroutine(): ...
def generator(): yield
async def generated(): yield
is_one = streamflow.feast.type_checks.is_told_by_its_kind
assert [is_one(each) for each in (coroutine, generator, generated, ours)] == [True] * 3 + [False]
"""


def test_nothing_but_feast_is_put_off(tmp_path: Path) -> None:
    file = tmp_path / "others.py"
    file.write_text(OTHERS)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_each_mistake_is_told_as_before_and_few_functions_are_rewritten() -> None:
    stock, ours = outcome("stock"), outcome("deferred")
    assert ours["said"] == stock["said"]
    assert len([one for one in stock["said"] if one.startswith("TypeCheckError: ")]) >= 12
    assert ours["looks"] == stock["looks"]
    assert len(stock["looks"]) > 100
    assert ours["at_import"] < 5
    assert stock["at_import"] > 150
    assert len(ours["rewritten"]) == len(set(ours["rewritten"])) < 60
