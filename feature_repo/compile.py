"""Compiles Feast's registry into the catalog that readers without Feast use."""

from typing import TYPE_CHECKING, Any

from psycopg import Connection

from feature_repo import catalog
from feature_repo.catalog import Catalog, Key, Projection, Service, StoredFeature, TtlPolicy, View
from feature_repo.contract import contract_of_service
from feature_repo.online_layout import Layout, layout_of

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

DAY_S = 86_400.0


def stored_views(store: "FeatureStore") -> list[Any]:
    """The views whose values the online store keeps, by name."""
    return sorted(
        (
            view
            for view in store.registry.list_all_feature_views(store.project, allow_cache=False)
            if getattr(view, "write_to_online_store", getattr(view, "online", False))
            and getattr(view, "enabled", True)
        ),
        key=lambda view: str(view.name),
    )


def layouts_of(store: "FeatureStore", views: list[Any]) -> dict[str, Layout]:
    """The columns of `views` by name."""
    entities = {
        one.name: one for one in store.registry.list_entities(store.project, allow_cache=False)
    }
    versioned = store.config.registry.enable_online_feature_view_versioning
    return {
        view.name: layout_of(
            store.project,
            view,
            versioned,
            {
                entities[name].join_key: entities[name].value_type.name
                for name in view.entities
                if name in entities
            },
        )
        for view in views
    }


def compiled(store: "FeatureStore", policy: TtlPolicy = "serve") -> Catalog:
    """The catalog of what the registry of `store` has; its version is 0.

    Args:
        store: its registry is read anew, not from a cache.
        policy: what readers do with a row older than its view's ttl, where the view's tag
            `ttl_policy` says nothing.
    """
    views = stored_views(store)
    layouts = layouts_of(store, views)
    compiled_views = {view.name: view_of(view, layouts[view.name], policy) for view in views}
    services = store.registry.list_feature_services(store.project, allow_cache=False)
    return Catalog(
        version=0,
        project=store.project,
        views=compiled_views,
        services={one.name: service_of(one, compiled_views) for one in services},
    )


def view_of(view: Any, layout: Layout, policy: TtlPolicy) -> View:
    """A feature view as readers need it."""
    ttl_s = view.ttl.total_seconds() if getattr(view, "ttl", None) else 0.0
    fresh_days = view.tags.get("fresh_for_days")
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
        ttl_s=ttl_s,
        ttl_policy=view.tags.get("ttl_policy", policy),
        fresh_for_s=ttl_s or (float(fresh_days) * DAY_S if fresh_days else 0.0),
    )


def service_of(service: "FeatureService", views: dict[str, View]) -> Service:
    """A feature service as readers need it."""
    missing = [one.name for one in service.feature_view_projections if one.name not in views]
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
        contract=contract_of_service(service).hash,
        unservable=(
            f"{', '.join(missing)}: not in the online store (on demand, offline or disabled); "
            "read it with Feast's SDK"
            if missing
            else ""
        ),
    )


def is_current(connection: Connection, found: Catalog) -> bool:
    """Whether the database has this very catalog, whatever its version."""
    if connection.execute("SELECT to_regclass('ops.catalog')").fetchone() == (None,):
        return False
    row = connection.execute("SELECT format, document::text FROM ops.catalog").fetchone()
    return row == (catalog.FORMAT, found.document())


def write(connection: Connection, found: Catalog) -> None:
    """Makes `found` the catalog, with the next version unless it is the same already."""
    connection.execute(
        """
        INSERT INTO ops.catalog AS c (version, format, document)
        VALUES (1, %(format)s, %(document)s)
        ON CONFLICT (only_row) DO UPDATE
        SET version = c.version + 1, format = EXCLUDED.format, document = EXCLUDED.document,
            applied_at = now()
        WHERE (c.format, c.document::text) IS DISTINCT FROM
              (EXCLUDED.format, EXCLUDED.document::text)""",
        {"format": catalog.FORMAT, "document": found.document()},
    )
