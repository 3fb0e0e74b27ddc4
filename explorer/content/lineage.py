"""The way of a service's values: from files over views to training sets and callers."""

from collections.abc import Mapping, Sequence

from explorer import links, words
from explorer.charts.lineage import Lineage, Node, key
from explorer.content.askers import Asker
from explorer.definitions import Definitions, ViewInfo
from explorer.queries.runs import Run
from streamflow.catalog.model import Service

MOST_VIEWS = 12
"""Views of a service that are drawn; the further ones are one box together."""
MOST_ASKERS = 6
"""Callers and keys that are drawn, as well."""


def lineage_of(
    defined: Definitions,
    service: Service,
    files: Mapping[str, str],
    sets: Sequence[Run],
    askers: Sequence[Asker],
) -> Lineage:
    """Files, sources, stored views, views computed from those, the service, training sets, callers.

    Args:
        files: by monthly table, the one that it is loaded from.
        sets: the training sets that were made of it.
        askers: who asks for it, and the keys that may.
    """
    target = Node(service.name, "service")
    every = list(dict.fromkeys(one.view for one in service.projections))
    used, left = every[:MOST_VIEWS], every[MOST_VIEWS:]
    further = [Node(words.several(len(left), "more view"), "views", "#features")] if left else []
    inputs = {
        name: view.computed_from
        for name in used
        if (view := defined.views.get(name)) is not None and view.computed_from
    }
    behind = [one for several in inputs.values() for one in several]
    stored = {
        name: Node(name, "view", links.view(name))
        for name in dict.fromkeys([*used, *behind])
        if name not in inputs
    }
    computed = {name: Node(name, "view", links.view(name)) for name in inputs}
    nodes = stored | computed
    sources = {
        name: Node(*source)
        for name in stored
        if (view := defined.views.get(name)) is not None and (source := source_of(view))[0]
    }
    loaded = {
        source: Node(files[source.name], "file", links.runs(command="ingest"))
        for source in sources.values()
        if source.kind == "table" and source.name in files
    }
    made = [Node(f"run {one.run}", "training set", links.run(one.run)) for one in sets]
    made += [
        Node(one.name, "asks" if one.asked else "may ask", "#askers")
        for one in askers[:MOST_ASKERS]
    ]
    if len(askers) > MOST_ASKERS:
        left_out = words.several(len(askers) - MOST_ASKERS, "more caller")
        made.append(Node(left_out, "callers", "#askers"))
    arrows = [
        *((file, table) for table, file in loaded.items()),
        *((source, stored[name]) for name, source in sources.items()),
        *((nodes[one], computed[name]) for name, several in inputs.items() for one in several),
        *((nodes[name], target) for name in used),
        *((one, target) for one in further),
        *((target, one) for one in made),
    ]
    columns = [
        list(loaded.values()),
        list(dict.fromkeys(sources.values())),
        [*stored.values(), *further],
        list(computed.values()),
    ]
    return Lineage(
        [one for one in [*columns, [target], made] if one],
        [(key(one), key(other)) for one, other in arrows],
    )


def source_of(view: ViewInfo) -> tuple[str, str]:
    """The table of a view, or the name of its source, and in a word what it is; empty for none."""
    if view.table:
        return view.table, "table"
    return ((view.plain.source.table or view.source) if view.plain else ""), "source"
