"""Tests of the database role that each pod uses, and of when a role gets another password."""

import base64
from pathlib import Path
from typing import Any

import pytest
from chart.parts.test_secrets import Stub
from kit.render import (
    EXTERNAL,
    FULL,
    ROLES,
    Manifest,
    containers,
    job_names,
    named,
    notes,
    pods,
    refusal,
    render,
)

PARTS = ("owner", "writer", "trainer", "reader", "viewer")
ON = {"postgres.roles.enabled": True}


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    stub = Stub(tmp_path)
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


def user(container: Manifest) -> str | None:
    """Returns the Secret that a container logs in to the database with; None without one."""
    variables = {one["name"]: one for one in container.get("env", [])}
    if "PGUSER" not in variables:
        assert "PGPASSWORD" not in variables
        return None
    password = variables["PGPASSWORD"]["valueFrom"]["secretKeyRef"]
    name = variables["PGUSER"].get("valueFrom", {}).get("secretKeyRef")
    assert name is None or name == {**password, "key": "username"}
    return str(password["name"])


def users(values: dict[str, Any]) -> dict[str, list[str | None]]:
    """The users of each pod's containers, by what the pod is; those without PG* left out."""
    found = {}
    for name, pod in pods(render(values)).items():
        what = name.partition("/")[2].removeprefix("streamflow-")
        if name.startswith("Job/"):
            what = what.rpartition("-")[0]
        own = [one for one in containers(pod) if "PGHOST" in str(one.get("env"))]
        if own:
            found[what] = [user(one) for one in own]
    return found


def test_each_pod_uses_the_database_as_the_role_of_its_work() -> None:
    admin = "known"
    owner, writer, trainer, reader, viewer = (f"known-{part}" for part in PARTS)
    assert users(FULL) == {
        "api": [reader],
        "apply": [owner],
        "backfill": [writer],
        "audit": [writer],
        "backup": [admin, writer],
        "backup-check": [None],
        "explorer": [viewer],
        "feast": [writer, writer],
        "flows": [trainer, writer],
        "ingest": [writer],
        "materialize": [writer],
        "prefect": [admin, admin],
        "restore": [admin] * 4,
        "roles": [admin],
        "test": [trainer, trainer],
        "training-set": [trainer],
    }


@pytest.mark.parametrize(
    ("values", "on"),
    [
        ({}, True),
        ({"postgres.roles.enabled": False}, False),
        (EXTERNAL, False),
        ({**EXTERNAL, **ON}, True),
    ],
    ids=str,
)
def test_a_bundled_server_has_roles_and_an_external_one_where_asked(
    values: dict[str, Any], on: bool
) -> None:
    found = render({**FULL, **values})
    assert any("-roles-" in name for name in job_names(found)) == on
    everybody = {one for each in users({**FULL, **values}).values() for one in each if one}
    assert everybody == {"known", *(ROLES.values() if on else ())}


def test_the_job_gets_all_logins_and_nobody_else_more_than_its_own() -> None:
    manifests = pods(render(FULL))
    (job,) = [pod for name, pod in manifests.items() if "-roles-" in name]
    (container,) = job["spec"]["containers"]
    assert container["args"] == [
        *("db", "roles", "--owner", "streamflow_owner", "--writer", "streamflow_writer"),
        *("--trainer", "streamflow_trainer", "--reader", "streamflow_reader"),
        *("--viewer", "streamflow_viewer"),
    ]
    variables = {one["name"]: one for one in container["env"]}
    for part in PARTS:
        for what, key in (("LOGIN", "username"), ("PASSWORD", "password")):
            assert variables[f"STREAMFLOW_{part.upper()}_{what}"]["valueFrom"] == {
                "secretKeyRef": {"name": f"known-{part}", "key": key}
            }
    assert variables["STREAMFLOW_FORMER_LOGIN_S"]["value"] == "21600"
    for name, pod in manifests.items():
        if "-roles-" in name or "-restore-" in name:
            continue
        for one in containers(pod):
            assert sum(f"'known-{part}'" in str(one) for part in PARTS) <= 1, name


