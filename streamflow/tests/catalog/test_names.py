"""No two online values share a column, whatever views, features and join keys are called."""

import pytest
from feast import Entity, Field, ValueType
from feast.types import Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.catalog.layout import MOST_BYTES
from streamflow.feast.registry.layouts import layout_of
from streamflow.tests.online.projects import T0, USER, applied, values, view_of, write

LONG = "v" * 70
VIEWS = [f"{LONG}_a", f"{LONG}_b", "v~1", "v", "größe ✓", "ü" * 40, "ü" * 41, "50%", "%s", 'quo"te']
FEATURES = [
    f"{LONG}a",
    f"{LONG}b",
    "f~2",
    "f",
    "event_ts",
    "Größe",
    "ü" * 60,
    "%",
    "%(x)s",
    "a:b",
    ":",
]
ODD_KEYS = ["a,b", "a b", "v:f", "v@event_ts", "k~1", "%b", "ü" * 40, "a", "b", 'q"', LONG]


def test_every_value_has_a_column_of_its_own(feast_database: str) -> None:
    views = [view_of(name, dict.fromkeys(FEATURES, Int64), USER) for name in VIEWS]
    expected = {}
    with applied(USER, *views) as store:
        for v, view in enumerate(VIEWS):
            row = {name: 1000 * v + f for f, name in enumerate(FEATURES)}
            write(store, view, [({"user_id": "u"}, row, T0, None)])
            expected |= {f"{view}__{name}": [number] for name, number in row.items()}
        found = values(
            store,
            [f"{view}:{name}" for view in VIEWS for name in FEATURES if ":" not in name],
            {"user_id": ["u"]},
            full_feature_names=True,
        )
        assert found == {"user_id": ["u"]} | {
            name: number for name, number in expected.items() if ":" not in name
        }


@pytest.mark.slow
@pytest.mark.parametrize("joined", [1, 2])
def test_every_set_of_join_keys_has_a_table_of_its_own(feast_database: str, joined: int) -> None:
    entities = {
        key: Entity(name=f"e{n}", join_keys=[key], value_type=ValueType.STRING)
        for n, key in enumerate(ODD_KEYS)
    }
    sets = [ODD_KEYS[n : n + joined] for n in range(len(ODD_KEYS) - joined + 1)]
    views = [
        view_of(f"view{n}", {"f": Int64}, *(entities[key] for key in keys))
        for n, keys in enumerate(sets)
    ]
    with applied(*entities.values(), *views) as store:
        for n, keys in enumerate(sets):
            write(store, f"view{n}", [(dict.fromkeys(keys, "x"), {"f": n}, T0, None)])
        found = values(
            store,
            [f"view{n}:f" for n in range(len(sets))],
            {key: ["x"] for key in ODD_KEYS},
            full_feature_names=True,
        )
        assert [found[f"view{n}__f"] for n in range(len(sets))] == [[n] for n in range(len(sets))]


plain = st.text("ab~@:, \u00fc", min_size=1, max_size=70)
names = st.text("ab~, \u00fc", min_size=1, max_size=70)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(names, plain), min_size=2, max_size=2, unique=True),
    st.lists(st.frozensets(plain, min_size=1, max_size=3), min_size=2, max_size=2, unique=True),
)
def test_names_differ_where_what_they_name_does(
    features: list[tuple[str, str]], key_sets: list[frozenset[str]]
) -> None:
    layouts = []
    for (name, feature), key_set in zip(features, key_sets, strict=True):
        view = view_of(name, {feature: Int64})
        view.entity_columns = [Field(name=key, dtype=String) for key in key_set]
        layouts.append(layout_of("shop", view))
    one, other = layouts
    assert one.table != other.table
    for layout in layouts:
        columns = [column.name for column in (*layout.keys, *layout.columns)]
        assert len(set(columns)) == len(columns)
        assert max(len(name.encode()) for name in (*columns, layout.table)) <= MOST_BYTES
    assert not {c.name for c in one.features.values()} & {c.name for c in other.features.values()}
    if one.view != other.view:
        assert not {c.name for c in one.columns} & {c.name for c in other.columns}
