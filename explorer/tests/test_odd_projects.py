"""A registry with objects of every kind that Feast knows, and roles that may not read all of it."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from explorer.tests.conftest import page, serving, statement
from explorer.tests.html import faults, parsed
from explorer.tests.test_site import crawled

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


@pytest.fixture(scope="module")
def odd_client(
    databases: Any, server: dict[str, str], filled_template: str
) -> Iterator[httpx.Client]:
    """Talks to an explorer in front of views with odd names, types, keys and services."""
    from api.tests.computed_objects import computed_objects
    from api.tests.feast import feast_objects
    from api.tests.odd_objects import odd_objects
    from streamflow.feast.registry.open import open_store

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, filled_template, monkeypatch),
    ):
        with open_store("auto") as store:
            store.apply(odd_objects(), partial=True)
            profile = store.get_feature_view("subs_profile_fv")
            store.apply(feast_objects.objects(profile), partial=True)
            store.apply(computed_objects(store), partial=True)
            feast_objects.write(store)
        with serving() as client:
            yield client


def test_every_page_of_odd_objects_can_be_read(odd_client):
    paths = []
    for path, answer in crawled(odd_client):
        assert answer.status_code == 200, path
        assert faults(parsed(answer.text)) == [], path
        paths.append(path)
    assert len([one for one in paths if one.startswith("/services/")]) > 5
    assert len([one for one in paths if one.startswith("/users?by=")]) > 1


def test_a_role_without_rights_is_told_which(filled, monkeypatch):
    role = f"{filled}_nobody"
    statement(f'CREATE ROLE "{role}" LOGIN')
    try:
        monkeypatch.setenv("PGUSER", role)
        with serving() as client:
            found = page(client, "/", 503)
            assert "Permission denied" in found.main.text
            assert "streamflow db roles" in found.main.text
    finally:
        monkeypatch.setenv("PGUSER", "postgres")
        statement(f'DROP ROLE "{role}"')


def test_a_role_that_may_see_no_person_sees_all_else(filled, monkeypatch):
    role = f"{filled}_some"
    with psycopg.connect(autocommit=True) as connection:
        name = sql.Identifier(role)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        for schema in ("ops", "registry"):
            for right in ("USAGE ON SCHEMA {}", "SELECT ON ALL TABLES IN SCHEMA {}"):
                granted = sql.SQL(right).format(sql.Identifier(schema))
                connection.execute(sql.SQL("GRANT {} TO {}").format(granted, name))
    try:
        monkeypatch.setenv("PGUSER", role)
        with serving() as client:
            for path in ("/", "/features", "/features/subs_profile_fv/monthly_fee", "/runs/1"):
                page(client, path)
            assert "Permission denied" in page(client, "/users?id=a", 503).main.text
    finally:
        monkeypatch.setenv("PGUSER", "postgres")
        statement(f'DROP OWNED BY "{role}"')
        statement(f'DROP ROLE "{role}"')
