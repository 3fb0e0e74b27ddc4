"""Tells the states of a registry apart that Feast caches one after another."""

from uuid import uuid4

from feast import FeatureStore
from feast.protos.feast.core.Registry_pb2 import Registry


def tell_states_apart(store: FeatureStore) -> None:
    """Gives every state of the registry that `store` caches an identity of its own.

    Feast keeps the lists that it made of a state under the state's address in memory and its
    `version_id`, which its SQL registry leaves empty. Memory is used again: a later state at the
    address of one that is gone would be answered with that one's entities and views.

    Connects to the registry, as the first use of a FeatureStore does.
    """
    registry = store.registry
    read = registry.proto
    registry.proto = lambda: named(read())
    named(registry.cached_registry_proto)


def named(state: Registry) -> Registry:
    """The state with an identity; an empty one has none, by which Feast knows to read it again."""
    if state != Registry():
        state.version_id = str(uuid4())
    return state
