"""The contract of a feature service with the list behind it, of Feast's objects."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamflow.catalog.known_contracts import KnownContract, KnownView, list_behind
from streamflow.feast.registry.contracts import contract_of_service

if TYPE_CHECKING:
    from feast import FeatureService


def known_contract(
    service: "FeatureService", sources: Mapping[str, Mapping[str, str]]
) -> KnownContract:
    """The contract of a feature service object with its list, without times.

    Args:
        service: as the registry or a definition has it.
        sources: by view and feature, see `sources_of`.
    """
    views = [
        KnownView(one.name_to_use(), stored_name(one), dict(one.join_key_map))
        for one in service.feature_view_projections
    ]
    return list_behind(contract_of_service(service), views, sources)


def stored_name(projection: Any) -> str:
    """The view of a projection; with its version where that is pinned, of which none is served."""
    version = "" if projection.version_tag is None else f"@v{projection.version_tag}"
    return f"{projection.name}{version}"


def sources_of(view: Any) -> dict[str, str]:
    """By feature of a view: its source and the column there, see Stored; {} without a source."""
    source = getattr(view, "batch_source", None)
    if source is None:
        return {}
    columns = {feature: column for column, feature in (source.field_mapping or {}).items()}
    return {one.name: f"{source.name}.{columns.get(one.name, one.name)}" for one in view.features}