def secrets(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """The decoded Secret of each role."""
    found = named(manifests, "Secret")
    return {
        part: {
            key: base64.b64decode(value).decode()
            for key, value in found[f"streamflow-postgres-{part}"]["data"].items()
        }
        for part in PARTS
    }


def keep(cluster: Stub, manifests: list[Manifest]) -> None:
    """Puts the Secrets of these manifests into the cluster."""
    for name, one in named(manifests, "Secret").items():
        cluster.objects[f"secrets/{name}"] = {"data": one["data"], "metadata": one["metadata"]}


def checksums(manifests: list[Manifest]) -> dict[str, str]:
    """Returns the checksum of the credentials of each Deployment."""
    return {
        name.removeprefix("streamflow-"): one["spec"]["template"]["metadata"]["annotations"][
            "checksum/secret"
        ]
        for name, one in named(manifests, "Deployment").items()
    }


def test_generated_logins_are_kept(cluster: Stub) -> None:
    first = render(None, *cluster.options)
    assert {part: one["username"] for part, one in secrets(first).items()} == {
        part: f"streamflow_{part}_a" for part in PARTS
    }
    assert len({one["password"] for one in secrets(first).values()}) == 5
    for name, one in named(first, "Secret").items():
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", name
    keep(cluster, first)
    assert render(None, *cluster.options) == first


def test_another_rotation_is_the_other_login_of_that_role_alone(cluster: Stub) -> None:
    before = render(None, *cluster.options)
    keep(cluster, before)
    again = {"postgres.roles.reader.rotation": "2026-11"}
    after = render(again, *cluster.options)
    old, new = secrets(before), secrets(after)
    assert new["reader"]["username"] == "streamflow_reader_b"
    assert new["reader"]["password"] != old["reader"]["password"]
    assert {part: new[part] for part in PARTS[:3]} == {part: old[part] for part in PARTS[:3]}
    changed = {one for one in checksums(before) if checksums(before)[one] != checksums(after)[one]}
    assert changed == {"api"}
    names = job_names(before) ^ job_names(after)
    assert [name for name in names if "-roles-" not in name] == []
    assert len(names) == 2

    keep(cluster, after)
    assert render(again, *cluster.options) == after
    back = secrets(render(None, *cluster.options))["reader"]
    assert back["username"] == "streamflow_reader_a"
    assert back["password"] not in (old["reader"]["password"], new["reader"]["password"])


def test_other_names_are_other_logins(cluster: Stub) -> None:
    keep(cluster, render(None, *cluster.options))
    values = {"postgres.roles.prefix": "staging"}
    found = secrets(render(values, *cluster.options))
    assert found["reader"]["username"] == "staging_reader_a"


@pytest.mark.parametrize(
    ("part", "replaced"),
    [
        ("owner", set()),
        ("writer", {"feast", "flows"}),
        ("trainer", {"flows"}),
        ("reader", {"api"}),
        ("viewer", {"explorer"}),
    ],
)
def test_an_existing_secret_that_changed_replaces_the_pods_that_use_it(
    cluster: Stub, part: str, replaced: set[str]
) -> None:
    for secret in ("known", *ROLES.values()):
        cluster.add(f"secrets/{secret}", username="a", password="one")
    before = render(FULL, *cluster.options)
    cluster.add(f"secrets/known-{part}", username="b", password="two")
    after = render(FULL, *cluster.options)
    assert {
        one for one in checksums(before) if checksums(before)[one] != checksums(after)[one]
    } == replaced
    assert {name for name in job_names(before) ^ job_names(after) if "-roles-" not in name} == set()
    assert job_names(before) != job_names(after)


def test_where_nothing_can_be_looked_up_the_rotation_says_it() -> None:
    before, after = render(FULL), render({**FULL, "postgres.roles.reader.rotation": 1})
    assert checksums(before)["api"] != checksums(after)["api"]
    assert checksums(before)["feast"] == checksums(after)["feast"]
    assert {name[:16] for name in job_names(before) ^ job_names(after)} == {"streamflow-roles"}


def test_a_secret_that_will_not_do_is_refused(cluster: Stub) -> None:
    for secret in ("known", *ROLES.values()):
        cluster.add(f"secrets/{secret}", username="a", password="one")
    cluster.add("secrets/known-writer", user="a", password="b")
    del cluster.objects["secrets/known-reader"]
    said = refusal(FULL, *cluster.options)
    assert "Secret known-writer in namespace default has no username and password" in said
    assert "there is no Secret known-reader in namespace default; create it:" in said
    assert "--from-literal=username=streamflow_reader_a" in said
    same = refusal({**FULL, "postgres.roles.reader.existingSecret": "known-owner"})
    assert "postgres.roles.reader takes username of Secret known-owner" in same
    assert "as postgres.roles.owner does" in same


def test_the_notes_say_who_uses_the_database_as_whom(tmp_path: Path) -> None:
    default = notes(tmp_path)
    assert "Roles          streamflow_owner streamflow_writer streamflow_trainer" in default
    alone = notes(tmp_path, EXTERNAL)
    assert "Roles          off" in alone
    assert "one user who may do everything" in alone
    assert "Nobody creates the roles" in notes(tmp_path, {"postgres.roles.create": False})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"postgres.roles.prefix": "churn", "postgres.roles.reader.passwordKey": "a.password"},
        {**EXTERNAL, **ON},
        {
            **EXTERNAL,
            **ON,
            "prefect.enabled": False,
            "postgres.external.pooler.mode": "transaction",
            "postgres.external.pooler.direct": {"host": "itself.example.com", "port": 5433},
        },
    ],
    ids=["bundled", "own names", "external", "pooler"],
)
def test_who_creates_the_roles_by_hand_is_told_what_the_job_would_run(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    said = notes(tmp_path, {**values, "postgres.roles.create": False})
    assert "streamflow db roles" not in notes(tmp_path, values)
    jobs = named(render({**values, "postgres.roles.create": True}), "Job")
    (job,) = (one for name, one in jobs.items() if "-roles-" in name)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert f"streamflow {' '.join(container['args'])}\n" in said
    for one in container["env"]:
        if one["name"].endswith(("_LOGIN", "_PASSWORD")) and one["name"].startswith("STREAMFLOW"):
            found = one["valueFrom"]["secretKeyRef"]
            read = f"""{{{{index .data "{found["key"]}" | base64decode}}}}"""
            secret = f"get secret {found['name']} -o go-template='{read}'"
            assert f"""export {one["name"]}="$(kubectl -n default {secret})"\n""" in said
        elif one["name"] == "PGPORT" and "postgres.external.host" in values:
            assert f"PGPORT={one['value']} " in said
        elif one["name"] == "PGHOST" and "postgres.external.host" in values:
            assert f"PGHOST={one['value']} " in said


def one_secret(keys: dict[str, str]) -> dict[str, Any]:
    """Values with which all roles' logins are in one Secret, under keys of their own."""
    return {
        f"postgres.roles.{part}.{name}": value.format(part)
        for part in PARTS
        for name, value in {"existingSecret": "vault", **keys}.items()
    }


KEYS = {"usernameKey": "{}-user", "passwordKey": "{}-password"}


def test_the_logins_may_be_in_one_secret_under_other_keys(cluster: Stub) -> None:
    values = {**FULL, **one_secret(KEYS)}
    for name, pod in pods(render(values)).items():
        for one in containers(pod):
            variables = {each["name"]: each for each in one.get("env", [])}
            for variable, what in (("PGUSER", "user"), ("PGPASSWORD", "password")):
                given = variables.get(variable, {}).get("valueFrom", {}).get("secretKeyRef", {})
                if given.get("name") == "vault":
                    assert given["key"] in {f"{part}-{what}" for part in PARTS}, name
            for part in PARTS:
                if f"STREAMFLOW_{part.upper()}_LOGIN" in variables:
                    login = variables[f"STREAMFLOW_{part.upper()}_LOGIN"]["valueFrom"]
                    assert login == {"secretKeyRef": {"name": "vault", "key": f"{part}-user"}}
    assert "known-" not in str(pods(render(values)))
    cluster.add("secrets/known", password="one")
    both = {f"{part}-{what}": "x" for part in PARTS for what in ("user", "password")}
    cluster.add("secrets/vault", **both)
    render(values, *cluster.options)
    del both["reader-password"]
    cluster.add("secrets/vault", **both)
    said = refusal(values, *cluster.options)
    assert "Secret vault in namespace default has no reader-user and reader-password" in said
    assert "postgres.roles.reader.existingSecret, .usernameKey and .passwordKey" in said
    del cluster.objects["secrets/vault"]
    said = refusal(values, *cluster.options)
    assert "--from-literal=reader-user=streamflow_reader_a" in said
    assert "--from-literal=reader-password=" in said


def test_two_roles_with_one_login_are_refused() -> None:
    said = refusal({**FULL, **one_secret({})})
    assert "postgres.roles.writer takes username of Secret vault, as postgres.roles.owner" in said
    said = refusal({**FULL, **one_secret({**KEYS, "passwordKey": "password"})})
    assert "postgres.roles.reader takes password of Secret vault" in said
    assert "takes username" not in said


def test_a_generated_secret_has_the_keys_it_always_had(cluster: Stub) -> None:
    other = {f"postgres.roles.{part}.{key}": "other" for part in PARTS for key in KEYS}
    found = render(other, *cluster.options)
    assert set(secrets(found)["reader"]) == {"username", "password"}
    assert "'key': 'other'" not in str(pods(found))
