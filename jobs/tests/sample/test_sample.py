"""Months made from a seed: repeatable, whole, and shaped like the real ones."""

import datetime
import functools
import itertools
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.sample.months import write_months
from jobs.sample.users import last_day, user_ids
from streamflow.errors import ConfigurationError, StreamflowError

HEADERS = {
    "users": "user_id,signup_date,user_gender,user_is_senior,has_family,has_dependents",
    "subscriptions": "user_id,months_active,plan_stream_tv,plan_stream_movies,contract_type,"
    "paperless_billing,monthly_fee,total_paid,net_service",
    "usage_agg_30d": "user_id,watch_hours_30d,avg_session_mins_7d,unique_devices_30d,skips_7d,"
    "rebuffer_events_7d",
    "payments_agg_90d": "user_id,failed_payments_90d",
    "support_agg_90d": "user_id,support_tickets_90d,ticket_avg_resolution_hrs_90d",
    "labels": "user_id,churn_label",
}
REAL_JANUARY = {
    "users": [
        "7590-VHVEG,2022-02-05,Female,False,True,False",
        "0002-ORFBO,2022-01-28,Female,False,True,True",
    ],
    "subscriptions": [
        "7590-VHVEG,1,False,False,Month-to-month,True,29.85,29.85,DSL",
        "0002-ORFBO,9,True,False,One year,True,65.6,593.3,DSL",
    ],
    "usage_agg_30d": [
        "7590-VHVEG,24.483650766787413,29.14104464084511,3,4,1",
        "0002-ORFBO,30.800698313296518,29.14104464084511,2,7,1",
    ],
    "payments_agg_90d": ["7590-VHVEG,1", "0002-ORFBO,0"],
    "support_agg_90d": ["7590-VHVEG,0,16.0", "0002-ORFBO,2,4.7"],
    "labels": ["7590-VHVEG,False", "0002-ORFBO,False"],
}
LIMITS = {
    "months_active": (0, 1200),
    "monthly_fee": (18.25, 118.75),
    "total_paid": (0, 1_000_000),
    "watch_hours_30d": (0, 720),
    "avg_session_mins_7d": (0, 10_080),
    "unique_devices_30d": (1, 3),
    "skips_7d": (0, 1_000_000),
    "rebuffer_events_7d": (0, 1_000_000),
    "failed_payments_90d": (0, 1000),
    "support_tickets_90d": (0, 10_000),
    "ticket_avg_resolution_hrs_90d": (1, 25),
}
FORMATS = {
    "user_id": r"\d{4}-[A-Z]{5}",
    "signup_date": r"\d{4}-\d\d-\d\d",
    "user_gender": "Female|Male",
    "user_is_senior": "True|False",
    "has_family": "True|False",
    "has_dependents": "True|False",
    "months_active": r"\d+",
    "plan_stream_tv": "True|False|",
    "plan_stream_movies": "True|False|",
    "contract_type": "Month-to-month|One year|Two year",
    "paperless_billing": "True|False",
    "monthly_fee": r"\d+\.(\d|\d5)",
    "total_paid": r"\d+\.\d{1,2}",
    "net_service": "DSL|Fiber optic|No",
    "watch_hours_30d": r"\d+\.\d+",
    "avg_session_mins_7d": r"\d+\.\d+",
    "unique_devices_30d": r"\d+",
    "skips_7d": r"\d+",
    "rebuffer_events_7d": r"\d+",
    "failed_payments_90d": r"\d+",
    "support_tickets_90d": r"\d+",
    "ticket_avg_resolution_hrs_90d": r"\d+\.\d",
    "churn_label": "True|False",
}


