"""What a feature service promises: its features in order, each with its type."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from streamflow.errors import UnknownName

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


@dataclass(frozen=True)
class Feature:
    """One feature of a service, in Feast's names."""

    view: str
    name: str
    type: str
    """Feast's type: Int64, Float32, Bool, String, …"""
    description: str

    @property
    def reference(self) -> str:
        """How Feast refers to it: `view:name`."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True)
class Contract:
    """A service's ordered features; two services with equal features have equal hashes."""

    service: str
    features: tuple[Feature, ...]

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the sha256 over (view, name, type) in order."""
        spec = [[feature.view, feature.name, feature.type] for feature in self.features]
        return hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16]

    @property
    def views(self) -> tuple[str, ...]:
        """The views it reads, each once, in order of first use."""
        return tuple(dict.fromkeys(feature.view for feature in self.features))

    def described(self) -> list[dict[str, str]]:
        """Its features as plain dictionaries, for a manifest or an answer."""
        return [asdict(feature) for feature in self.features]


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
