"""Feature views that are computed by expressions of SQL when they are asked for.

To Feast one is an OnDemandFeatureView, whose code in Python evaluates the expressions, so that
Feast's SDK and training sets compute it as any other. The API has the expressions from the catalog,
and runs no code of a registry. All evaluate them by `streamflow.expressions`.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feast.transformation.python_transformation import PythonTransformation

from streamflow.errors import ConfigurationError
from streamflow.expressions.evaluate import Evaluate, compiled
from streamflow.expressions.parse import parsed
from streamflow.expressions.reader import ExpressionRefused
from streamflow.expressions.tree import FEATURE_TYPES, INSTANT, Tree, inputs_of, renamed
from streamflow.expressions.values import instant, taken

if TYPE_CHECKING:
    from feast import FeatureView, Field, RequestSource
    from feast.feature_view_projection import FeatureViewProjection
    from feast.on_demand_feature_view import OnDemandFeatureView

EXPRESSION = "expression"
"""The tag of a computed feature that has its expression."""


def sql_feature_view(
    *,
    name: str,
    sources: "Sequence[FeatureView | FeatureViewProjection | RequestSource]",
    schema: "Sequence[Field]",
    expressions: Mapping[str, str],
    description: str = "",
    tags: Mapping[str, str] | None = None,
    owner: str = "",
) -> "OnDemandFeatureView":
    """Defines features that are computed from others, and from values of the request.

    Args:
        sources: feature views whose schema is declared, projections of such, and request sources.
        schema: the features: Int32, Int64, Float32, Float64, Bool, String or UnixTimestamp.
        expressions: by feature, an expression of SQL over the fields of `sources`, each by its name
            or, where several have one of that name, as `view.field`. See docs/on-demand.md.

    Raises:
        ConfigurationError: an expression cannot be evaluated; names the feature, the part and its
            place.
    """
    from feast.on_demand_feature_view import OnDemandFeatureView

    computed = Computed(name, inputs_from(name, sources), columns_from(name, schema, expressions))
    fields = [copy(field) for field in schema]
    for field in fields:
        field.tags = {**field.tags, EXPRESSION: expressions[field.name]}
    return OnDemandFeatureView(
        name=name,
        sources=list(sources),
        schema=fields,
        feature_transformation=SqlTransformation(computed, computed.source_text),
        mode="python",
        description=description,
        tags=dict(tags or {}),
        owner=owner,
    )


def inputs_from(name: str, sources: Sequence[Any]) -> dict[str, dict[str, str]]:
    """By source, its fields and their types; a request source's are under the empty name.

    Raises:
        ConfigurationError: a source declares no schema, or has another name here.
    """
    found: dict[str, dict[str, str]] = {}
    for one in sources:
        projection = getattr(one, "projection", one)
        if hasattr(projection, "name_alias"):
            if projection.name_alias or projection.version_tag is not None:
                raise ConfigurationError(
                    f"on-demand feature view {name}: source {projection.name_to_use()} is renamed "
                    "or of a pinned version, which its expressions cannot tell; name the view"
                )
            source, fields = projection.name, projection.features
        else:
            source, fields = "", one.schema
        if not fields:
            raise ConfigurationError(
                f"on-demand feature view {name}: source {one.name} declares no schema, which tells "
                "the types of its expressions"
            )
        found.setdefault(source, {}).update({field.name: str(field.dtype) for field in fields})
    return found


def columns_from(
    name: str, schema: "Sequence[Field]", expressions: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """By feature, its type and expression; each feature of the schema has one.

    Raises:
        ConfigurationError: one lacks its expression, or an expression its feature.
    """
    names = [field.name for field in schema]
    for feature in (*names, *expressions):
        if (feature in names) != (feature in expressions):
            lacks = "no expression" if feature in names else "no field in the schema"
            raise ConfigurationError(f"on-demand feature view {name}: {feature} has {lacks}")
    return {field.name: (str(field.dtype), expressions[field.name]) for field in schema}


class Computed:
    """Computes the features of one view, by the rows that Feast hands to its Python code."""

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Mapping[str, str]],
        columns: Mapping[str, tuple[str, str]],
    ) -> None:
        """
        Args:
            inputs: by source, the fields and types; of the request's under the empty name.
            columns: by feature, its type and expression.

        Raises:
            ConfigurationError: an expression cannot be evaluated.
        """
        self.__name__ = name
        self.inputs = {source: dict(fields) for source, fields in inputs.items()}
        self.columns = {feature: tuple(column) for feature, column in columns.items()}
        self.trees = {feature: self._tree(feature) for feature in self.columns}

    def _tree(self, feature: str) -> Tree:
        """The expression of a feature; its inputs are called `view__feature`, as Feast does."""
        type_, text = self.columns[feature]
        if type_ not in FEATURE_TYPES:
            raise ConfigurationError(
                f"on-demand feature view {self.__name__}: feature {feature} is {type_}; an "
                f"expression gives {', '.join(FEATURE_TYPES)}"
            )
        names = dict(self._names())
        try:
            tree = parsed(text, {name: kind for name, (_, kind) in names.items()}, type_)
        except ExpressionRefused as refused:
            raise ConfigurationError(
                f"on-demand feature view {self.__name__}, feature {feature}: {refused}"
            ) from None
        return renamed(tree, {name: column for name, (column, _) in names.items()})

    def _names(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """The names that expressions use, with the name in Feast's rows, and the type.

        One that several sources have has no type without its source.
        """
        counts: dict[str, int] = {}
        for fields in self.inputs.values():
            for field in fields:
                counts[field] = counts.get(field, 0) + 1
        for source, fields in self.inputs.items():
            for field, type_ in fields.items():
                column = f"{source}__{field}" if source else field
                if source:
                    yield f"{source}.{field}", (column, type_)
                if counts[field] == 1 or not source:
                    yield field, (column, type_)

    @property
    def source_text(self) -> str:
        """The code by which Feast makes this anew from a registry."""
        return (
            f"from {__name__} import Computed\n\n"
            f"{self.__name__} = Computed(\n    {self.__name__!r},\n    {self.inputs!r},\n"
            f"    {self.columns!r},\n)\n"
        )

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The types of the inputs by their names in Feast's rows."""
        return {column: type_ for _, (column, type_) in self._names()}

    @cached_property
    def _evaluations(self) -> dict[str, tuple[list[str], Evaluate, str]]:
        """By feature: its inputs, its evaluation, its type."""
        return {
            feature: (inputs_of(tree), compiled(tree), self.columns[feature][0])
            for feature, tree in self.trees.items()
        }

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The features' columns, of columns of the inputs."""
        count = len(next(iter(rows.values()), ()))
        columns = {
            name: [taken(value, self._kinds[name]) for value in rows[name]]
            for inputs, _, _ in self._evaluations.values()
            for name in inputs
        }
        found = {}
        for feature, (inputs, evaluate, type_) in self._evaluations.items():
            asked = [columns[name] for name in inputs]
            values = (
                evaluate(dict(zip(inputs, row, strict=True)))
                for row in (zip(*asked, strict=True) if asked else [()] * count)
            )
            found[feature] = [instant(one) for one in values] if type_ == INSTANT else [*values]
        return found


class SqlTransformation(PythonTransformation):
    """The transformation of a view of expressions, whose features are those it declares."""

    def infer_features(self, random_input: Any, singleton: bool | None = False) -> list["Field"]:
        """The declared features; nothing has to be tried for them."""
        from feast import Field, types

        return [
            Field(name=feature, dtype=getattr(types, type_))
            for feature, (type_, _) in self.udf.columns.items()
        ]

    def __deepcopy__(self, memo: Any = None) -> "SqlTransformation":
        return SqlTransformation(self.udf, self.udf_string)


def computed_of(view: Any) -> Computed | None:
    """The expressions of an on-demand view; None where its features are other code's."""
    udf = getattr(getattr(view, "feature_transformation", None), "udf", None)
    return udf if isinstance(udf, Computed) else None
