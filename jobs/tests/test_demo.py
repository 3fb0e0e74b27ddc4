"""`make demo` tells its story to the end, on a server of its own."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import demo
from jobs.commands.init import write
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.postgres.connect import connect
from streamflow.settings import FEATURE_REPO

SHOP = FEATURE_REPO.parent / "examples" / "shop"

pytestmark = pytest.mark.slow  # the demo as a person starts it


@contextmanager
def demonstrated(*options: str) -> Iterator[tuple[list[str], Path]]:
    """Runs the demo on a server of its own to its end; yields its lines and its home."""
    home = tempfile.mkdtemp(prefix="sf-")  # short enough for a Unix socket
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.demo", *options],
            env={**environment, "STREAMFLOW_HOME": home},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield done.stdout.splitlines(), Path(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_the_demo_ends_with_the_answers_of_the_running_api(small_months: Path) -> None:
    with demonstrated("--data", str(small_months)) as (lines, home):
        assert any("50 rows, equal to the database" in one for one in lines)
        first, second = [one for one in lines if one.startswith('{"user_id"')]
        assert '"months_active":1,"monthly_fee":29.850000381469727' in first
        assert '"months_active":9,"monthly_fee":65.5999984741211' in second
        assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_repository_of_ones_own_is_served(tmp_path: Path) -> None:
    repo = tmp_path / "shop"
    write(repo)
    with demonstrated("--definitions", str(repo)) as (lines, _):
        (answer,) = [one for one in lines if one.startswith('{"results"')]
    values = {name: one["values"] for name, one in served(answer).items()}
    assert values["account_id"] == ["anna", "anna"]
    assert values["device_id"] == [1, 2]
    assert values["watch_hours"] == [14.75, 0.25]
    assert any("2 rows, equal to the database" in one for one in lines)


def test_the_example_shop_is_filled_trained_and_served() -> None:
    with demonstrated("--definitions", str(SHOP)) as (lines, home):
        (answer,) = [one for one in lines if one.startswith('{"results"')]
        trained = pq.read_table(home / "demo" / "example_shop.parquet").to_pylist()
    assert f"$ psql --single-transaction --file {SHOP / 'application.sql'}" in lines
    assert any("2 rows, equal to the database" in one for one in lines)
    values = {name: one["values"] for name, one in served(answer).items()}
    assert list(values)[:3] == ["customer_id", "shop_id", "sku"]
    assert (values["customer_id"], values["shop_id"]) == (["anna", "bert"], [1, 1])
    for name in ("orders_7d", "recent_skus", "preferences", "price", "total", "hours_since_order"):
        assert values[name] == [row[name] for row in trained], name


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("CREATE TABLE a (b int);\n\nSELECT ö,\n c FROM a;", ":3", 'column "ö" does not exist'),
        ("\\i other.sql", ":1", 'syntax error at or near "\\"'),
        ("CREATE TABLE a (b int NOT NULL);\nINSERT INTO a VALUES (NULL);", "", "null value in"),
    ],
)
def test_a_file_that_fails_is_named_with_the_line_and_nothing_of_it_stays(
    empty_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    where: str,
    said: str,
) -> None:
    file = tmp_path / "application.sql"
    file.write_text(text)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(ConfigurationError, match=re.escape(f"{file}{where}: {said}")):
        demo.fill(file)
    with connect() as connection:
        assert connection.execute("SELECT to_regclass('a')").fetchone() == (None,)


SEVERAL_KEYS = """
other = Entity(name="other", join_keys=["other_id"], value_type=ValueType.STRING)
owners = FeatureView(
    name="owners", entities=[other], ttl=timedelta(0), schema=[Field(name="titles", dtype=Int64)],
    source=PostgreSQLSource(
        name="owners_source", timestamp_field="at",
        query="SELECT 'carl' AS other_id, timestamptz '2024-01-31 00:00Z' AS at, 1 AS titles"))
vast = RequestSource(name="vast", schema=[Field(name="n", dtype=Int64)])
asked = sql_feature_view(
    name="asked", sources=[owners, vast], schema=[Field(name="more", dtype=Int64)],
    expressions={"more": "titles + n"})
twice = sql_feature_view(
    name="twice", sources=[owners], schema=[Field(name="doubled", dtype=Int64)],
    expressions={"doubled": "titles * 2"})
a_v1 = FeatureService(name="a_v1", features=[owners, asked])
b_v1 = FeatureService(name="b_v1", features=[twice, device_usage])
"""


def test_a_service_is_asked_by_the_keys_of_all_its_views(tmp_path: Path) -> None:
    repo = tmp_path / "shop"
    write(repo)
    file = repo / "definitions.py"
    imports = "from feast import RequestSource\nfrom streamflow.feast import sql_feature_view\n"
    file.write_text(f"{file.read_text()}\n{imports}{SEVERAL_KEYS}")
    with demonstrated("--definitions", str(repo)) as (lines, _):
        (answer,) = [one for one in lines if one.startswith('{"results"')]
    values = {name: one["values"] for name, one in served(answer).items()}
    assert values["other_id"] == ["carl", "carl"]
    assert (values["doubled"], values["watch_hours"]) == ([2, 2], [14.75, 0.25])


def test_a_repository_without_a_service_is_told_to_have_one(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "shop"
    write(repo)
    file = repo / "definitions.py"
    text = file.read_text()
    file.write_text(text[: text.index("device_v1 = FeatureService")])
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(StreamflowError, match="have no feature service"):
        demo.demonstrate_repository(repo)


def served(answer: str) -> dict[str, Any]:
    """The results in an answer of Feast's protocol, by feature."""
    found = json.loads(answer)
    return dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))


def test_it_ends_with_the_exit_code_of_a_command_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(demo.Failed) as failed:
        demo.run("ingest", ".", "--as-of", "soon")
    assert failed.value.code == 2
    demo.run("api-key", "somebody")


def test_what_it_cannot_do_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMFLOW_HOME", "/proc/home")
    monkeypatch.setattr(sys, "argv", ["demo"])
    handlers = logging.getLogger().handlers[:]
    assert demo.main() == 2
    logging.getLogger().handlers[:] = handlers
    assert capsys.readouterr().err.startswith("error: /proc/home: not a folder to write")
