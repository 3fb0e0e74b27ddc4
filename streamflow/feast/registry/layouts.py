"""The columns of Feast's feature views in the online tables."""

from typing import Any

from feast import FeatureView
from feast.repo_config import RepoConfig

from streamflow.catalog.layout import Layout, layout


def layout_of(project: str, view: FeatureView, versioned: bool = False) -> Layout:
    """The columns of `view`.

    Args:
        project: Feast's project.
        view: a view as the registry has it, its columns inferred.
        versioned: the registry's setting `enable_online_feature_view_versioning`.
    """
    # Of a view without entities Feast names its stand-in for a key, or hides that as well.
    keys = {one.name: one.dtype.to_value_type().name for one in view.entity_columns}
    features = {one.name: one.dtype.to_value_type().name for one in view.features}
    return layout(project, view.name, keys, features, version_of(view) if versioned else 0)


def version_of(view: Any) -> int:
    """The version that a reference asks for (`view@v2`), else the view's current one."""
    asked = getattr(view.projection, "version_tag", None)
    return int(asked if asked is not None else getattr(view, "current_version_number", None) or 0)


def layout_in(config: RepoConfig, view: FeatureView) -> Layout:
    """The columns of a view in the project of `config`."""
    versioned = config.registry.enable_online_feature_view_versioning
    return layout_of(config.project, view, versioned)
