"""Values come back bit for bit."""

from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo import online_write
from feature_repo.tests.online_projects import T0, USER, applied, view_of, write
from feature_repo.tests.online_strategies import TYPES

FLOATS = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4028234663852886e38, 0.1]


@pytest.mark.parametrize("few", [0, 16])
def test_values_come_back_bit_for_bit(
    feast_database: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written as large batches are, and as small ones."""
    monkeypatch.setattr(online_write, "FEW", few)
    exact = {
        "int64": [-(2**63), 2**63 - 1, 0],
        "float": [float(np.float32(one)) for one in FLOATS],
        "double": [*FLOATS, 5e-324, 1.7976931348623157e308],
        "string": ["", " ", "ü\U0001f3ac\n", "NULL", "\\N", "{}"],
        "bytes": [b"", b"\0\0", bytes(range(256))],
        "int64_list": [[], [2**63 - 1, -(2**63)]],
        "float_list": [[], [-0.0, np.nan, 1e-45]],
        "string_list": [[], ["", "NULL", '"', "a,b", "{", "\\"]],
        "bytes_list": [[], [b"", b"\0"]],
        "bool_list": [[], [True, False]],
    }
    fields = {f"{name}_val": found for name, found in exact.items()}
    kinds = {name: TYPES[name] for name in exact}
    with applied(USER, view_of("exact", kinds, USER)) as store:
        given_ = []
        for n in range(10):
            cells = {
                field.removesuffix("_val"): cell(field, found[n % len(found)])
                for field, found in fields.items()
            }
            given_.append(({"user_id": str(n)}, cells, T0, None))
        write(store, "exact", given_)
        answer = store.get_online_features(
            [f"exact:{name}" for name in exact], {"user_id": [str(n) for n in range(10)]}
        ).proto
        columns = zip(answer.metadata.feature_names.val, answer.results, strict=True)
        for name, column in columns:
            if name != "user_id":
                for (_, cells, _, _), value in zip(given_, column.values, strict=True):
                    assert value.SerializeToString() == cells[name].SerializeToString(), name


def cell(field: str, found: Any) -> Value:
    if isinstance(found, list):
        return Value(**{field: type(getattr(Value(), field))(val=found)})
    return Value(**{field: found})
