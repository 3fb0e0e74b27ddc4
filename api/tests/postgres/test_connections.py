"""Connections are what the PG* variables say, as psql's are."""

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.postgres.connect import connect
from api.postgres.session import Rows
from api.tests.conftest import assert_problem, metric, ready, serving, unready, wait_until
from api.tests.postgres.proxy import TlsProxy
from drills.proxy import Watched
from streamflow.errors import ConfigurationError, StoreUnavailable


def answer(query: str) -> Rows:
    """The answer of a query over one connection of the service."""

    async def ask() -> Rows:
        session = await connect(5, 2.5)
        try:
            return await session.fetch(query, (), asyncio.get_running_loop().time() + 5)
        finally:
            session.close()

    return asyncio.run(ask())


def test_a_session_cannot_write_and_waits_no_longer_than_a_request(
    loaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGAPPNAME", "streamflow-api")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    names = "application_name TimeZone default_transaction_read_only statement_timeout jit work_mem"
    [row] = answer("SELECT " + ", ".join(f"current_setting('{name}')" for name in names.split()))
    assert tuple(row) == ("streamflow-api", "UTC", "on", "2500ms", "off", "5MB")
    import asyncpg

    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        answer("DELETE FROM ops.catalog")


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("PGSSLMODE", "certainly", ConfigurationError),
        ("PGDATABASE", "nowhere", StoreUnavailable),
        ("PGHOST", "/nowhere", StoreUnavailable),
        ("PGUSER", "nobody", StoreUnavailable),
    ],
)
def test_what_cannot_be_connected_to_is_one_of_our_errors(
    loaded: str,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    error: type[Exception],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(error):
        answer("SELECT 1")


def test_every_connection_ends_with_a_server_that_vanished(
    server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection is given up by the kernel within half a minute after its server vanished."""
    expected = {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 10,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 25_000,
    }
    with Watched(server) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        with serving() as client:
            wait_until(lambda: ready(client) and metric(client, "streamflow_api_listening") == 1)
            assert client.get("/features/7590-VHVEG").status_code == 200
            wait_until(lambda: len(proxy.options) >= 4)
            wait_until(lambda: all(one == expected for one in proxy.options.values()))


def certificate(folder: Path, name: str, days: int = 1) -> Path:
    """A certificate that signs itself, for the host `name`, with its key; good for so long."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize(
    ("presented", "mode", "trusted", "amiss"),
    [
        ("localhost", "verify-full", "localhost", None),
        ("localhost", "verify-full", "other", "is not trusted"),
        ("localhost", "verify-ca", "other", "is not trusted"),
        ("other", "verify-full", "other", "is for another name"),
        ("other", "verify-ca", "other", None),
        ("other", "require", None, None),
        ("over", "verify-ca", "over", "has expired"),
    ],
)
def test_a_server_over_a_network_is_verified(
    server: dict[str, str],
    copy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    presented: str,
    mode: str,
    trusted: str | None,
    amiss: str | None,
) -> None:
    files = {name: certificate(tmp_path, name) for name in ("localhost", "other")}
    files["over"] = certificate(tmp_path, "over", days=0)
    with TlsProxy(server, files[presented]) as proxy:
        monkeypatch.setenv("PGHOST", "localhost")
        monkeypatch.setenv("PGPORT", str(proxy.port))
        monkeypatch.setenv("PGSSLMODE", mode)
        if trusted:
            monkeypatch.setenv("PGSSLROOTCERT", str(files[trusted]))
        with serving() as client:
            if amiss is None:
                wait_until(lambda: ready(client))
                assert client.get("/features/7590-VHVEG").status_code == 200
            else:
                said = f"The database's certificate {amiss}."
                wait_until(unready(client, said))
                for path in ("/readyz", "/features/7590-VHVEG"):
                    body = assert_problem(client.get(path), 503, "not-ready", said)
                    assert body["detail"] == said  # and no host, path or name besides


@pytest.fixture
def reader(databases: Any, server: dict[str, str], copy: str) -> Iterator[str]:
    """A role that has to give its password."""
    name = f"reader_{copy}"
    with databases.admin(server) as connection:
        [[file]] = connection.execute("SHOW hba_file").fetchall()
        before = Path(file).read_text()
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pass word\"'")
        Path(file).write_text(f"local all {name} scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        with psycopg.connect(autocommit=True) as own:
            own.execute(f"GRANT USAGE ON SCHEMA ops, online TO {name}")  # type: ignore[call-overload]
            own.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA ops, online TO {name}")  # type: ignore[call-overload]
        yield name
        Path(file).write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        with psycopg.connect(autocommit=True) as own:
            own.execute(f"DROP OWNED BY {name}")  # type: ignore[call-overload]
        connection.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("empty", [True, False])
def test_a_password_may_be_in_a_file(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    """The password file is read even if PGPASSWORD is empty, which psql takes for none."""
    passwords = tmp_path / "pgpass"
    passwords.write_text(f'*:*:*:{reader}:pass word"\n')
    passwords.chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setenv("PGUSER", reader)
        patch.setenv("PGPASSFILE", str(passwords))
        if empty:
            patch.setenv("PGPASSWORD", "")
        with serving() as client:
            wait_until(lambda: ready(client))
            assert client.get("/features/7590-VHVEG").status_code == 200
        patch.setenv("PGPASSFILE", "/nowhere")
        with serving() as client:
            wait_until(unready(client, "The database does not answer."))
