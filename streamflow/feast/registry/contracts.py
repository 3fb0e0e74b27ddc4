"""Contracts of the feature services that Feast's registry has."""

from typing import TYPE_CHECKING

from streamflow.catalog.contract import Contract, Feature
from streamflow.errors import UnknownName

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def contract_of(store: "FeatureStore", service: str) -> Contract:
    """The contract of `service` as the registry has it.

    Raises:
        UnknownName: the registry has no such service; names the ones it has.
    """
    known = {found.name: found for found in store.list_feature_services()}
    if service not in known:
        raise UnknownName("feature service", service, known)
    return contract_of_service(known[service])


def contract_of_service(service: "FeatureService") -> Contract:
    """The contract of a feature service object."""
    return Contract(
        service.name,
        tuple(
            Feature(projection.name_to_use(), field.name, str(field.dtype), field.description)
            for projection in service.feature_view_projections
            for field in projection.features
        ),
    )


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