def read(folder: Path) -> pd.DataFrame:
    """All six files side by side, as text."""
    files = [pd.read_csv(folder / f"{name}.csv", dtype=str, na_filter=False) for name in HEADERS]
    return functools.reduce(lambda left, right: left.merge(right, validate="1:1"), files)


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of 7,000 users."""
    out = tmp_path_factory.mktemp("sample")
    write_months(out, users=7000, months=3, seed=1)
    return out


@pytest.fixture(scope="module")
def months(out: Path) -> list[pd.DataFrame]:
    return [read(out / f"month_{month:03d}") for month in range(3)]


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    write_months(tmp_path / "here", users=500, months=2, seed=5)
    program = (
        "import pathlib, sys, jobs.sample.months as s;"
        "s.write_months(pathlib.Path(sys.argv[1]), users=500, months=2, seed=5)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program, tmp_path / "there"], check=True, cwd=root)
    assert len(contents(tmp_path / "here")) == 12
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_second_run_replaces_the_first(tmp_path):
    write_months(tmp_path / "once", users=50, months=1, seed=5)
    write_months(tmp_path / "twice", users=80, months=1, seed=6)
    write_months(tmp_path / "twice", users=50, months=1, seed=5)
    assert contents(tmp_path / "once") == contents(tmp_path / "twice")


def test_another_seed_gives_other_values_to_the_same_users(tmp_path):
    first, second = (tmp_path / str(seed) for seed in (5, 6))
    write_months(first, users=500, months=1, seed=5)
    write_months(second, users=500, months=1, seed=6)
    left, right = contents(first), contents(second)
    assert all(left[name] != right[name] for name in left)
    assert read(first / "month_000").user_id.equals(read(second / "month_000").user_id)


@pytest.mark.parametrize("name", HEADERS)
def test_files_start_like_the_real_january(out, name):
    text = (out / "month_000" / f"{name}.csv").read_bytes().decode("ascii")
    assert text.startswith("\n".join([HEADERS[name], *REAL_JANUARY[name], ""]))
    assert text.count("\n") == 7001
    assert text.endswith("\n")
    assert '"' not in text
    assert "\r" not in text


def test_known_users_move_on_like_everybody(months):
    february = months[1].set_index("user_id")
    assert february.loc["7590-VHVEG", "months_active"] == "2"
    assert february.loc["7590-VHVEG", "total_paid"] == "59.7"
    assert february.loc["0002-ORFBO", "watch_hours_30d"] != "30.800698313296518"


def test_months_are_reported_with_folder_last_day_and_rows(tmp_path):
    heard = []
    written = write_months(tmp_path, users=10, months=2, seed=0, progress=heard.append)
    assert written == [
        (tmp_path / "month_000", datetime.date(2024, 1, 31), 60),
        (tmp_path / "month_001", datetime.date(2024, 2, 29), 60),
    ]
    assert sum(heard) == 120
    assert last_day(11) == datetime.date(2024, 12, 31)
    assert last_day(119) == datetime.date(2033, 12, 31)


def test_a_month_of_several_blocks_is_whole(tmp_path):
    heard = []
    [(folder, _, rows)] = write_months(tmp_path, 60_000, 1, 0, heard.append)
    ids = (folder / "labels.csv").read_text().splitlines()[1:]
    assert rows == sum(heard) == 360_000
    assert len(heard) > 1
    assert len(set(ids)) == 60_000


def test_ids_are_unique_and_well_shaped():
    ids = user_ids(0, 200_000).tolist()
    assert len(set(ids)) == 200_000
    assert all(re.fullmatch(r"[0-9]{4}-[A-Z]{5}", user_id) for user_id in ids)


def test_no_other_of_a_million_users_has_a_known_id():
    ids = user_ids(0, 1_000_000)
    for row, user_id in enumerate(("7590-VHVEG", "0002-ORFBO")):
        assert np.flatnonzero(ids == user_id).tolist() == [row]


def test_ids_do_not_depend_on_where_a_block_starts():
    ids = user_ids(0, 100)
    assert user_ids(1, 60).tolist() == ids[1:60].tolist()


@pytest.mark.parametrize("column", FORMATS)
def test_values_are_written_like_the_real_ones(months, column):
    for month in months:
        assert month[column].str.fullmatch(FORMATS[column]).all()


@pytest.mark.parametrize("column", LIMITS)
def test_values_keep_their_limits_and_vary(months, column):
    low, high = LIMITS[column]
    for month in months:
        values = pd.to_numeric(month[column])
        assert values.between(low, high).all()
        assert values.nunique() > 1


def test_values_keep_their_limits_for_ten_years(tmp_path):
    folder, as_of, _ = write_months(tmp_path, users=300, months=120, seed=2)[-1]
    month = read(folder)
    assert as_of == datetime.date(2033, 12, 31)
    for column, (low, high) in LIMITS.items():
        assert pd.to_numeric(month[column]).between(low, high).all()


def test_floats_are_the_shortest_text_that_reads_back(months):
    for column in ("monthly_fee", "total_paid", "watch_hours_30d", "avg_session_mins_7d"):
        assert [repr(float(text)) for text in months[0][column]] == months[0][column].tolist()


def test_streaming_plans_are_unknown_exactly_without_internet(months):
    for month in months:
        for column in ("plan_stream_tv", "plan_stream_movies"):
            assert ((month[column] == "") == (month.net_service == "No")).all()
        assert (month.net_service == "No").any()


def test_signup_lies_as_many_months_back_as_the_user_is_active(months):
    for number, month in enumerate(months):
        others = month.iloc[2:]  # the known users' real dates do not fit their tenure
        signup = pd.to_datetime(others.signup_date)
        back = (2024 - signup.dt.year) * 12 + (1 + number - signup.dt.month)
        assert (back == others.months_active.astype(int)).all()
        assert (signup <= pd.Timestamp(last_day(number))).all()


def test_total_paid_follows_tenure_and_fee(months):
    tenure, fee, paid = (
        months[0].iloc[2:][column].astype(float)
        for column in ("months_active", "monthly_fee", "total_paid")
    )
    assert np.allclose(paid, tenure * fee, atol=0.011)


def test_months_evolve(months):
    for before, after in itertools.pairwise(months):
        assert (before.user_id == after.user_id).all()
        assert (before.signup_date == after.signup_date).all()
        assert (after.months_active.astype(int) == before.months_active.astype(int) + 1).all()
        grown = after.total_paid.astype(float) - before.total_paid.astype(float)
        assert np.allclose(grown, before.monthly_fee.astype(float), atol=0.011)
        drift = after.watch_hours_30d.astype(float) - before.watch_hours_30d.astype(float)
        assert 0.3 < drift.std() < 5
        assert 0.1 < (before.churn_label != after.churn_label).mean() < 0.5


def test_churn_goes_with_what_drives_it(months):
    month = months[0]
    churn = month.churn_label == "True"
    by_contract = churn.groupby(month.contract_type).mean()
    assert 0.15 < churn.mean() < 0.40
    assert by_contract["Month-to-month"] > 2 * by_contract["Two year"]
    hours = month.watch_hours_30d.astype(float)
    assert hours[churn].mean() < hours[~churn].mean() - 1
    for column in ("failed_payments_90d", "support_tickets_90d"):
        values = month[column].astype(float)
        assert values[churn].mean() > 1.1 * values[~churn].mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"users": 9}, "--users 9 is not allowed: give 10 to 10000000"),
        ({"users": 10_000_001}, "--users 10000001 is not allowed: give 10 to 10000000"),
        ({"months": 0}, "--months 0 is not allowed: give 1 to 120"),
        ({"months": 121}, "--months 121 is not allowed: give 1 to 120"),
        ({"seed": -1}, "--seed -1 is not allowed: give 0 or a larger whole number"),
    ],
)
def test_arguments_out_of_range_are_named_and_nothing_is_written(tmp_path, arguments, message):
    with pytest.raises(ConfigurationError) as refusal:
        write_months(tmp_path / "out", **{"users": 10, "months": 1, "seed": 0, **arguments})
    assert str(refusal.value) == message
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_a_file_is_refused_and_kept(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"--out .*file is a file: give a folder"):
        write_months(file, users=10, months=1, seed=0)
    assert contents(tmp_path) == {"file": b"mine"}


def test_out_that_cannot_be_written_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"--out .* cannot be written \(Not a directory\)"):
        write_months(tmp_path / "file" / "out", users=10, months=1, seed=0)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """The system refuses to write past `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_failing_write_leaves_no_half_file(tmp_path):
    with (
        files_no_longer_than(20_000),
        pytest.raises(StreamflowError, match=r"cannot write .*month_000: File too large"),
    ):
        write_months(tmp_path, users=2000, months=1, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_failing_write_keeps_the_month_of_an_earlier_run(tmp_path):
    write_months(tmp_path, users=100, months=1, seed=0)
    before = contents(tmp_path)
    with files_no_longer_than(20_000), pytest.raises(StreamflowError):
        write_months(tmp_path, users=2000, months=1, seed=1)
    assert contents(tmp_path) == before
