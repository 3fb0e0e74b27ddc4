"""The way of values as a picture: tables, the views over them, the services that use those."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from explorer.charts import svg

WIDTH, BOX, ROW = 920, 252, 58
"""The width of the picture, the width of a box, and the height of a row."""
HIGH = 40
"""The height of a box."""
MOST = 30
"""Characters of a name that a box has room for."""


@dataclass(frozen=True)
class Node:
    """A table, view or service."""

    name: str
    kind: str
    """In a word: table, source, view, service."""
    link: str = ""
    """The page about it; empty where there is none."""


@dataclass(frozen=True)
class Lineage:
    """Nodes in columns, from where values come to where they go, and the arrows between them."""

    columns: Sequence[Sequence[Node]]
    arrows: Sequence[tuple[str, str]]
    """By kind and name, as `key` has it."""


def key(node: Node) -> str:
    """A node's name in arrows."""
    return f"{node.kind} {node.name}"


def lineage(title: str, found: Lineage) -> Markup:
    """The picture; columns are centred beside each other."""
    rows = max((len(one) for one in found.columns), default=1)
    height = rows * ROW + 8
    step = (WIDTH - BOX - 2) / max(len(found.columns) - 1, 1)
    places: dict[str, tuple[float, float]] = {}
    for at, column in enumerate(found.columns):
        first = (height - len(column) * ROW) / 2 + (ROW - HIGH) / 2
        for row, node in enumerate(column):
            places[key(node)] = (1 + at * step, first + row * ROW)
    parts = [
        *arrows(found.arrows, places),
        *(box(node, *places[key(node)]) for column in found.columns for node in column),
    ]
    return svg.drawing(WIDTH, height, title, parts, class_="lineage")


def arrows(
    wanted: Sequence[tuple[str, str]], places: dict[str, tuple[float, float]]
) -> Iterator[Markup]:
    """A curve from box to box, with a point at its end."""
    for begin, end in wanted:
        (x, y), (to_x, to_y) = places[begin], places[end]
        x, y, to_y, to_x = x + BOX, y + HIGH / 2, to_y + HIGH / 2, to_x - 6
        middle = (x + to_x) / 2
        curve = (
            f"M{x:.1f} {y:.1f} C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        )
        yield svg.element("path", d=curve, class_="arrow")
        yield svg.polygon(
            [(to_x, to_y - 4), (to_x + 6, to_y), (to_x, to_y + 4)], class_="arrow-head"
        )


def box(node: Node, x: float, y: float) -> Markup:
    """A node with its kind and name; a link where there is a page about it."""
    name = node.name if len(node.name) <= MOST else f"{node.name[: MOST - 1]}…"
    inner = svg.joined(
        [
            svg.element("title", f"{node.kind} {node.name}"),
            svg.rect(x, y, BOX, HIGH, class_=f"box box-{node.kind}", rx=6),
            svg.text(node.kind, x + 12, y + 15, class_="kind"),
            svg.text(name, x + 12, y + 31, class_="name"),
        ]
    )
    return svg.element("a", inner, href=node.link) if node.link else svg.element("g", inner)
