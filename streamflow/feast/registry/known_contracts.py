"""The contract of a feature service with the list behind it, of Feast's objects."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streamflow.catalog.known_contracts import KnownContract, KnownView, list_behind
from streamflow.feast.computed import computed_of
from streamflow.feast.registry.contracts import contract_of_service

if TYPE_CHECKING:
    from feast import FeatureService


def known_contract(
    service: "FeatureService", sources: Mapping[str, Mapping[str, str]], views: Iterable[Any]
) -> KnownContract:
    """The contract of a feature service object with its list, without times.

    Args:
        service: as the registry or a definition has it.
        sources: by view and feature, see `sources_of`.
        views: the on-demand feature views of the project.
    """
    used = [
        KnownView(one.name_to_use(), stored_name(one), dict(one.join_key_map))
        for one in service.feature_view_projections
    ]
    return list_behind(contract_of_service(service, views), used, sources)


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


def all_sources(views: Iterable[Any]) -> dict[str, dict[str, str]]:
    """By view and feature: the source and its column, or the expression and those of its inputs.

    Args:
        views: stored and on-demand ones; of other on-demand views nothing is known.
    """
    views = list(views)
    found = {view.name: sources_of(view) for view in views if computed_of(view) is None}
    for view in views:
        if computed := computed_of(view):
            found[view.name] = {
                name: "; ".join([column.expression, *origins(computed.taken(name), found)])
                for name, column in computed.columns.items()
            }
    return found


def origins(
    taken: Iterable[tuple[str, str]], sources: Mapping[str, Mapping[str, str]]
) -> Iterable[str]:
    """The sources of features (view and name), a phrase each; of a request's values none."""
    for view, name in taken:
        if source := sources.get(view, {}).get(name):
            yield f"{name} from {source}"
