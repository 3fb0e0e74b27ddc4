"""A PostgreSQL that is none of a release's and takes no connection without TLS."""

import json

from kit import pod
from kit.certificates import Identity
from kit.namespace import Namespace

TLS = "/etc/postgresql-tls"
SET_UP = """
    CREATE ROLE streamflow LOGIN CREATEROLE CREATEDB PASSWORD '{password}';
    CREATE DATABASE streamflow OWNER streamflow;
"""
"""The role and database that the production example needs, and a database for Prefect."""


def start(namespace: Namespace, name: str, presents: Identity) -> None:
    """Starts a PostgreSQL with this certificate that takes no connection without TLS."""
    manifest = pod.postgres(name)
    (container,) = manifest["spec"]["containers"]
    settings = {
        "ssl": "on",
        "ssl_cert_file": f"{TLS}/tls.crt",
        "ssl_key_file": f"{TLS}/tls.key",
        "hba_file": f"{TLS}/pg_hba.conf",
    }
    container["args"] = [word for one in settings.items() for word in ("-c", "=".join(one))]
    container["volumeMounts"].append({"name": "tls", "mountPath": TLS, "readOnly": True})
    secret = {"secretName": f"{name}-tls", "defaultMode": 0o640}
    manifest["spec"]["volumes"].append({"name": "tls", "secret": secret})
    files = {
        "tls.crt": presents.certificate,
        "tls.key": presents.key,
        "pg_hba.conf": "local all all trust\nhostssl all all all scram-sha-256\n",
    }
    literals = [f"--from-literal={key}={text}" for key, text in files.items()]
    namespace.kubectl("create", "secret", "generic", f"{name}-tls", *literals)
    namespace.kubectl(
        *("create", "secret", "generic", name, "--from-literal=password=of-the-superuser")
    )
    for variable in container["env"]:
        if variable["name"] in ("POSTGRES_USER", "POSTGRES_DB"):
            variable["value"] = "postgres"
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    namespace.kubectl("expose", "pod", name, "--port=5432")
    namespace.ready(f"pod/{name}")


def psql(namespace: Namespace, name: str, statement: str) -> list[str]:
    """The lines that psql prints on such a server, run by its superuser."""
    options = ("-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1")
    where = ("exec", "-i", name, "--")
    return namespace.kubectl(*where, "psql", *options, stdin=statement).splitlines()
