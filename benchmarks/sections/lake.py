"""Training sets from the lake: whole commands, beside bare DuckDB over the same files."""

import tempfile
from pathlib import Path

from benchmarks import postgres
from benchmarks.context import Context, say
from benchmarks.cost import cost
from benchmarks.figures import OURS, Section

BARE, DATABASE = "bare DuckDB", "ours from PostgreSQL"
MONTHS = 3
DAY = "2024-03-31"
"""The last of the months, whose labels are the rows."""
MOST_TIMES_BARE = 1.3
MEMORY_MIB = 1_024


def measure(context: Context) -> Section:
    """Measures training sets of all sizes from both origins, and by DuckDB alone."""
    section = Section("Training set from the lake", [BARE, DATABASE])
    section.notes = [
        f"Labels of a month with all fourteen features of `churn_v1` out of {MONTHS} months, to a"
        " Parquet file: `streamflow training-set --from lake` as a process of its own, its"
        " interpreter, registry, hash and manifest included. The floor is the same join, ordered,"
        " as one ASOF join for each view and COPY to Parquet by DuckDB, also with its interpreter,"
        f" under the same limit of memory, {MEMORY_MIB:,} MiB. *export* is `streamflow snapshot"
        " export` of all months.",
    ]
    for rows in context.options.rows:
        one_size(context, section, rows)
    return section


def one_size(context: Context, section: Section, rows: int) -> None:
    """Measures all sides with `rows` labels."""
    work = f"{rows:,} rows"
    seconds, cpu, peak = (
        section.row(f"{work}{what}", unit)
        for what, unit in (("", "s"), (": CPU", "CPU s"), (": peak memory", "MB"))
    )
    if rows == max(context.options.rows):
        seconds.targets = cpu.targets = {BARE: 1 / MOST_TIMES_BARE}
    export = section.row(f"{work}: export", "s")
    database = context.loaded("streamflow", rows, MONTHS)
    with tempfile.TemporaryDirectory(dir=context.home) as folder:
        lake = Path(folder) / "lake"
        environment = {
            **postgres.environment(database),
            "STREAMFLOW_FEATURE_REPO": context.repo(OURS, "streamflow"),
            "STREAMFLOW_LAKE_URL": str(lake),
            "STREAMFLOW_LAKE_MEMORY_MIB": str(MEMORY_MIB),
        }
        export.add(OURS, cost(["-m", "jobs", "snapshot", "export"], environment).seconds)
        ours = ["-m", "jobs", "training-set", "--as-of", DAY, "--out", f"{folder}/t.parquet"]
        bare = ["-m", "benchmarks.sides.bare_duckdb", str(lake), DAY, f"{folder}/bare.parquet"]
        commands = {
            OURS: [*ours, "--from", "lake"],
            BARE: [*bare, str(MEMORY_MIB)],
            DATABASE: ours,
        }
        for _ in range(context.options.rounds):
            for side, command in commands.items():
                found = cost(command, environment)
                for row, sample in zip((seconds, cpu, peak), found, strict=True):
                    row.add(side, sample)
                say(f"  {side}: {work} in {found.seconds:.2f} s, {found.cpu_seconds:.2f} CPU s")
    context.databases.drop(database)
