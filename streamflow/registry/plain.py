"""A feature view in the library's own terms, as materialization and training need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from streamflow.catalog.layout import Layout
from streamflow.catalog.model import TtlPolicy
from streamflow.sources.table import SourceTable


@dataclass(frozen=True)
class PlainView:
    """A feature view of any class whose values are its source's columns."""

    name: str
    kind: str
    """Its class in words: `feature view`."""
    layout: Layout
    source: SourceTable
    types: Mapping[str, str]
    """Feast's value type by join key, in the order of the view, and feature."""
    entities: tuple[str, ...] = ()
    """Their names; none for a view of one row."""
    is_online: bool = True
    """True where its values are kept online."""
    entries: str = "feature_views"
    """The table of Feast's registry that has it."""
    ttl: timedelta = timedelta(0)
    """The age that a row may have in training; 0 for no limit."""
    ttl_policy: TtlPolicy = "serve"
    """The treatment of a row that is older, when it is served."""
