"""A registry that is read again is answered from what it holds, wherever that is in memory."""

from collections.abc import Iterator

import pytest
from feast import Entity, FeatureStore, ValueType

from streamflow.feast.registry.open import open_store


@pytest.fixture
def store(database: str) -> Iterator[FeatureStore]:
    """The feature store of a database with the project applied."""
    with open_store() as found:
        yield found


def names(store: FeatureStore) -> set[str]:
    """The entities that the store's cache of the registry has."""
    return {one.name for one in store.registry.list_entities(store.project, allow_cache=True)}


def test_a_state_at_the_address_of_an_older_one_is_not_taken_for_it(store: FeatureStore) -> None:
    before = names(store)
    address = id(store.registry.cached_registry_proto)
    with open_store() as elsewhere:
        elsewhere.apply(Entity(name="other", join_keys=["id"], value_type=ValueType.INT64))
    for _ in range(50):
        store.registry.refresh(store.project)
        if id(store.registry.cached_registry_proto) == address:
            break
    assert names(store) == before | {"other"}
