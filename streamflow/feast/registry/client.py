"""A registry for Feast's SDK where it reads through the API and may not open the database.

It has the names and types of what is served: entities, views, services. Neither sources nor code
are in it, so that a client needs no driver, runs nothing and learns no SQL; a training set is
built where the database is.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore

SCHEMA_VERSION = "1"
"""Of Feast's registry files."""
SOURCES = ("batch_source", "stream_source", "timestamp_field", "created_timestamp_column")
"""The fields of a service's projection that say where its values come from."""


def client_registry(store: "FeatureStore", views: Iterable[Any]) -> bytes:
    """A registry file of `views` and of all entities and services that `store` has.

    Equal definitions give equal bytes: it has none of the times and states that Feast keeps.
    """
    from feast.protos.feast.core.Entity_pb2 import Entity
    from feast.protos.feast.core.FeatureService_pb2 import FeatureService
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView, FeatureViewSpec
    from feast.protos.feast.core.Project_pb2 import Project, ProjectSpec
    from feast.protos.feast.core.Registry_pb2 import Registry

    registry, project = store.registry, store.project
    found = Registry(
        registry_schema_version=SCHEMA_VERSION,
        projects=[Project(spec=ProjectSpec(name=project))],
    )
    for entity in by_name(registry.list_entities(project, allow_cache=False)):
        spec = entity.to_proto().spec
        spec.project = project
        found.entities.append(Entity(spec=spec))
    for view in by_name(views):
        spec = FeatureViewSpec(
            name=view.name,
            project=project,
            description=view.description,
            tags=dict(view.tags),
            owner=view.owner,
            entities=[getattr(one, "name", one) for one in view.entities or ()],
            entity_columns=[one.to_proto() for one in view.entity_columns],
            features=[one.to_proto() for one in view.features],
            online=True,
        )
        if getattr(view, "ttl", None):
            spec.ttl.FromTimedelta(view.ttl)
        found.feature_views.append(FeatureView(spec=spec))
    for service in by_name(registry.list_feature_services(project, allow_cache=False)):
        spec = service.to_proto().spec
        spec.project = project
        spec.ClearField("logging_config")  # names a source as well
        for projection in spec.features:
            for field in SOURCES:
                projection.ClearField(field)
        found.feature_services.append(FeatureService(spec=spec))
    written: bytes = found.SerializeToString(deterministic=True)
    return written


def by_name(objects: Iterable[Any]) -> list[Any]:
    """Objects of a registry in an order that does not change."""
    return sorted(objects, key=lambda one: str(one.name))
