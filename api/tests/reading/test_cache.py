"""The cache by itself: what it gives, keeps and gives up."""

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.answer.rows import Entry
from api.plans.plan import Plan
from api.reading.cache import STALENESS_S, Cache
from streamflow.catalog.contract import Contract

plans = [
    Plan(1, "s", Contract("s", ()), "0" * 16, (), (), {}, tables, "")
    for tables in (("a",), ("a",), ("b",), ("a", "b"))
]


class Model:
    """The least that the cache has to know: how often each table was written."""

    def __init__(self) -> None:
        self.written = {"a": 0, "b": 0}

    def value(self, plan: Plan) -> bytes:
        return repr([self.written[table] for table in plan.tables]).encode()


step = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 3), st.integers(0, 4)),
    st.tuples(st.just("slow"), st.integers(0, 3), st.integers(0, 4)),
    st.tuples(st.just("write"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("distrust")),
    st.tuples(st.just("clear")),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(step, max_size=60), st.integers(0, 4), st.booleans())
def test_the_cache_never_gives_what_was_read_before_a_write(
    steps: list[tuple[Any, ...]], limit: int, keeps: bool
) -> None:
    cache, model = Cache(limit, keeps), Model()
    cache.trust_until(time.monotonic() + 3600)
    late: list[tuple[Plan, int, Entry, tuple[int, int]]] = []
    for kind, *arguments in steps:
        if kind in ("read", "slow"):
            plan, key = plans[arguments[0]], arguments[1]
            found = cache.get(plan, key, 0)
            assert found is None or found.values == model.value(plan)
            entry = Entry(model.value(plan), (), -1, 1)
            if kind == "slow":  # its query was sent now, its rows arrive at the end
                late.append((plan, key, entry, cache.generation(plan)))
            else:
                cache.put(plan, key, entry, cache.generation(plan))
        elif kind == "write":
            model.written[arguments[0]] += 1
            cache.drop_table(arguments[0])
            while late:
                cache.put(*late.pop())
        elif kind == "distrust":
            model.written = {table: count + 1 for table, count in model.written.items()}
            cache.distrust()
            assert cache.get(plans[0], 0, 0) is None
            cache.trust_until(time.monotonic() + 3600)
        else:
            cache.clear()
        assert len(cache) <= limit
        assert len(cache) == sum(len(table) for table in cache._tables.values())


def test_an_entry_is_given_only_while_its_values_hold() -> None:
    cache = Cache(10, False)
    cache.trust_until(time.monotonic())
    entry = Entry(b"", (), 100, 200)
    cache.put(plans[0], "u", entry, cache.generation(plans[0]))
    given_at = [now for now in (100, 101, 200, 201) if cache.get(plans[0], "u", now) is entry]
    assert given_at == [101, 200]
    cache.trust_until(time.monotonic() - STALENESS_S - 0.001)
    assert cache.get(plans[0], "u", 150) is None
    assert cache.last_resort(plans[0], "u", 150) is entry
