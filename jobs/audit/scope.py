"""Scope of an audit: the views of a service that can be compared, and what requests ask for.

A view is compared if the online store keeps its values as its source has them. Where the API
cannot answer a service as a whole, because Feast computes a view of it on demand, the features of
its other views are asked for one by one, by their names in the registry.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.layout import NO_KEY, Layout
from streamflow.catalog.model import Catalog, Service
from streamflow.errors import ConfigurationError

if TYPE_CHECKING:
    from feast import FeatureStore

UNKNOWN: dict[str, Any] = {"text": "", "bigint": 0, "integer": 0, "boolean": False, "bytea": b""}
"""By PostgreSQL's type, a value for a join key of which no value is known."""


@dataclass(frozen=True)
class AuditedView:
    """A feature view whose online values are compared with its source."""

    alias: str
    """Its name in the contract."""
    view: Any
    """The feature view as the registry has it."""
    layout: Layout
    """Its columns; a key of the view is a tuple of values in the layout's order and types."""
    asked_as: tuple[str, ...]
    """The names under which requests give its join keys, in the layout's order."""
    features: tuple[Feature, ...]
    noun: str
    """The name of its one entity; `key` where it has several or none."""
    max_age: timedelta | None
    """The age from which its values are served as null; None where they are served at any age."""

    @property
    def references(self) -> list[str]:
        """Its features as the contract has them: `view:feature`."""
        return [one.reference for one in self.features]

    def label(self, key: tuple[Any, ...]) -> str:
        """A key as a message has it: `user 0002-ORFBO`, `key account_id=anna, device_id=1`."""
        if self.asked_as == (NO_KEY,):
            return "the one row"
        if len(key) == 1:
            return f"{self.noun} {key[0]}"
        named = zip(self.asked_as, key, strict=True)
        return f"{self.noun} {', '.join(f'{name}={value}' for name, value in named)}"


@dataclass(frozen=True)
class Scope:
    """The part of a contract that an audit compares."""

    asked: Contract
    """The features that requests ask for: those of a whole service, or single ones."""
    views: tuple[AuditedView, ...]
    left_out: dict[str, str]
    """By view of the service that is not compared: the reason."""
    stand_ins: dict[str, Any]
    """By name, values that requests have to give for views that are not compared: null for a value
    of the request, a key of its type for a join key."""

    @property
    def noun(self) -> str:
        """The word for whatever the views are about: `user`, or `key` where they differ."""
        return common_noun(self.views)

    @property
    def message(self) -> str:
        """Names the views that are left out; empty where there are none."""
        said = ", ".join(f"{view} ({reason})" for view, reason in self.left_out.items())
        return f"not compared: {said}" if said else ""


def common_noun(views: Iterable[AuditedView]) -> str:
    """The one word for the keys of all these views; `key` where they have several."""
    nouns = {one.noun for one in views}
    return nouns.pop() if len(nouns) == 1 else "key"


def scope_of(store: "FeatureStore", contract: Contract, catalog: Catalog) -> Scope:
    """Decides what of a contract is compared.

    Args:
        contract: of a service, or of single features called by their views' names in the registry.
        catalog: compiled from the same registry.

    Raises:
        ConfigurationError: a name by which the service is asked has two types.
    """
    from streamflow.feast.registry.request_inputs import view_of

    service = catalog.services[contract.service] if contract.service else None
    is_whole = service is not None and not service.unservable
    found: dict[str, AuditedView] = {}
    left_out: dict[str, str] = {}
    for projection in projections(store, contract):
        view, name = view_of(store, projection), projection.name_to_use()
        if reason := reason_left_out(view, projection, catalog):
            left_out[name] = reason
            continue
        features = tuple(one for one in contract.features if one.view == name)
        if is_whole:
            found[name] = audited_view(store, view, projection, features, catalog)
            continue
        single = tuple(replace(one, view=view.name) for one in features)
        if known := found.get(view.name):
            single = tuple(dict.fromkeys((*known.features, *single)))
        found[view.name] = audited_view(store, view, view.projection, single, catalog)
    views = tuple(found.values())
    require_one_type(contract.service, views)
    features = tuple(one for view in views for one in view.features)
    if service is None or not is_whole:
        return Scope(Contract("", features), views, left_out, {})
    return Scope(contract, views, left_out, stand_ins(service, catalog))


def stand_ins(service: Service, catalog: Catalog) -> dict[str, Any]:
    """By name, a value for all that a service's computed views are asked by."""
    found: dict[str, Any] = {}
    for projection in service.projections:
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


def reason_left_out(view: Any, projection: Any, catalog: Catalog) -> str:
    """The reason why a view of a service cannot be compared; empty where it can."""
    from streamflow.feast.engine.compute import computed_by
    from streamflow.feast.registry.compile import lacks
    from streamflow.feast.registry.request_inputs import is_computed

    if is_computed(view):
        return "computed on demand"
    if lacking := lacks(projection, catalog.views):
        own = lacking == [projection.name_to_use()]
        return "not in the online store" if own else f"the view lacks {', '.join(lacking)}"
    if getattr(view, "batch_source", None) is None:
        return "computed when it is written"
    computed = computed_by(view)
    return f"computed by Feast, as it has {computed}" if computed else ""


def audited_view(
    store: "FeatureStore",
    view: Any,
    projection: Any,
    features: tuple[Feature, ...],
    catalog: Catalog,
) -> AuditedView:
    """A view under the names that a projection gives it and its join keys."""
    from streamflow.feast.registry.layouts import layout_in

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
    )
