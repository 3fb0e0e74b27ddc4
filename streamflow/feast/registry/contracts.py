"""Contracts of the feature services that Feast's registry has."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streamflow.catalog.contract import Contract, Feature, service_by_default
from streamflow.errors import ConfigurationError, UnknownName
from streamflow.feast.computed import Column, computed_of

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def contract_of(store: "FeatureStore", service: str = "") -> Contract:
    """The contract of `service` as the registry has it.

    Args:
        service: empty for churn_v1, or for the only one of a project that has no churn_v1.

    Raises:
        UnknownName: the registry has no such service; names the ones it has.
        ConfigurationError: none is named, and the project has none, or several.
    """
    known = {found.name: found for found in store.list_feature_services()}
    if not service:
        service = service_by_default(known)
        require_meant(store.project, service, known)
    if service not in known:
        raise UnknownName("feature service", service, known)
    return contract_of_service(known[service], store.list_on_demand_feature_views())


def require_meant(project: str, service: str, services: Collection[str]) -> None:
    """Returns when the project has the service that is meant where none is named.

    Raises:
        ConfigurationError: it has none at all, or several others; names them.
    """
    if not services:
        raise ConfigurationError(f"project {project} has no feature service")
    if service not in services:
        raise ConfigurationError(
            f"project {project} has several feature services; name one with --service: "
            + ", ".join(sorted(services))
        )


def contract_of_service(service: "FeatureService", views: Iterable[Any]) -> Contract:
    """The contract of a feature service object.

    Args:
        views: the on-demand feature views of the project, whose expressions are part of it.
    """
    computed = {view.name: found.columns for view in views if (found := computed_of(view))}
    return Contract(
        service.name,
        tuple(
            feature_of(projection, field, computed.get(projection.name, {}))
            for projection in service.feature_view_projections
            for field in projection.features
        ),
    )


def feature_of(projection: Any, field: Any, computed: Mapping[str, Column]) -> Feature:
    """A feature of a projection; of a computed one the view has what Feast does not keep."""
    view, name, type_ = projection.name_to_use(), field.name, str(field.dtype)
    if column := computed.get(name):
        return Feature(view, name, type_, column.description, column.expression)
    return Feature(view, name, type_, field.description)


def registered_names(store: "FeatureStore", contract: Contract) -> dict[str, str]:
    """By view of a contract: its name in the registry, where the service has renamed it.

    A service that is gone, or has another view by now, renames none.
    """
    services = {found.name: found for found in store.list_feature_services()}
    names = {view: view for view in contract.views}
    if contract.service in services:
        for one in services[contract.service].feature_view_projections:
            if one.name_to_use() in names and one.name_alias:
                version = "" if one.version_tag is None else f"@v{one.version_tag}"
                names[one.name_to_use()] = f"{one.name}{version}"
    return names
