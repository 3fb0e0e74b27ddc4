"""What can be asked for: the registry's services and views as they were at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from feature_repo.contract import Contract, Feature
from feature_repo.errors import UnknownName


@dataclass(frozen=True)
class Service:
    """A feature service: a named, ordered list of features."""

    name: str
    description: str
    contract: Contract


@dataclass(frozen=True)
class View:
    """A feature view: features that change together."""

    name: str
    features: Mapping[str, Feature]
    """By name, in the view's order."""
    fresh_for: timedelta | None = None
    """Age from which its values are stale; None for never."""


@dataclass(frozen=True)
class Catalog:
    """Services and views by name."""

    services: Mapping[str, Service] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        """The service called `name`.

        Raises:
            UnknownName: there is none; names those there are.
        """
        if name not in self.services:
            raise UnknownName("feature service", name, self.services)
        return self.services[name]

    def selection(self, references: Sequence[str]) -> Contract:
        """The features of `references` (`view:name`) in their order, each once, as a contract.

        Raises:
            UnknownName: no such view, or no such feature in it; names those there are.
        """
        return Contract("", tuple(self.feature(one) for one in dict.fromkeys(references)))

    def feature(self, reference: str) -> Feature:
        """The feature that `reference` (`view:name`) means.

        Raises:
            UnknownName: no such view, or no such feature in it; names those there are.
        """
        view_name, _, name = reference.partition(":")
        view = self.views.get(view_name)
        if view is None:
            raise UnknownName("feature view", view_name, self.views)
        if name not in view.features:
            known = [feature.reference for feature in view.features.values()]
            raise UnknownName("feature", reference, known)
        return view.features[name]

    def fresh_for(self, view: str) -> timedelta | None:
        """Age from which values of `view` are stale; None for never."""
        found = self.views.get(view)
        return found.fresh_for if found else None


def fresh_for(tags: Mapping[str, str]) -> timedelta | None:
    """The tag `fresh_for_days` of a view; None where it is not set.

    Raises:
        ValueError: it is set to something that is no number of days.
    """
    days = tags.get("fresh_for_days")
    return None if days is None else timedelta(days=float(days))
