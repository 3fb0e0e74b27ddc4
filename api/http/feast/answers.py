"""Answers of POST /get-online-features in the form of Feast's own feature server.

A Feast SDK whose online store is `remote` asks it, for any join keys, by columns: an array for
each join key, and an array of values, statuses and event times for each key and feature.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any

import orjson

from api.answer import instants, join_keys, values
from api.answer.request_values import rows_of
from api.answer.rows import Row, conversions, event_times
from api.errors import InvalidRequest
from api.http.feast.schemas import OnlineRequest
from api.http.reply import JSON, Reply, marks
from api.plans.computed import Computed
from api.plans.plan import NO_KEY, Plan, PlannedView, Selection
from api.reading.reader import FeatureReader
from streamflow.catalog.model import Catalog
from streamflow.errors import StaleFeatures

PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE = "PRESENT", "NOT_FOUND", "OUTSIDE_MAX_AGE"
NEVER = "1970-01-01T00:00:00Z"
"""The event time of a join key, and of a row that is not there."""
LATEST = "@latest"


async def answer(features: FeatureReader, request: OnlineRequest, expected: Sequence[str]) -> Reply:
    """The answer; its header `Contract` has the hash of the features' contract.

    An older contract has the headers of `marks` besides, and an answer that was read from a replica
    `Replica-Lag`, since the body has no place for them.

    Raises as `FeatureReader.one` does.
    """
    entities = OnlineEntities(request, features.settings.max_users)
    plan, _, rows, lag_s = await features.rows(selection_of(request), expected, entities)
    writer: OnlineAnswers | None = plan.writers.get(OnlineAnswers)
    if writer is None:
        writer = plan.writers[OnlineAnswers] = OnlineAnswers(plan)
    full = request.full_feature_names
    body = writer.body(entities.given, rows, instants.now(), full, entities.values)
    lag = () if lag_s is None else ((b"replica-lag", b"%.3f" % lag_s),)
    headers = ((b"contract", plan.hash.encode()), *marks(plan.superseded), *lag)
    return Reply(200, JSON, body, headers)


def selection_of(request: OnlineRequest) -> Selection:
    """The features that a request asks for.

    Raises:
        InvalidRequest: it asks for none, or a feature is not written view:name.
    """
    if request.include_feature_view_version_metadata:
        where = "body.include_feature_view_version_metadata"
        raise InvalidRequest([(where, "versions of feature views are not known here")])
    if request.feature_service:
        return Selection(request.feature_service)
    if not request.features:
        raise InvalidRequest([("body.features", "is empty; give view:name, or feature_service")])
    references = []
    for at, reference in enumerate(request.features):
        view, colon, name = reference.partition(":")
        if not (view and colon and name):
            raise InvalidRequest([(f"body.features.{at}", "a feature is written view:name")])
        references.append(f"{view.removesuffix(LATEST)}:{name}")
    return Selection("", tuple(dict.fromkeys(references)))


class OnlineEntities:
    """The rows that a request asks for, each join key a column.

    Raises:
        InvalidRequest: none, more than `most`, or not the same number in all columns.
    """

    def __init__(self, request: OnlineRequest, most: int) -> None:
        self._request = request
        self.given: dict[str, list[Any]] = {}
        """Join keys as the tables hold them, those that no view of the plan needs included."""
        self.values: list[tuple[Any, ...]] = []
        """Of each row, the values that computed features take from the request."""
        lengths = {name: len(column) for name, column in request.entities.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise InvalidRequest([("body.entities", f"columns of different lengths: {listed}")])
        self._count = next(iter(lengths.values()), 0)
        if not self._count:
            raise InvalidRequest([("body.entities", "is empty")])
        join_keys.require_few(self._count, most, "body.entities", "rows")

    def __len__(self) -> int:
        return self._count

    def arrays(self, plan: Plan, catalog: Catalog) -> list[Sequence[Any]]:
        """The join keys of `plan` as the request gives them.

        Raises:
            InvalidRequest: one lacks, or cannot be a key.
        """
        entities = self._request.entities
        require_names(self._request, plan)
        request = plan.computed.request if plan.computed else {}
        lacking = sorted({*plan.key_types, *request} - set(entities) - {NO_KEY})
        if lacking:
            raise InvalidRequest([("body.entities", f"lacks {', '.join(lacking)}")])
        types = key_types_of(catalog, plan)
        values = {name: entities[name] for name in request}
        self.values = rows_of(request, values, self._count, "body.entities")
        self.given = {
            name: join_keys.from_json(column, types[name], f"body.entities.{name}")
            for name, column in entities.items()
            if name in types and name not in request
        }
        return [
            [""] * self._count if name == NO_KEY else self.given[name] for name in plan.key_types
        ]


def require_names(request: OnlineRequest, plan: Plan) -> None:
    """Raise InvalidRequest if two features would have the same name in the answer."""
    if request.full_feature_names:
        return
    uses = Counter(feature.name for feature in plan.contract.features)
    double = sorted(name for name, count in uses.items() if count > 1)
    if double:
        what = f"several views have {', '.join(double)}; ask with full_feature_names"
        raise InvalidRequest([("body.features", what)])


def key_types_of(catalog: Catalog, plan: Plan) -> dict[str, str]:
    """Types of all join keys there are, by name: an answer repeats those that it was given."""
    every = {key.name: key.type for view in catalog.views.values() for key in view.keys}
    return {name: type_ for name, type_ in (every | plan.key_types).items() if name != NO_KEY}


class OnlineAnswers:
    """Writes the answers of one selection."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._event_times = event_times(plan)
        self._conversions = dict(conversions(plan, values.as_feast))
        self._features = plan.features
        features = plan.contract.features
        self._short = [feature.name for feature in features]
        self._full = [f"{feature.view}__{feature.name}" for feature in features]

    def body(
        self,
        given: Mapping[str, Sequence[Any]],
        rows: Sequence[Row],
        now: int,
        full: bool,
        inputs: Sequence[Sequence[Any]] = (),
    ) -> bytes:
        """The answer.

        Args:
            given: the join keys that it repeats, by name.
            rows: of the plan's query.
            now: the moment that decides which values are too old.
            full: whether features are called `view__name`.
            inputs: of each row, the values that computed features take from the request.

        Raises:
            StaleFeatures: a view refuses values that are too old.
        """
        columns = list(zip(*rows, strict=True))
        results = [self._key_column(column) for column in given.values()]
        tails, statuses = [], []
        for view, as_of in zip(self._plan.views, columns[self._event_times], strict=True):
            own = statuses_of(view, as_of, now)
            stamps = [NEVER if one is None else instants.as_protobuf(one) for one in as_of]
            tails.append(tail(own, stamps))
            statuses.append(own if own.count(PRESENT) < len(own) else None)
        first = self._event_times.stop
        found = [
            present(columns[first + at], statuses[column.view_number])
            for at, column in enumerate(self._plan.columns)
        ]
        ends = [tails[column.view_number] for column in self._plan.columns]
        if computed := self._plan.computed:
            stored = zip(*found, strict=True)
            asked = inputs or [()] * len(rows)
            every = [computed.all_values(*row) for row in zip(stored, asked, strict=True)]
            found = list(zip(*every, strict=True))
            ends = self._computed_ends(computed, columns[self._event_times], ends)
        for at, column in enumerate(found):
            results.append(b'{"values":' + orjson.dumps(self._written(at, column)) + ends[at])
        names = self._full if full else self._short
        metadata = orjson.dumps({"feature_names": [*given, *names]})
        return b"".join((b'{"results":[', b",".join(results), b'],"metadata":', metadata, b"}"))

    def _key_column(self, column: Sequence[Any]) -> bytes:
        ends = tail([PRESENT] * len(column), [NEVER] * len(column))
        if isinstance(column[0], bytes):
            column = [join_keys.as_json(key) for key in column]
        return b'{"values":' + orjson.dumps(column) + ends

    def _written(self, at: int, column: Sequence[Any]) -> Sequence[Any]:
        """The values of a feature of the contract as JSON has them."""
        convert, feature = self._conversions.get(at), self._features[at]
        if convert is not None:
            return [None if one is None else convert(one) for one in column]
        if values.has_floats(feature) and not isfinite(sum(filter(None, column))):
            return values.finite(column)
        return column

    def _computed_ends(
        self, computed: Computed, as_of: Sequence[Sequence[int | None]], ends: Sequence[bytes]
    ) -> list[bytes]:
        """The ends of the columns in the contract's order.

        Computed values are as old as the oldest row that they come from; those of the request
        alone are there, and describe no instant.
        """
        of_views = {}
        for name in computed.names:
            if not computed.views[name]:
                count = len(as_of[0])
                of_views[name] = tail([PRESENT] * count, [NEVER] * count)
                continue
            rows = zip(*(as_of[number] for number in computed.views[name]), strict=True)
            oldest = [min((one for one in row if one is not None), default=None) for row in rows]
            of_views[name] = tail(
                [NOT_FOUND if one is None else PRESENT for one in oldest],
                [NEVER if one is None else instants.as_protobuf(one) for one in oldest],
            )
        return [
            of_views[feature.view] if feature.view in of_views else ends[place]
            for feature, place in zip(self._plan.contract.features, computed.outputs, strict=True)
        ]


