"""Statements about the state of the feature store: a sentence, how it is, and where it is from."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from explorer import links, words
from explorer.content.signs import NAMES, SIGNS, State
from explorer.content.state import Found, ViewRow
from explorer.definitions import Definitions
from explorer.queries.statistics import Drifted
from streamflow.statistics.notes import about_frequent

MOST_DRIFTED = 8
"""Columns that drifted and have a statement each; the further ones are counted."""


@dataclass(frozen=True)
class Statement:
    """A sentence about the feature store."""

    state: State
    text: str
    link: str
    """The page, or its part, that it comes from."""
    link_text: str

    @property
    def sign(self) -> str:
        """The shape of its state."""
        return SIGNS[self.state]

    @property
    def name(self) -> str:
        """The word for its state."""
        return NAMES[self.state]


def statements_of(defined: Definitions, found: Found) -> Iterator[Statement]:
    """The statements of home."""
    yield from about_views(found)
    yield from about_runs(found)
    yield from about_drift(defined, found)
    yield from about_unchanged(defined, found)
    yield from about_constants(defined, found)
    yield from about_frequent_values(defined, found)
    yield about_skew(found)
    yield from about_served(defined, found)


def about_views(found: Found) -> Iterator[Statement]:
    """Freshness, and months that wait for a materialization."""
    here, to_views = "#views", "Feature views"
    if not found.rows:
        text = "No feature view is kept online."
        yield Statement("open", text, links.FEATURES, "Features")
        return
    for word in ("stale", "never materialized", "no values"):
        named = [one for one in found.rows if one.word == word]
        if named:
            text = f"{sentence(named, len(found.rows))} {words_of(word, named)}"
            yield Statement("look", text, here, to_views)
    waiting = sorted({one.waiting for one in found.rows if one.waiting})
    if waiting:
        months = words.listed([words.instant(one) for one in waiting])
        yield Statement(
            "look",
            f"Loaded and not materialized yet: {months}. What is served is older.",
            links.runs(command="materialize"),
            "Materializations",
        )
    if all(one.state == "good" for one in found.rows):
        oldest = max((one.age for one in found.rows if one.age), default=timedelta(0))
        noun = words.several(len(found.rows), "feature view")
        text = f"{noun}, all fresh; the oldest values describe {words.age(oldest)} ago."
        yield Statement("good", text, here, to_views)


def sentence(named: Sequence[ViewRow], every: int) -> str:
    """The subject of a statement about some of the views."""
    if len(named) == every and every > 1:
        return f"All {every} feature views are"
    names = words.listed([one.view.name for one in named], 3)
    return f"{names} {'is' if len(named) == 1 else 'are'}"


def words_of(word: str, named: Sequence[ViewRow]) -> str:
    """The rest of such a statement."""
    if word == "stale":
        oldest = max(named, key=lambda one: one.age or timedelta(0))
        age = words.age(oldest.age or timedelta(0))
        return f"stale: values describe {words.instant(oldest.newest)}, {age} ago."
    if word == "no values":
        return "without values: no row was in the window of any materialization."
    return "not materialized yet: run streamflow materialize."


def about_runs(found: Found) -> Iterator[Statement]:
    """The last run of each command, as far as it did not end well."""
    if not found.runs:
        yield Statement("open", "No command has run yet.", links.RUNS, "Runs")
        return
    bad = [one for one in found.runs if one.is_bad]
    for one in bad:
        if found.audit is not None and one.run == found.audit.run:
            continue  # it failed for what it found, which is told by itself
        age = words.age(found.now - one.started_at)
        message = f": {words.shown(one.message_without_persons)}" if one.message else ""
        yield Statement(
            "bad",
            f"The last {one.command} was {ended(one.outcome)} {age} ago{message}.",
            links.run(one.run),
            f"Run {one.run}",
        )
    if not bad:
        count = words.several(len(found.runs), "command")
        text = f"The last run of each command ended well ({count})."
        yield Statement("good", text, "#runs", "Last runs")


def ended(outcome: str) -> str:
    """An outcome as a sentence has it behind "was"."""
    return {"failed": "a failure", "refused": "refused", "killed": "killed"}.get(outcome, outcome)


def about_drift(defined: Definitions, found: Found) -> Iterator[Statement]:
    """A statement for each column that has drifted in its newest month."""
    if not found.months:
        text = "No month has statistics: they are kept of tables that streamflow ingest loads."
        yield Statement("open", text, links.RUNS, "Runs")
        return
    if not found.drift:
        newest = max(one.instant for one in found.months)
        alone = all(one.before is None for one in found.months)
        text = (
            f"{words.instant(newest)} is the first month: there is nothing to compare it with."
            if alone
            else f"Nothing has drifted in the newest month, {words.instant(newest)}."
        )
        yield Statement("open" if alone else "good", text, "#months", "Newest months")
    by_column: dict[tuple[str, str], list[Drifted]] = {}
    for one in found.drift:
        by_column.setdefault((one.table, one.column), []).append(one)
    features = defined.features_by_column()
    for (table, column), changes in itertools.islice(by_column.items(), MOST_DRIFTED):
        known = features.get((table, column))
        name = known[0].reference if known else f"{table}, {column or 'rows'}"
        link = links.feature(known[0].view, known[0].name) if known else "#months"
        said = "; ".join(one.text for one in changes)
        text = f"{name} has drifted in {words.instant(changes[0].instant)}: {said}."
        yield Statement("look", text, link, "Look at it" if known else "Newest months")
    if len(by_column) > MOST_DRIFTED:
        more = words.several(len(by_column) - MOST_DRIFTED, "more column")
        text = f"{more} drifted; the newest months have the counts by table."
        yield Statement("look", text, "#months", "Newest months")


def about_unchanged(defined: Definitions, found: Found) -> Iterator[Statement]:
    """Features that did not move at all: right for some of them, and of others a sign of a copy."""
    features = defined.features_by_column()
    counted = [one for several in features.values() for one in several]
    same = [
        one for place, several in features.items() if place in found.unchanged for one in several
    ]
    if same:
        names = words.listed([one.name for one in same], 4)
        are = "has" if len(same) == 1 else "have"
        text = (
            f"{len(same)} of {words.several(len(counted), 'feature')} {are} the very same"
            f" distribution as in the month before: {names}."
        )
        yield Statement("open", text, links.feature(same[0].view, same[0].name), same[0].name)


def about_constants(defined: Definitions, found: Found) -> Iterator[Statement]:
    """Features that tell no user from another."""
    constants = [
        one
        for place, several in defined.features_by_column().items()
        for one in several
        if place in found.newest and found.newest[place].is_constant
    ]
    if constants:
        names = words.listed([one.name for one in constants], 4)
        noun = "is a constant" if len(constants) == 1 else "are constants"
        first = constants[0]
        text = f"{words.several(len(constants), 'feature')} {noun}, of one value alone: {names}."
        yield Statement("open", text, links.feature(first.view, first.name), first.name)


def about_frequent_values(defined: Definitions, found: Found) -> Iterator[Statement]:
    """Values that stand out of many, as one does that stands for none."""
    for place, several in defined.features_by_column().items():
        if (one := found.newest.get(place)) and one.frequent:
            first, said = several[0], about_frequent(one.frequent, one.rows)
            text = f"{first.reference}: {words.shown(said)}."
            yield Statement("open", text, links.feature(first.view, first.name), first.name)


def about_skew(found: Found) -> Statement:
    """A statement of the last audit: whether served values are those that training sees."""
    if found.audit is None:
        text = "No audit has compared served values with training yet: run streamflow audit."
        return Statement("open", text, links.runs(command="audit"), "Audits")
    link, name = links.run(found.audit.run), f"Run {found.audit.run}"
    differing = [one for one in found.skew if one.differing]
    keys = max((one.compared for one in found.skew), default=0)
    age = words.age(found.now - found.audit.started_at)
    if differing:
        worst = differing[0]
        are, them = ("is", "it") if len(differing) == 1 else ("are", "them")
        text = (
            f"{words.several(len(differing), 'feature')} {are} served otherwise than training sees"
            f" {them}, by the audit {age} ago; most often {worst.view}:{worst.feature}, for"
            f" {worst.differing:,} of {worst.compared:,} keys."
        )
        return Statement("bad", text, link, name)
    text = (
        f"Served is what training sees: the audit {age} ago compared"
        f" {words.several(len(found.skew), 'feature')} of {words.several(keys, 'key')}, and none"
        " differed."
    )
    return Statement("good", text, link, name)


def about_served(defined: Definitions, found: Found) -> Iterator[Statement]:
    """A statement for each feature whose served values together are not those of their month."""
    differing = [
        (view, feature, said)
        for (view, feature), said in found.served_otherwise.items()
        if defined.feature(view, feature) is not None
    ]
    for view, feature, said in differing[:MOST_DRIFTED]:
        text = f"The served values of {view}:{feature} together differ from those of their month:"
        link = f"{links.feature(view, feature)}#served"
        yield Statement("look", f"{text} {'; '.join(said)}.", link, "As it is served")
    if (more := len(differing) - MOST_DRIFTED) > 0:
        text = (
            f"The served values of {words.several(more, 'more feature')} do; their pages say how."
        )
        yield Statement("look", text, links.FEATURES, "Features")
