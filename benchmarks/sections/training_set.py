"""Training sets: all labels joined point-in-time with the four views, as an Arrow table."""

from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Row, Section
from benchmarks.sides.worker import Failed

BARE = "SQL and Arrow"
MONTHS = 10
STOCK_TARGET, FLOOR_TARGET = 20, 1 / 2
TARGET_ROWS = 8_000
SHAPES = {"ttl": "views with a ttl", "streamflow": "views without"}


def measure(context: Context) -> Section:
    """Measures training sets of all sizes with a ttl, the smallest also without."""
    section = Section("Training set", [STOCK, BARE])
    section.picture = "benchmarks-training-set.svg|Training set from views with a ttl|rows"
    section.notes = [
        f"Users x {MONTHS} months of labels, each joined with all fourteen features of `churn_v1`"
        " from as many months of snapshots: `get_historical_features(…).to_arrow()`. The floor is"
        " one `SELECT` with a lateral join for each view, as CSV through COPY into Arrow.",
        "Stock Feast compares every entity row with every other as soon as a view has a ttl: its"
        " time grows with the square of the rows, so that the larger sets are not run.",
    ]
    smallest = min(context.options.rows)
    for rows in context.options.rows:
        one_size(context, section, rows, "ttl")
        if rows == smallest:
            one_size(context, section, rows, "streamflow")
    section.notes.append(section.growth("rows"))
    return section


def one_size(context: Context, section: Section, rows: int, shape: str) -> None:
    """Measures all sides with `rows` entity rows."""
    seconds = section.row(f"{rows:,} rows, {SHAPES[shape]}", "s")
    peak = section.row(f"{rows:,} rows, {SHAPES[shape]}: peak memory of the process", "MB")
    if rows == TARGET_ROWS and shape == "ttl":
        seconds.targets = {STOCK: STOCK_TARGET}
    elif shape == "ttl":
        seconds.targets = {BARE: FLOOR_TARGET}
    database = context.loaded(shape, rows // MONTHS, MONTHS)
    for number in range(context.options.rounds):
        one_round(context, OURS, database, shape, seconds, peak)
        if rows > context.options.stock_most_rows:
            seconds.missing[STOCK] = "not run: quadratic"
        elif number == 0 or shape != "ttl":
            one_round(context, STOCK, database, shape, seconds, peak)
        one_round(context, BARE, database, shape, seconds, peak)
    context.databases.drop(database)
    if shape == "ttl":
        for side in (OURS, *section.peers):
            if (median := seconds.median(side)) is not None:
                section.series.setdefault(side, {})[rows] = median


def one_round(
    context: Context, side: str, database: str, shape: str, seconds: Row, peak: Row
) -> None:
    """Measures one training set by one side."""
    worker = context.worker(side)
    try:
        if side == BARE:
            found = worker.run("bare_training_set", database, ttl=shape == "ttl")
        else:
            repo = context.repo(side, shape)
            found = worker.run("training_set", database, side=side, repo=repo)
    except Failed as failure:
        seconds.missing[side] = f"failed: {failure}"
        say(f"  {side} failed: {failure}")
        return
    seconds.add(side, found["seconds"])
    peak.samples[side] = [found["peak_mb"]]
    say(f"  {side}: {found['rows']:,} rows in {found['seconds']:.2f} s")
