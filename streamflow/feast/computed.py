"""The expressions of an on-demand view: what the view's code is, in Feast and in its registry."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from streamflow.errors import ConfigurationError, SpineRefused, shorten
from streamflow.expressions.evaluate import Evaluate, compiled
from streamflow.expressions.tree import FEATURE_TYPES, INSTANT, Tree, inputs_of, renamed
from streamflow.expressions.values import given, instant, taken


class Column(NamedTuple):
    """A computed feature."""

    type: str
    """Feast's type."""
    expression: str
    description: str


class Computed:
    """Computes the features of one view, by the rows that Feast hands to its Python code."""

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Mapping[str, str]],
        columns: Mapping[str, tuple[str, str, str]],
    ) -> None:
        """
        Args:
            inputs: by source, the fields and types; of the request's under the empty name.
            columns: by feature, the fields of its Column.

        Raises:
            ConfigurationError: an expression cannot be evaluated.
        """
        self.__name__ = name
        self.inputs = {source: dict(fields) for source, fields in inputs.items()}
        self.columns = {feature: Column(*column) for feature, column in columns.items()}
        self.trees = {feature: self._tree(feature) for feature in self.columns}

    def _tree(self, feature: str) -> Tree:
        """The expression of a feature; its inputs are called `view__feature`, as Feast does."""
        type_, text, _ = self.columns[feature]
        if type_ not in FEATURE_TYPES:
            raise ConfigurationError(
                f"on-demand feature view {self.__name__}: feature {feature} is {type_}; an "
                f"expression gives {', '.join(FEATURE_TYPES)}"
            )
        from streamflow.expressions.checks import ExpressionRefused
        from streamflow.expressions.parse import parsed

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
        columns = {feature: tuple(column) for feature, column in self.columns.items()}
        return (
            f"from {__name__} import Computed\n\n"
            f"{self.__name__} = Computed(\n    {self.__name__!r},\n    {self.inputs!r},\n"
            f"    {columns!r},\n)\n"
        )

    @cached_property
    def origins(self) -> dict[str, tuple[str, str]]:
        """By the names in Feast's rows: source and field; of a request's value no source."""
        return {
            f"{source}__{field}" if source else field: (source, field)
            for source, fields in self.inputs.items()
            for field in fields
        }

    def taken(self, feature: str) -> list[tuple[str, str]]:
        """The inputs of a feature, each as its source and field."""
        return [self.origins[name] for name in inputs_of(self.trees[feature])]

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """The types of the inputs by their names in Feast's rows."""
        return {column: type_ for _, (column, type_) in self._names()}

    @cached_property
    def _evaluations(self) -> dict[str, tuple[list[str], Evaluate, str]]:
        """By feature: its inputs, its evaluation, its type."""
        return {
            feature: (inputs_of(tree), compiled(tree), self.columns[feature].type)
            for feature, tree in self.trees.items()
        }

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The features' columns, of columns of the inputs.

        Raises:
            SpineRefused: a value of a request cannot be of its type.
        """
        count = len(next(iter(rows.values()), ()))
        columns = {
            name: self._column(name, rows[name])
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

    def _column(self, name: str, values: Sequence[Any]) -> list[Any]:
        """The values of an input, as expressions take them."""
        kind = self._kinds[name]
        if self.origins[name][0]:
            return [taken(value, kind) for value in values]
        found = []
        for value in values:
            try:
                found.append(given(value, kind))
            except ValueError:
                raise SpineRefused(f"column {name}: {shorten(value)} is no {kind}") from None
        return found


def computed_of(view: Any) -> Computed | None:
    """The expressions of an on-demand view; None where its features are other code's."""
    udf = getattr(getattr(view, "feature_transformation", None), "udf", None)
    return udf if isinstance(udf, Computed) else None
