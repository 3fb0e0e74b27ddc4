"""The values by which a service is asked: join keys, and those that on-demand views take."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamflow.catalog.layout import NO_KEY

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class AskedBy:
    """One value that a request gives."""

    name: str
    type: str
    """Feast's value type: STRING, INT64, BOOL, …"""


def asked_by(store: "FeatureStore", service: str) -> tuple[AskedBy, ...]:
    """Lists the values that a request for a service gives, each once, as its views need them.

    A service may give a view's join key another name; views without entities need none.
    """
    projections = store.get_feature_service(service, allow_cache=True).feature_view_projections
    found = (one for projection in projections for one in needed(store, projection))
    return tuple({one.name: one for one in found}.values())


def needed(store: "FeatureStore", projection: Any) -> Iterator[AskedBy]:
    """Gives the values that the view of a projection needs."""
    view = view_of(store, projection)
    if not is_computed(view):
        yield from join_keys(view, projection)
        return
    inputs = view.source_feature_view_projections.values()
    keys = {key for one in inputs for key in join_keys(view_of(store, one), one)}
    request = [AskedBy(name, kind.name) for name, kind in view.get_request_data_schema().items()]
    # Feast keeps inputs in maps of protobuf, whose order changes between processes.
    yield from sorted(keys, key=lambda one: one.name)
    yield from sorted(request, key=lambda one: one.name)


def view_of(store: "FeatureStore", projection: Any) -> Any:
    """The view of a projection as the registry has it."""
    return store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True)


def is_computed(view: Any) -> bool:
    """Tells if Feast computes a view's features when they are asked for."""
    is_on_demand = hasattr(view, "source_feature_view_projections")
    return is_on_demand and not view.write_to_online_store


def join_keys(view: Any, projection: Any) -> list[AskedBy]:
    """A view's join keys, by the names that the projection gives them."""
    return [
        AskedBy(projection.join_key_map.get(one.name, one.name), one.dtype.to_value_type().name)
        for one in view.entity_columns
        if one.name != NO_KEY
    ]
