"""The area under the ROC curve in SQL, and its chance bound, against what numpy finds by itself."""

from datetime import UTC, datetime

import numpy as np
import pytest
from psycopg import sql

from streamflow.postgres.connect import connect
from streamflow.snapshots import Snapshot, Snapshots, number, truth, whole_number
from streamflow.statistics.counting.relations import label_of, relations_of
from streamflow.statistics.ranks import change_by_chance, relation
from streamflow.statistics.summary import EXACT_ROWS, Relation

INSTANT = datetime(2024, 1, 31, tzinfo=UTC)
USAGE = Snapshot(
    "usage", "usage", "Usage", {"v": number(0, 9, "Any."), "w": whole_number(0, 9, "Any.")}
)
LABELS = Snapshot("labels", "labels", "Labels", {"gone": truth("Any.")})
USERS = Snapshot("users", "users", "Users", {}, newest_only=True)


def declared(labels: Snapshot = LABELS) -> Snapshots:
    return Snapshots(USERS, (USAGE,), labels)


def by_pairs(values: np.ndarray, labels: np.ndarray) -> float:
    """Every pair is compared: Mann and Whitney's statistic as it is defined."""
    ours, theirs = values[labels][:, None], values[~labels][None, :]
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())


@pytest.fixture
def connection(empty_database):
    with connect() as found:
        found.execute("CREATE SCHEMA source")
        yield found


def filled(connection, rows: int) -> None:
    """A month of users, of whom one in thirteen has no label, beside another month's labels."""
    connection.execute(
        """
        CREATE TABLE source.usage AS
        SELECT 'u' || id AS user_id, %(now)s::timestamptz AS as_of,
               CASE WHEN id %% 10 > 0 THEN (id::bigint * 7919 %% 1000 / 100.0)::real END AS v,
               (id %% 7)::bigint AS w
        FROM generate_series(1, %(rows)s) AS id""",
        {"now": INSTANT, "rows": rows},
    )
    connection.execute(
        """
        CREATE TABLE source.labels AS
        SELECT user_id, as_of, w + v > 8 + hashtext(user_id) % 5 AS gone
        FROM source.usage WHERE hashtext(user_id) % 13 <> 0
        UNION ALL SELECT user_id, as_of - interval '31 days', true FROM source.usage""",
    )


def in_numpy(connection, column: str) -> tuple[np.ndarray, np.ndarray]:
    query = sql.SQL("""
        SELECT {0}::float8, gone FROM source.usage JOIN source.labels USING (user_id, as_of)
        WHERE {0} IS NOT NULL AND gone IS NOT NULL""").format(sql.Identifier(column))
    values, labels = zip(*connection.execute(query).fetchall(), strict=True)
    return np.array(values), np.array(labels)


def test_the_area_is_that_of_all_pairs_ties_counting_half(connection):
    filled(connection, 3_000)
    label = label_of(declared())
    assert label is not None
    found = relations_of(connection, USAGE, label, INSTANT, 3_000)
    for column in ("v", "w"):
        values, labels = in_numpy(connection, column)
        assert found[column].auc == pytest.approx(by_pairs(values, labels), abs=1e-12)
        assert (found[column].positives, found[column].negatives) == (
            labels.sum(),
            (~labels).sum(),
        )
        assert 0.6 < found[column].auc < 0.95


def test_a_large_month_is_ranked_by_a_sample(connection):
    rows = 4 * EXACT_ROWS
    filled(connection, rows)
    label = label_of(declared())
    assert label is not None
    found = relations_of(connection, USAGE, label, INSTANT, rows)["v"]
    assert EXACT_ROWS / 4 < found.positives + found.negatives < EXACT_ROWS
    values, labels = in_numpy(connection, "v")
    assert found.auc == pytest.approx(by_pairs(values[:9_000], labels[:9_000]), abs=0.02)


def test_nothing_is_ranked_where_all_labels_are_alike(connection):
    filled(connection, 100)
    connection.execute("UPDATE source.labels SET gone = true")
    label = label_of(declared())
    assert label is not None
    found = relations_of(connection, USAGE, label, INSTANT, 100)["w"]
    assert (found.auc, found.negatives) == (None, 0)
    assert change_by_chance(found, Relation(0.5, 10, 10)) == 0


def test_labels_are_truths_and_numbers_from_0_to_1():
    for column in (whole_number(0, 1, "Any."), truth("Any.")):
        assert label_of(declared(Snapshot("labels", "labels", "L", {"gone": column}))) is not None
    for column in (whole_number(0, 5, "Any."), number(0, 1, "Any.")):
        assert label_of(declared(Snapshot("labels", "labels", "L", {"gone": column}))) is None


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("users", [60, 2_000])
def test_chance_exceeds_the_bound_hardly_ever(shift, users):
    chance = np.random.default_rng(7)

    def sampled() -> Relation:
        labels = chance.random(users) < 0.25
        values = chance.normal(size=users) + shift * labels
        order = np.argsort(np.argsort(values)) + 1
        n, m = int(labels.sum()), int((~labels).sum())
        return relation(float(order[labels].sum()) - n * (n + 1) / 2, n, m)

    beyond = 0
    for _ in range(4_000):
        before, now = sampled(), sampled()
        assert before.auc is not None
        assert now.auc is not None
        beyond += abs(now.auc - before.auc) > change_by_chance(before, now)
    assert beyond <= 14  # four are expected; more than 14 once in 20,000
