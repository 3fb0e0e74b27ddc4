"""Scope of an audit: the views of a service that can be compared, and what requests ask for.

A view is compared if the online store keeps its values as its source has them, or if it is computed
from such views by expressions. Where the API cannot answer a service as a whole, because code
computes a view of it on demand, the features of its stored views are asked for one by one, by their
names in the registry.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.audit.views import AuditedComputation, AuditedFeatures, AuditedView, common_noun
from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import Catalog
from streamflow.errors import ConfigurationError
from streamflow.feast.computed import computed_of

if TYPE_CHECKING:
    from feast import FeatureStore

UNKNOWN: dict[str, Any] = {"text": "", "bigint": 0, "integer": 0, "boolean": False, "bytea": b""}
"""By PostgreSQL's type, a value for a join key of which no value is known."""


@dataclass(frozen=True)
class Scope:
    """The part of a contract that an audit compares."""

    asked: Contract
    """The features that requests ask for: those of a whole service, or single ones."""
    views: tuple[AuditedView, ...]
    left_out: dict[str, str]
    """By view of the service that is not compared: the reason."""
    computations: tuple[AuditedComputation, ...] = ()
    stand_ins: dict[str, Any] = field(default_factory=dict)
    """By name, values that requests have to give for computed views that are not compared: null for
    a value of the request, a key of its type for a join key."""

    @property
    def compared(self) -> tuple[AuditedFeatures, ...]:
        """Its views, stored and computed."""
        return (*self.views, *self.computations)

    @property
    def read(self) -> tuple[AuditedView, ...]:
        """Its stored views and those that its computed ones take."""
        return (*self.views, *(view for one in self.computations for view in one.inputs))

    @property
    def noun(self) -> str:
        """The word for whatever the views are about: `user`, or `key` where they differ."""
        return common_noun(self.compared)

    @property
    def message(self) -> str:
        """Names the views that are left out; empty where there are none."""
        said = ", ".join(f"{view} ({reason})" for view, reason in self.left_out.items())
        return f"not compared: {said}" if said else ""


def scope_of(
    store: "FeatureStore", contract: Contract, catalog: Catalog, by_api: bool = False
) -> Scope:
    """Decides what of a contract is compared.

    Args:
        contract: of a service, or of single features called by their views' names in the registry.
        catalog: compiled from the same registry.
        by_api: the API is asked, and not Feast's SDK.

    Raises:
        ConfigurationError: a name by which the service is asked has two types.
    """
    from streamflow.feast.registry.request_inputs import view_of

    is_whole = is_asked_whole(store, contract, catalog, by_api)
    found: dict[str, AuditedView] = {}
    computations: list[AuditedComputation] = []
    left_out: dict[str, str] = {}
    for projection in projections(store, contract):
        view, name = view_of(store, projection), projection.name_to_use()
        features = tuple(one for one in contract.features if one.view == name)
        if reason := reason_left_out(store, view, projection, catalog, is_whole):
            left_out[name] = reason
        elif computed_of(view):
            computations.append(computation(store, view, name, features, catalog))
        elif is_whole:
            found[name] = audited_view(store, view, projection, features, catalog)
        else:
            single = tuple(replace(one, view=view.name) for one in features)
            if known := found.get(view.name):
                single = tuple(dict.fromkeys((*known.features, *single)))
            found[view.name] = audited_view(store, view, view.projection, single, catalog)
    views = tuple(found.values())
    features = tuple(one for view in views for one in view.features)
    asked = contract if is_whole else Contract("", features)
    names = stand_ins(contract.service, catalog) if is_whole else {}
    scope = Scope(asked, views, left_out, tuple(computations), names)
    require_one_type(contract.service, scope.read)
    return scope


def is_asked_whole(
    store: "FeatureStore", contract: Contract, catalog: Catalog, by_api: bool
) -> bool:
    """True where a service is asked for as one; else its features are, one by one."""
    from streamflow.feast.online.client import has_equal_names
    from streamflow.feast.registry.request_inputs import view_of

    if not contract.service or catalog.services[contract.service].unservable:
        return False
    views = [view_of(store, one) for one in projections(store, contract)]
    computed = [one for one in views if computed_of(one)]
    return by_api or not computed or not has_equal_names(contract, computed)


def stand_ins(service: str, catalog: Catalog) -> dict[str, Any]:
    """By name, a value for all that a service's computed views are asked by."""
    found: dict[str, Any] = {}
    for projection in catalog.services[service].projections:
        if (view := catalog.computed.get(projection.view)) is None:
            continue
        found |= dict.fromkeys(view.request)
        for source, names in view.join_keys.items():
            for key in catalog.views[source].keys:
                if key.name != NO_KEY:
                    found[names.get(key.name, key.name)] = UNKNOWN[key.type]
    return found


