"""Compiles Feast's registry into online tables' layouts, and into the catalog that readers
without Feast use."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast, get_args

from streamflow.catalog.layout import Layout
from streamflow.catalog.model import (
    Catalog,
    ComputedFeature,
    ComputedView,
    Key,
    Projection,
    Service,
    StoredFeature,
    TtlPolicy,
    View,
)
from streamflow.errors import ConfigurationError
from streamflow.feast.computed import computed_of
from streamflow.feast.registry.client import client_registry
from streamflow.feast.registry.contracts import contract_of_service
from streamflow.feast.registry.known_contracts import all_sources, known_contract
from streamflow.feast.registry.layouts import layout_of
from streamflow.registry.tags import fresh_days
from streamflow.statistics.comparison.thresholds import thresholds

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

DAY_S = 86_400.0


def layouts(store: "FeatureStore") -> Iterator[Layout]:
    """The columns of every view whose values the online store keeps.

    Where Feast keeps versions of views apart, also of each version in the registry: any of
    them may be read (`view@v1:feature`).
    """
    registry, project = store.registry, store.project
    versioned = store.config.registry.enable_online_feature_view_versioning
    for view in stored_views(store):
        yield layout_of(project, view, versioned)
        for one in registry.list_feature_view_versions(view.name, project) if versioned else ():
            number = one["version_number"]
            if number != (view.current_version_number or 0):
                found = registry.get_feature_view_by_version(view.name, project, number)
                yield layout_of(project, found, versioned)


def stored_views(store: "FeatureStore") -> list[Any]:
    """The views whose values the online store keeps, by name; also disabled ones."""
    return sorted(
        (
            view
            for view in store.registry.list_all_feature_views(store.project, allow_cache=False)
            if is_stored(view)
        ),
        key=lambda view: str(view.name),
    )


def is_stored(view: Any) -> bool:
    """True if the online store keeps the values of `view`."""
    return bool(getattr(view, "write_to_online_store", getattr(view, "online", False)))


def compiled(store: "FeatureStore", policy: TtlPolicy = "serve") -> Catalog:
    """The catalog of what the registry of `store` has; its version is 0.

    Its known contracts are those that the services have now, without times.

    Args:
        store: its registry is read anew, not from a cache.
        policy: what readers do with a row older than its view's ttl, where the view's tag
            `ttl_policy` says nothing.

    Raises:
        ConfigurationError: a view's tag is not what it can be.
    """
    versioned = store.config.registry.enable_online_feature_view_versioning
    served = [view for view in stored_views(store) if getattr(view, "enabled", True)]
    on_demand = [
        view
        for view in store.registry.list_on_demand_feature_views(store.project, allow_cache=False)
        if getattr(view, "enabled", True) and not is_stored(view)
    ]
    compiled_views = {
        view.name: view_of(view, layout_of(store.project, view, versioned), policy)
        for view in served
    }
    services = store.registry.list_feature_services(store.project, allow_cache=False)
    computed = {
        view.name: found
        for view in on_demand
        if (found := computed_view_of(view, compiled_views)) is not None
    }
    sources = all_sources([*served, *on_demand])
    return Catalog(
        version=0,
        project=store.project,
        views=compiled_views,
        services={
            one.name: service_of(one, compiled_views, computed, on_demand) for one in services
        },
        computed=computed,
        registry=b64encode(client_registry(store, served)).decode(),
        sources=sources,
        known=tuple(known_contract(one, sources, on_demand) for one in services),
    )


def view_of(view: Any, layout: Layout, policy: TtlPolicy) -> View:
    """A feature view as readers need it."""
    ttl, policy = ttl_of(view, policy)
    require_thresholds(view)
    types = {one.name: one for one in view.features}
    return View(
        name=view.name,
        table=layout.table,
        keys=tuple(
            Key(name, column.name, column.type)
            for name, column in zip(layout.join_keys, layout.keys, strict=True)
        ),
        event_column=layout.event.name,
        created_column=layout.created.name,
        features=tuple(
            StoredFeature(
                name, str(types[name].dtype), column.name, column.type, types[name].description
            )
            for name, column in layout.features.items()
        ),
        description=view.description,
        ttl_s=ttl.total_seconds(),
        ttl_policy=policy,
        fresh_for_s=ttl.total_seconds() or fresh_days(view.name, view.tags) * DAY_S,
    )


def require_thresholds(view: Any) -> None:
    """Returns when the tags of drift, of a view and its features, are thresholds.

    Raises:
        ConfigurationError: one is not.
    """
    thresholds(f"feature view {view.name}", view.tags)
    for one in view.features:
        thresholds(f"feature {view.name}:{one.name}", one.tags)


def ttl_of(view: Any, default: TtlPolicy) -> tuple[timedelta, TtlPolicy]:
    """A view's ttl (zero for none), and what a read does with rows older than it.

    Raises:
        ConfigurationError: the view's tag `ttl_policy` is none of the policies.
    """
    policy = view.tags.get("ttl_policy", default)
    if policy not in get_args(TtlPolicy):
        raise ConfigurationError(
            f"feature view {view.name}: tag ttl_policy is {policy!r}; "
            f"it can be {', '.join(get_args(TtlPolicy))}"
        )
    return getattr(view, "ttl", None) or timedelta(0), cast(TtlPolicy, policy)


def computed_view_of(view: Any, views: dict[str, View]) -> ComputedView | None:
    """An on-demand view as readers evaluate it; None where other code computes it.

    Nor is one that takes what is not among `views`, so that it cannot be read.
    """
    computed = computed_of(view)
    projections = view.source_feature_view_projections
    if computed is None or any(lacks(one, views) for one in projections.values()):
        return None
    request = computed.inputs.get("", {})
    return ComputedView(
        name=view.name,
        inputs={name: origin for name, origin in computed.origins.items() if origin[0]},
        join_keys={one.name: dict(one.join_key_map) for one in projections.values()},
        request=dict(request),
        features=tuple(
            ComputedFeature(
                name, column.type, column.expression, computed.trees[name], column.description
            )
            for name, column in computed.columns.items()
        ),
        description=view.description,
    )


def service_of(
    service: "FeatureService",
    views: dict[str, View],
    computed: dict[str, ComputedView],
    on_demand: list[Any],
) -> Service:
    """A feature service as readers need it.

    Args:
        views, computed: those that readers know.
        on_demand: as the registry has them.
    """
    known: dict[str, View | ComputedView] = {**views, **computed}
    lacking = [name for one in service.feature_view_projections for name in lacks(one, known)]
    return Service(
        name=service.name,
        description=service.description,
        tags=dict(service.tags),
        projections=tuple(
            Projection(
                view=one.name,
                alias=one.name_to_use(),
                join_keys=dict(one.join_key_map),
                features=tuple(feature.name for feature in one.features),
            )
            for one in service.feature_view_projections
        ),
        contract=contract_of_service(service, on_demand).hash,
        unservable=(
            f"{', '.join(lacking)}: not in the online store (computed by code, offline, disabled, "
            "removed, or of a pinned version); read it with Feast's SDK"
            if lacking
            else ""
        ),
    )


def lacks(projection: Any, views: Mapping[str, View | ComputedView]) -> list[str]:
    """Names what the catalog's views lack of a service's projection: the view, or features."""
    if projection.name not in views or projection.version_tag is not None:
        return [projection.name_to_use()]
    stored = {one.name for one in views[projection.name].features}
    return [f"{projection.name}:{f.name}" for f in projection.features if f.name not in stored]
