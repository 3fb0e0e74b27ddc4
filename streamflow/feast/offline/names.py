"""The names of a request's columns: a column of the entity rows is no feature as well."""

from collections.abc import Iterable, Sequence

from feast.errors import FeatureNameCollisionError
from feast.on_demand_feature_view import OnDemandFeatureView

from streamflow.errors import ConfigurationError


class NameCollision(ConfigurationError, FeatureNameCollisionError):
    """A column of the entity rows has the name of a feature; the answer could have one of both."""

    def __init__(self, names: Sequence[str], full_feature_names: bool) -> None:
        other = "" if full_feature_names else ", or ask with full_feature_names=True"
        Exception.__init__(
            self,
            f"the entity rows have a column named like a feature: {', '.join(names)};"
            f" give the column another name{other}",
        )


def computed_names(views: Iterable[OnDemandFeatureView], full_names: bool) -> list[str]:
    """What the features of on-demand views are called in the answer, and what they read.

    Feast hands them the features of other views under their short names, whatever the answer
    calls those: a column of such a name would be a second one.
    """
    found = []
    for view in views:
        prefix = f"{view.projection.name_to_use()}__" if full_names else ""
        found += [prefix + feature.name for feature in view.features]
        for source in view.source_feature_view_projections.values():
            found += [feature.name for feature in source.features]
    return found


def require_distinct(columns: Sequence[str], features: Iterable[str], full_names: bool) -> None:
    """Returns when no column of the entity rows is called as a feature.

    Raises:
        NameCollision: naming those that are.
    """
    if twice := [name for name in dict.fromkeys(features) if name in columns]:
        raise NameCollision(twice, full_names)
