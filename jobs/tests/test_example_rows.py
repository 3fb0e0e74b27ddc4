"""The rows that a demo asks for: of each kind of service, some that the API answers."""

from typing import Any

import httpx
import pytest
from psycopg import Connection

from api.tests.conftest import ready, wait_until
from api.tests.conftest import serving as serving_here
from jobs import example_rows
from jobs.tests.commands.test_features import shop
from streamflow.catalog.model import READ, Catalog, parse
from streamflow.errors import StreamflowError
from streamflow.postgres.connect import connect

__all__ = ["shop"]
pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


def catalog_of(connection: Connection) -> Catalog:
    """The catalog of what can be served."""
    row = connection.execute(READ).fetchone()
    assert row is not None
    return parse(*row)


@pytest.mark.usefixtures("shop")
def test_each_kind_of_service_is_answered_with_its_rows() -> None:
    with connect() as connection:
        catalog = catalog_of(connection)
        rows = {
            name: example_rows.rows_of(connection, catalog, service)
            for name, service in catalog.services.items()
            if not service.unservable
        }
    assert rows["nobody"] == []
    assert rows["one_key"] == [{"driver_id": 1}, {"driver_id": 2}]
    assert set(rows["routes"][0]) == {"first_id", "second_id"}
    with serving_here(service="one_key") as client:
        wait_until(lambda: ready(client))
        for name, found in rows.items():
            if found:
                assert is_answered(client, example_rows.request_for(catalog, name, found)), name


def is_answered(client: httpx.Client, body: dict[str, Any]) -> bool:
    """True if each view of the service has its row for each row of the request."""
    answer = client.post("/get-online-features", json=body)
    assert answer.status_code == 200, answer.text
    return all("NOT_FOUND" not in one["statuses"] for one in answer.json()["results"])


@pytest.mark.usefixtures("database")
def test_nothing_online_is_an_error() -> None:
    with connect() as connection, pytest.raises(StreamflowError, match="has a row online"):
        example_rows.choose(connection, catalog_of(connection))