def require_one_type(service: str, views: Iterable[AuditedView]) -> None:
    """Returns when each name by which the views are asked has one type, as the API wants it too.

    Raises:
        ConfigurationError: one has two; names it, and the views.
    """
    first: dict[str, tuple[str, str]] = {}
    for view in views:
        for name, column in zip(view.asked_as, view.layout.keys, strict=True):
            other, type_ = first.setdefault(name, (view.alias, column.type))
            if type_ != column.type:
                raise ConfigurationError(
                    f"service {service} cannot be asked: join key {name} is {type_} in view {other}"
                    f" and {column.type} in view {view.alias}; give one of them another name, by"
                    " with_join_key_map"
                )


def projections(store: "FeatureStore", contract: Contract) -> Iterator[Any]:
    """The views of a contract as its service uses them; without a service, as they are."""
    if contract.service:
        service = store.get_feature_service(contract.service, allow_cache=True)
        yield from service.feature_view_projections
    for name in () if contract.service else contract.views:
        yield store.registry.get_any_feature_view(name, store.project, allow_cache=True).projection


def reason_left_out(
    store: "FeatureStore", view: Any, projection: Any, catalog: Catalog, is_whole: bool
) -> str:
    """The reason why a view of a service cannot be compared; empty where it can."""
    from streamflow.feast.registry.compile import lacks
    from streamflow.feast.registry.request_inputs import is_computed, view_of

    if is_computed(view):
        inputs = view.source_feature_view_projections.values()
        if not (computed_of(view) and is_whole):
            return "computed on demand"
        reasons = [reason_not_stored(view_of(store, one)) for one in inputs]
        return next(filter(None, reasons), "" if inputs else "computed from requests alone")
    if lacking := lacks(projection, catalog.views):
        own = lacking == [projection.name_to_use()]
        return "not in the online store" if own else f"the view lacks {', '.join(lacking)}"
    return reason_not_stored(view)


def reason_not_stored(view: Any) -> str:
    """The reason why a view's values are no columns of a source; empty where they are."""
    from streamflow.feast.engine.compute import computed_by

    if getattr(view, "batch_source", None) is None:
        return "computed when it is written"
    computed = computed_by(view)
    return f"computed by Feast, as it has {computed}" if computed else ""


def computation(
    store: "FeatureStore", view: Any, name: str, features: tuple[Feature, ...], catalog: Catalog
) -> AuditedComputation:
    """A view of expressions under the name that a service gives it, with what it takes."""
    from streamflow.feast.registry.request_inputs import view_of

    computed = computed_of(view)
    assert computed is not None  # noqa: S101  # the caller has looked
    inputs = []
    for one in sorted(view.source_feature_view_projections.values(), key=lambda one: one.name):
        taken = tuple(
            Feature(one.name, field, type_, "")
            for field, type_ in computed.inputs[one.name].items()
        )
        audited = audited_view(store, view_of(store, one), one, taken, catalog)
        inputs.append(replace(audited, alias=f"{name} of {one.name}"))
    return AuditedComputation(name, computed, tuple(inputs), features)


def audited_view(
    store: "FeatureStore",
    view: Any,
    projection: Any,
    features: tuple[Feature, ...],
    catalog: Catalog,
) -> AuditedView:
    """A view under the names that a projection gives it and its join keys."""
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
        PostgreSQLSource,
    )

    from streamflow.feast.registry.layouts import layout_in
    from streamflow.feast.sources import source_table

    source = getattr(view, "batch_source", None)
    layout = layout_in(store.config, view)
    stored = catalog.views[view.name]
    entities = [getattr(one, "name", one) for one in view.entities or ()]
    may_be_null = stored.ttl_s and stored.ttl_policy == "null"
    return AuditedView(
        alias=projection.name_to_use(),
        view=view,
        layout=layout,
        asked_as=tuple(projection.join_key_map.get(one, one) for one in layout.join_keys),
        features=features,
        noun=entities[0] if len(entities) == 1 and entities[0] != "__dummy" else "key",
        max_age=timedelta(seconds=stored.ttl_s) if may_be_null else None,
        source=source_table(source) if isinstance(source, PostgreSQLSource) else None,
        key_types={one.name: one.dtype.to_value_type().name for one in view.entity_columns},
    )
