"""A missing or wrong variable is named, all of them at once."""

import os

import psycopg
import pytest

from streamflow import settings
from streamflow.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from streamflow.feast.registry.open import open_store
from streamflow.postgres.connect import connect


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


def test_all_missing_variables_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.postgres()
    assert str(refused.value) == "not set: PGHOST, PGUSER, PGDATABASE (environment variables)"


def test_one_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db")
    monkeypatch.setenv("PGUSER", "me")
    with pytest.raises(ConfigurationError, match=r"^not set: PGDATABASE "):
        settings.postgres()


def test_a_wrong_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "db", "PGUSER": "me", "PGDATABASE": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGPORT", "secret-not-a-port")
    with pytest.raises(ConfigurationError) as refused:
        settings.postgres()
    assert str(refused.value).startswith("PGPORT: input should be a valid integer")
    assert "secret" not in str(refused.value)


def test_a_password_does_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGUSER", "PGDATABASE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    assert "s3cret" not in repr(settings.postgres())
    assert settings.postgres().password == "s3cret"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DIRECT_HOST": "db"}, "STREAMFLOW_DIRECT_HOST is beside a pooler"),
        ({"POOLER": "session"}, "STREAMFLOW_POOLER: input should be 'none' or 'transaction'"),
        ({"POOLER": "transaction", "DIRECT_PORT": "x"}, "STREAMFLOW_DIRECT_PORT: input should be"),
    ],
)
def test_an_address_beside_a_pooler_needs_the_pooler(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"STREAMFLOW_{name}", value)
    with pytest.raises(ConfigurationError, match=f"^{said}"):
        settings.streamflow()


def test_an_address_beside_a_pooler_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"POOLER": "transaction", "DIRECT_HOST": "db"}.items():
        monkeypatch.setenv(f"STREAMFLOW_{name}", value)
    assert settings.streamflow().direct_host == "db"
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    with pytest.raises(ConfigurationError, match="no use with PGHOSTADDR"):
        settings.streamflow()


def test_an_unreachable_server_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "127.0.0.1", "PGPORT": "1", "PGUSER": "me"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGDATABASE", "nowhere")
    with (
        pytest.raises(StoreUnavailable, match=r"^PostgreSQL at 127\.0\.0\.1:1/nowhere: "),
        connect(),
    ):
        pass


def test_sessions_are_in_utc_whatever_the_database_says(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGTZ")
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET TimeZone = 'Asia/Kolkata'")
    with connect() as connection:
        assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)


def test_an_empty_database_is_told_what_to_run(empty_database: str) -> None:
    with pytest.raises(SchemaMissing, match="run: streamflow apply"), open_store():
        pass
