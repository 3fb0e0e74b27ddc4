"""The views that an audit compares: stored ones, and those that are computed from stored ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from streamflow.catalog.contract import Feature
from streamflow.catalog.layout import NO_KEY, Layout
from streamflow.feast.computed import Computed
from streamflow.sources.table import SourceTable


@dataclass(frozen=True)
class AuditedView:
    """A feature view whose online values are compared with its source."""

    alias: str
    """Its name in the contract."""
    view: Any
    """The feature view as its project has it: Feast's, or a PlainView; both have a `name`."""
    layout: Layout
    """Its columns; a key of the view is a tuple of values in the layout's order and types."""
    asked_as: tuple[str, ...]
    """The names under which requests give its join keys, in the layout's order."""
    features: tuple[Feature, ...]
    noun: str
    """The name of its one entity; `key` where it has several or none."""
    max_age: timedelta | None
    """The age from which its values are served as null; None where they are served at any age."""
    source: SourceTable | None
    """None where PostgreSQL does not have it."""
    key_types: Mapping[str, str]
    """Feast's value type of each join key."""

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
class AuditedComputation:
    """A view of expressions whose served values are compared with those that training computes.

    A key of it is a tuple with a key of each input.
    """

    alias: str
    """Its name in the contract."""
    computed: Computed
    inputs: tuple[AuditedView, ...]
    """The views that it is computed from, each with the features that it takes; their names as in
    the registry are those of `view`, their aliases are of no other view."""
    features: tuple[Feature, ...]

    max_age = None
    """Its values are null where those of an old input are, which `inputs` have the ages of."""

    @property
    def noun(self) -> str:
        """The word for what it is asked by."""
        return common_noun(self.inputs)

    @property
    def references(self) -> list[str]:
        """Its features as the contract has them: `view:feature`."""
        return [one.reference for one in self.features]

    @property
    def request(self) -> Mapping[str, str]:
        """Feast's type by name of the values that it takes from a request."""
        return self.computed.inputs.get("", {})

    def label(self, key: tuple[Any, ...]) -> str:
        """A key as a message has it: `user 0002-ORFBO`, `key item_id=1, user_id=a`."""
        if len(self.inputs) == 1:
            return self.inputs[0].label(key[0])
        named = {
            name: value
            for view, values in zip(self.inputs, key, strict=True)
            for name, value in zip(view.asked_as, values, strict=True)
            if name != NO_KEY
        }
        return f"{self.noun} {', '.join(f'{name}={value}' for name, value in named.items())}"


AuditedFeatures = AuditedView | AuditedComputation


def common_noun(views: Iterable[AuditedFeatures]) -> str:
    """The one word for the keys of all these views; `key` where they have several."""
    nouns = {one.noun for one in views}
    return nouns.pop() if len(nouns) == 1 else "key"
