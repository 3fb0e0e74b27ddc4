"""Secrets are planted in the environment, every command is made to fail, and tells none."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from drills.forks import Command, Forks

SECRET = "c0ffee-secret"
PLANTED = ["c0ffee", base64.b64encode(SECRET.encode()).decode()[:10], SECRET.encode().hex()[:12]]
ENVIRONMENT = {
    "PGPASSWORD": SECRET,
    "STREAMFLOW_API_KEY": f"sfk_{SECRET}",
    "STREAMFLOW_OWNER_PASSWORD": SECRET,
    "STREAMFLOW_WRITER_PASSWORD": SECRET,
    "STREAMFLOW_TRAINER_PASSWORD": SECRET,
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_MAX_ATTEMPTS": "1",
    "FSSPEC_HTTP_CLIENT_KWARGS": f'{{"headers": {{"Authorization": "Bearer {SECRET}"}}}}',
    "PREFECT_API_URL": "http://127.0.0.1:1/api",
    "PREFECT_API_KEY": SECRET,
}
AWAY = {"PGHOST": "127.0.0.1", "PGPORT": "1"}
HTTP = "http://127.0.0.1:1/month"
COMMANDS = [
    ["ingest", ".", "--as-of", "2024-01-31"],
    ["ingest", HTTP, "--as-of", "2024-01-31"],
    ["training-set", "--as-of", "2024-01-31", "--out", "x.parquet"],
    ["verify", "x.parquet"],
    ["verify", HTTP],
    ["materialize"],
    ["features", "nobody"],
    ["audit", "--url", "http://127.0.0.1:1"],
    ["wait", "--for", "registry"],
    ["runs"],
    ["db", "create", "x"],
    ["db", "roles"],
    ["backup", "store", ".", "--to", HTTP],
    ["backup", "list", "nosuch://place"],
    ["backup", "check", HTTP],
    ["restore", "prepare", "latest", ".", "--from", "x", "--database", "streamflow=x"],
    ["restore", "finish", "."],
    ["apply", "--plan"],
]
USAGE = [["--help"], ["nothing"], ["ingest"], ["db", "roles", "--help"], ["api-key", "a b"]]


class Planted:
    """Runs commands in a folder with the secrets in their environment."""

    def __init__(self, running: Forks, folder: Path) -> None:
        self.running, self.folder = running, folder

    def outputs(self, commands: Sequence[Sequence[str]], **environment: str) -> list[str]:
        """All that each command prints, with how it ended."""
        given = {**ENVIRONMENT, **environment}
        orders = [Command(one, given, folder=str(self.folder)) for one in commands]
        return [
            f"{one[0]} ended {ended.code}\n{ended.all_output}"
            for one, ended in zip(commands, self.running.in_turns(orders), strict=True)
        ]

    def output(self, arguments: Sequence[str], **environment: str) -> str:
        """Returns all that one command prints, with its exit code."""
        return self.outputs([arguments], **environment)[0]


def assert_clean(text: str) -> None:
    """Asserts that nothing planted is in `text`."""
    assert not [one for one in PLANTED if one in text], text


@pytest.fixture
def planted(tmp_path: Path, running: Forks) -> Iterator[Planted]:
    """Commands in a folder of their own; nothing planted is in what they write."""
    yield Planted(running, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert_clean(path.read_bytes().decode("latin-1"))


@pytest.mark.slow
def test_no_command_tells_a_secret_where_the_database_is_away(
    database: str, planted: Planted
) -> None:
    found = planted.outputs(COMMANDS + USAGE, **AWAY)
    for text in found:
        assert_clean(text)
    assert sum("error: PostgreSQL at 127.0.0.1:1/" in text for text in found) >= 8
    assert not [text for text in found if "ended 0" in text and "--help" not in text]


@pytest.mark.slow
def test_no_command_tells_or_keeps_a_secret_where_its_work_fails(
    database: str, planted: Planted
) -> None:
    asked = [one for one in COMMANDS if one[0] in ("ingest", "training-set", "restore")]
    for arguments in [*asked, ["ingest", "s3://bucket/month", "--as-of", "2024-01-31"]]:
        text = planted.output(arguments)
        assert "ended 0" not in text
        assert_clean(text)
    with psycopg.connect() as connection:
        rows = connection.execute("SELECT r::text FROM ops.runs r").fetchall()
    assert len(rows) >= 4
    assert_clean(str(rows))


@pytest.mark.parametrize("name", ["PGPORT", "STREAMFLOW_WAIT_S", "STREAMFLOW_POOL_SIZE"])
def test_a_secret_in_the_wrong_variable_is_not_repeated(
    database: str, planted: Planted, name: str
) -> None:
    text = planted.output(["runs"], **{name: SECRET})
    assert f"error: {name}: input should be a valid integer" in text
    assert_clean(text)


URL = f"http://u:{SECRET}@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["ingest", URL, "--as-of", "2024-01-31"], {}),
        (["training-set", "--as-of", "2024-01-31", f"--out={URL}"], {}),
        (["verify", f"ftp://u:{SECRET}@h/x"], {}),
        (["backup", "check", URL], {}),
        (["audit", "--url", f"https://u:a@{SECRET}@h"], {}),
        (["runs"], {"PGHOST": URL}),
        (["runs"], {"PGDATABASE": f"postgresql://u:{SECRET}@h/d"}),
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(
    planted: Planted, arguments: list[str], environment: dict[str, str]
) -> None:
    text = planted.output(arguments, **environment)
    ended, *lines = text.splitlines()  # a run has its JSON line, too
    assert ended.endswith(" ended 2")
    assert [line.startswith("error: ") for line in lines if not line.startswith("{")] == [True]
    assert_clean(text)


def test_a_prefect_with_a_password_is_named_without_it(database: str, planted: Planted) -> None:
    text = planted.output(["materialize"], PREFECT_API_URL=f"{URL}/api")
    assert "Prefect does not answer url=http://***@127.0.0.1:1/x/api" in text
    assert_clean(text)
