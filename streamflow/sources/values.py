"""The value of a feature as one SQL expression over its source's column, for training and serving.

A value that no feature of the type can have makes PostgreSQL refuse the query with an error that
names view and column (`ValueRefused`): there is no way on which it becomes another value.
"""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from streamflow.catalog.layout import JSON, column_type
from streamflow.errors import ConfigurationError
from streamflow.postgres.refusals import refusing
from streamflow.sources.types import Rule, element_of, rule_of

WIDER = {
    ("real", "double precision"): "double precision",
    ("real", "numeric"): "double precision",
    ("integer", "bigint"): "bigint",
}
"""By the online column's type and the source's, in which type a training set has the value."""
NO_EQUALITY = ("json", "xml", "point", "polygon")
"""Types whose values PostgreSQL does not compare, so that it finds no null among them."""


Cases = list[tuple[sql.Composed, sql.Composable]]


@dataclass(frozen=True)
class SourceValue:
    """The value of a feature, or of a join key, taken from a column of its source."""

    label: str
    """View and column, as an error names them."""
    column: str
    """The source's."""
    kind: str
    """PostgreSQL's type of it."""
    value_type: str
    """Feast's, by name."""

    @property
    def is_message(self) -> bool:
        """True where Feast's message has to be made in Python (json_values.py)."""
        return column_type(self.value_type) == JSON

    def stored(self, given: sql.Composable) -> sql.Composed:
        """The value that the online table has; of one that `is_message`, what that is made of.

        Args:
            given: the source's value, as SQL.
        """
        return self._taken(given, self.stored_type, "{}")

    def stored_or_null(self, given: sql.Composable) -> sql.Composed:
        """The same, but null for a value that no feature of the type can have."""
        return self._taken(given, self.stored_type, "{}", refuse=False)

    def trained(self, given: sql.Composable) -> sql.Composed:
        """The value that a training set has: the same one, an instant in place of its seconds.

        It is as wide a number as the source's, as with stock Feast: a 32-bit float that is taken
        from a double precision column is the double which that float equals.
        """
        types = self.stored_type.removesuffix("[]"), self.kind.removesuffix("[]")
        if "TIMESTAMP" in self.value_type:
            wanted, form = "timestamp with time zone", "to_timestamp({})"
        elif types in WIDER:
            wanted = WIDER[types]
            form = f"({{}})::{wanted}"
        else:
            return self.stored(given)
        array = "[]" if self.stored_type.endswith("[]") else ""
        return self._taken(given, wanted + array, form)

    @property
    def stored_type(self) -> str:
        """PostgreSQL's type of what is `stored`."""
        if self.value_type == "ZONED_TIMESTAMP":
            return "bigint"
        return "text" if self.is_message else column_type(self.value_type)

    def _taken(
        self, given: sql.Composable, wanted: str, form: str, refuse: bool = True
    ) -> sql.Composed:
        def refusal(said: str) -> sql.Composable:
            if not refuse:
                return sql.SQL("NULL")
            return refusing(self.label, given, said, wanted)

        element = element_of(self.value_type, self.kind)
        if element is not None:
            return self._list(given, element, wanted, form, refusal)
        rule = rule_of(self.value_type, self.kind)
        assert rule is not None  # noqa: S101  # by value_of
        value = sql.SQL(form).format(sql.SQL(rule.value).format(given))
        if not rule.checks:
            return value
        cases: Cases = [(sql.SQL("{} IS NULL").format(given), sql.SQL("NULL"))]
        cases += [
            (
                sql.SQL("NOT ({})").format(sql.SQL(check).format(given)),
                refusal(said),
            )
            for check, said in rule.checks
        ]
        return case(cases, value)

    def _list(
        self,
        given: sql.Composable,
        rule: Rule,
        wanted: str,
        form: str,
        refusal: Callable[[str], sql.Composable],
    ) -> sql.Composed:
        """An array without nulls, each element by the rule."""
        kind = self.kind.removesuffix("[]")
        known = sql.SQL("{}::text[]" if kind in NO_EQUALITY else "{}").format(given)
        value = sql.SQL(form).format(sql.SQL(rule.value).format(sql.SQL("u.e")))
        elements = sql.SQL("unnest({}) WITH ORDINALITY AS u (e, n)").format(given)
        cases: Cases = [
            (sql.SQL("{} IS NULL").format(given), sql.SQL("NULL")),
            (
                sql.SQL("array_ndims({}) > 1").format(given),
                refusal("has more than one dimension"),
            ),
            (
                sql.SQL("array_position({}, NULL) IS NOT NULL").format(known),
                refusal("has a null element"),
            ),
        ]
        cases += [
            (
                sql.SQL("EXISTS (SELECT FROM {} WHERE NOT ({}))").format(
                    elements, sql.SQL(check).format(sql.SQL("u.e"))
                ),
                refusal(f"has an element that {said}"),
            )
            for check, said in rule.checks
        ]
        if form == "{}" and not rule.checks and rule.value.startswith("{0}::"):
            return case(cases, sql.SQL("{}::{}").format(given, sql.SQL(wanted)))
        return case(cases, sql.SQL("ARRAY(SELECT {} FROM {} ORDER BY u.n)").format(value, elements))


def case(cases: Cases, value: sql.Composed) -> sql.Composed:
    """The first result whose condition holds, else `value`."""
    whens = sql.SQL(" ").join(sql.SQL("WHEN {} THEN {}").format(*one) for one in cases)
    return sql.SQL("CASE {} ELSE {} END").format(whens, value)


def value_of(view: str, feature: str, column: str, kind: str, value_type: str) -> SourceValue:
    """The rule by which a feature is taken from a column.

    Args:
        view, feature: their names; of a join key, its name.
        column: the source's.
        kind: PostgreSQL's type of it.
        value_type: Feast's by name.

    Raises:
        ConfigurationError: it cannot be; names view, column and both types.
    """
    found = SourceValue(f"feature view {view}, column {column}", column, kind, value_type)
    if not can_be(value_type, kind):
        raise ConfigurationError(
            f"{found.label} is {kind}, from which {feature} cannot be {value_type}; "
            "cast it in the source's query, or declare another type (docs/types.md)"
        )
    return found


def can_be(value_type: str, kind: str) -> bool:
    """True where there is a rule by which a feature is taken from a column.

    Args:
        value_type: Feast's by name.
        kind: PostgreSQL's type of the column.
    """
    return element_of(value_type, kind) is not None or rule_of(value_type, kind) is not None
