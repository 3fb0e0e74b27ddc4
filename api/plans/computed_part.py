"""Finds what computed features read, and adds it to the plan that is made."""

from collections.abc import Iterable, Mapping, Sequence

from api.errors import Unservable
from api.plans.computed import Computed, ComputedColumn
from api.plans.plan import PlannedColumn, PlannedView, planned_view
from streamflow.catalog.contract import Contract
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import Catalog, ComputedView, Projection, StoredFeature
from streamflow.expressions.evaluate import compiled
from streamflow.expressions.tree import INSTANT, inputs_of, renamed
from streamflow.expressions.types import SQL_NAMES

KEY_TYPES = {
    "text": "String",
    "bigint": "Int64",
    "integer": "Int32",
    "boolean": "Bool",
    "bytea": "Bytes",
}
"""Feast's type by that of a join key in an online table; an instant is in seconds there."""
Asked = list[tuple[Projection, ComputedView]]
"""The computed views of a selection, each as it is used."""


def with_computed(
    catalog: Catalog,
    projections: Sequence[Projection],
    contract: Contract,
    views: list[PlannedView],
    columns: list[PlannedColumn],
) -> Computed | None:
    """The computed part of a plan; adds the views and columns that it reads besides to the plan's.

    None where nothing is computed. Raises Unservable as `request_of` does.
    """
    asked = computed_views(catalog, projections)
    if not asked:
        return None
    shown: dict[str, tuple[int, ...]] = {one.alias: (at,) for at, one in enumerate(views)}
    request = request_of(asked)
    places = {
        (views[one.view_number].alias, one.feature.name): at for at, one in enumerate(columns)
    }
    inputs = []
    for projection, view in asked:
        numbers, own = with_inputs(catalog, projection, view, views, columns)
        shown[projection.alias] = numbers
        inputs.append(own)
    given = {name: len(columns) + at for at, name in enumerate(request)}
    made: list[ComputedColumn] = []
    for (projection, view), own in zip(asked, inputs, strict=True):
        for name, column in computed_columns(projection, view, given | own).items():
            places[projection.alias, name] = len(columns) + len(made)
            made.append(column)
    aliases = dict.fromkeys(one.alias for one in projections)
    return Computed(
        columns=tuple(made),
        request=request,
        outputs=tuple(places[one.view, one.name] for one in contract.features),
        views={alias: shown[alias] for alias in aliases},
        names=frozenset(projection.alias for projection, _ in asked),
        instants=instants_among(one.feature for one in columns),
    )


def with_inputs(
    catalog: Catalog,
    projection: Projection,
    view: ComputedView,
    views: list[PlannedView],
    columns: list[PlannedColumn],
) -> tuple[tuple[int, ...], dict[str, int]]:
    """Adds to a plan's views and columns what a computed view reads and is not among them.

    Returns:
        The numbers of the views that it reads, and by the names in its expressions the places of
        their columns.
    """
    numbers, places = [], {}
    for needed in inputs_needed(projection, view):
        number = number_of(planned_view(catalog, needed), views)
        numbers.append(number)
        stored = {one.name: one for one in catalog.views[needed.view].features}
        for name in needed.features:
            column = PlannedColumn(number, stored[name])
            if column not in columns:
                columns.append(column)
            places[needed.view, name] = columns.index(column)
    own = {name: places[origin] for name, origin in view.inputs.items() if origin in places}
    return tuple(numbers), own


def number_of(wanted: PlannedView, views: list[PlannedView]) -> int:
    """The number of a view that is read by the same keys, which is added where there is none."""
    for number, one in enumerate(views):
        if (one.view.name, one.keys) == (wanted.view.name, wanted.keys):
            return number
    views.append(wanted)
    return len(views) - 1


def computed_views(catalog: Catalog, projections: Iterable[Projection]) -> Asked:
    """The computed views among `projections`, each with the projection."""
    return [
        (one, catalog.computed[one.view]) for one in projections if one.view in catalog.computed
    ]


def inputs_needed(projection: Projection, view: ComputedView) -> list[Projection]:
    """The views that a computed view reads for the features that are asked for."""
    names = dict.fromkeys(
        name
        for one in view.features
        if one.name in projection.features
        for name in inputs_of(one.tree)
        if name in view.inputs
    )
    needed: dict[str, list[str]] = {}
    for name in names:
        source, feature = view.inputs[name]
        needed.setdefault(source, []).append(feature)
    return [
        Projection(source, source, view.join_keys[source], tuple(features))
        for source, features in needed.items()
    ]


def join_keys_of(catalog: Catalog, projections: Iterable[Projection]) -> dict[str, str]:
    """The join keys that a request gives for these views: Feast's types by name."""
    stored: list[Projection] = []
    for one in projections:
        if one.view in catalog.computed:
            stored += inputs_needed(one, catalog.computed[one.view])
        elif one.view in catalog.views:
            stored.append(one)
    return {
        one.join_keys.get(key.name, key.name): KEY_TYPES[key.type]
        for one in stored
        for key in catalog.views[one.view].keys
        if key.name != NO_KEY
    }


def request_of(asked: Asked) -> dict[str, str]:
    """The values that computed features take from a request: Feast's types by name.

    Raises:
        Unservable: two features take one name for values of different types.
    """
    found: dict[str, str] = {}
    for projection, view in asked:
        for one in view.features:
            taken = inputs_of(one.tree) if one.name in projection.features else []
            for name in taken:
                type_ = view.request.get(name) if name not in view.inputs else None
                if type_ and found.setdefault(name, type_) != type_:
                    raise Unservable(
                        f"{name} is {found[name]} for one feature, {type_} for another"
                    )
    return found


def computed_columns(
    projection: Projection, view: ComputedView, positions: Mapping[str, int]
) -> dict[str, ComputedColumn]:
    """By name: the features that a projection takes of a computed view.

    Args:
        positions: by the names in the view's expressions, the places of their values.
    """
    return {
        one.name: ComputedColumn(
            StoredFeature(one.name, one.type, "", SQL_NAMES[one.type], one.description),
            compiled(renamed(one.tree, positions)),
        )
        for one in view.features
        if one.name in projection.features
    }


def instants_among(features: Iterable[StoredFeature]) -> tuple[int, ...]:
    """The places of instants."""
    return tuple(at for at, one in enumerate(features) if one.type == INSTANT)
