"""Feature views that are computed by expressions of SQL when they are asked for.

To Feast one is an OnDemandFeatureView, whose code in Python evaluates the expressions, so that
Feast's SDK and training sets compute it as any other. The API has the expressions from the catalog,
and runs no code of a registry. All evaluate them by `streamflow.expressions`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feast.transformation.python_transformation import PythonTransformation

from streamflow.errors import ConfigurationError
from streamflow.feast.computed import Column, Computed

if TYPE_CHECKING:
    from feast import FeatureView, Field, RequestSource
    from feast.feature_view_projection import FeatureViewProjection
    from feast.on_demand_feature_view import OnDemandFeatureView


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
    from feast import Field
    from feast.on_demand_feature_view import OnDemandFeatureView

    computed = Computed(name, inputs_from(name, sources), columns_from(name, schema, expressions))
    # Feast keeps no descriptions and tags of computed features, and then finds that they differ.
    fields = [Field(name=field.name, dtype=field.dtype) for field in schema]
    return OnDemandFeatureView(
        name=name,
        sources=list(sources),
        schema=fields,
        feature_transformation=transformation_of(computed, fields),
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
) -> dict[str, Column]:
    """By feature, its column; each feature of the schema has an expression.

    Raises:
        ConfigurationError: one lacks its expression, or an expression its feature.
    """
    names = [field.name for field in schema]
    for feature in (*names, *expressions):
        if (feature in names) != (feature in expressions):
            lacks = "no expression" if feature in names else "no field in the schema"
            raise ConfigurationError(f"on-demand feature view {name}: {feature} has {lacks}")
    return {
        field.name: Column(str(field.dtype), expressions[field.name], field.description)
        for field in schema
    }


class SqlTransformation(PythonTransformation):
    """The transformation of a view of expressions, while that is defined.

    A registry gives a PythonTransformation back, of the same Computed.
    """

    declared: "Sequence[Field]" = ()
    """The features that the view declares; nothing has to be tried to find them."""

    def infer_features(self, random_input: Any, singleton: bool | None = False) -> list["Field"]:
        """The declared features."""
        return list(self.declared)

    def __deepcopy__(self, memo: Any = None) -> "SqlTransformation":
        return transformation_of(self.udf, self.declared)


def transformation_of(computed: Computed, declared: "Sequence[Field]") -> SqlTransformation:
    """The transformation of a view with these features."""
    made = SqlTransformation(computed, computed.source_text)
    made.declared = declared
    return made
