"""Arrays that are made without pandas are those that Arrow makes."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from streamflow.offline import arrays
from streamflow.offline.arrow import INSTANT


@pytest.mark.parametrize("count", [0, 1, 9])
def test_arrays_are_those_of_arrow(count: int) -> None:
    assert arrays.numbers(5, count).equals(pa.array(range(5, 5 + count), pa.int64()))
    flags = [at % 3 == 0 for at in range(count)]
    assert arrays.truths(flags).equals(pa.array(flags, pa.bool_()))
    texts = ["é" * at for at in range(count)]
    assert arrays.strings(texts).equals(pa.array(texts, pa.string()))
    zone = timezone(timedelta(hours=-7))
    times = [datetime(1969, 12, 31, 17, 0, 0, at, tzinfo=zone) for at in range(count)]
    times += [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, 1, 2, 3, 4, tzinfo=UTC)]
    made = arrays.instants(times)  # pa.array leaves zones out where pandera was imported
    assert (made.type, made.to_pylist()) == (INSTANT, times)