def present(column: Sequence[Any], statuses: Sequence[str] | None) -> Sequence[Any]:
    """The values of a column that are there; all of them where `statuses` is None."""
    if statuses is None:
        return column
    return [
        one if status == PRESENT else None for one, status in zip(column, statuses, strict=True)
    ]


def statuses_of(planned: PlannedView, as_of: Sequence[int | None], now: int) -> list[str]:
    """Feast's status of each row of a view.

    Raises:
        StaleFeatures: the view refuses values that are too old.
    """
    view = planned.view
    if not view.ttl_s or view.ttl_policy == "serve":
        return [NOT_FOUND if one is None else PRESENT for one in as_of]
    ttl = instants.microseconds(view.ttl_s)
    found = []
    for one in as_of:
        is_old = one is not None and now - one > ttl
        if is_old and one is not None and view.ttl_policy == "refuse":
            age = timedelta(microseconds=now - one)
            raise StaleFeatures(planned.alias, age, timedelta(microseconds=ttl))
        found.append(NOT_FOUND if one is None else OUTSIDE_MAX_AGE if is_old else PRESENT)
    return found


def tail(statuses: Sequence[str], stamps: Sequence[str]) -> bytes:
    """The rest of a column's JSON after its values."""
    parts = (b',"statuses":', orjson.dumps(statuses), b',"event_timestamps":', orjson.dumps(stamps))
    return b"".join((*parts, b"}"))
