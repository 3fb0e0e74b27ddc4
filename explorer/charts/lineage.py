"""The way of values as a picture: nodes in columns, from files to those who ask."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from explorer.charts import svg

GAP, ROW = 60, 58
"""The room for arrows between columns, and the height of a row."""
HIGH = 40
"""The height of a box."""
LETTER, PADDING = 7.6, 26
"""The width of a letter, of the wider ones of system fonts, and of what is around a name."""
MOST = 40
"""Characters of a name that are shown."""


@dataclass(frozen=True)
class Node:
    """A file, table, view, service, training set or caller."""

    name: str
    kind: str
    """In a word or two: file, table, view, service, asks."""
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
    """The picture in its own size; columns are centred beside each other."""
    rows = max((len(one) for one in found.columns), default=1)
    height = rows * ROW + 8
    boxes: dict[str, Box] = {}
    x = 1.0
    for column in found.columns:
        width = max(len(shown(each)) for node in column for each in (node.name, node.kind))
        wide = PADDING + LETTER * width
        first = (height - len(column) * ROW) / 2 + (ROW - HIGH) / 2
        for row, node in enumerate(column):
            boxes[key(node)] = Box(node, x, first + row * ROW, wide)
        x += wide + GAP
    parts = [*arrows(found.arrows, boxes), *map(drawn, boxes.values())]
    return svg.drawing(round(x - GAP + 1), height, title, parts, class_="lineage", is_fixed=True)


@dataclass(frozen=True)
class Box:
    """The place of a node."""

    node: Node
    x: float
    y: float
    width: float


def shown(name: str) -> str:
    """A name that is not too long for a picture."""
    return name if len(name) <= MOST else f"{name[: MOST - 1]}…"


def arrows(wanted: Sequence[tuple[str, str]], boxes: Mapping[str, Box]) -> Iterator[Markup]:
    """A curve from box to box, with a point at its end."""
    for begin, end in wanted:
        one, other = boxes[begin], boxes[end]
        x, y = one.x + one.width, one.y + HIGH / 2
        to_x, to_y = other.x - 6, other.y + HIGH / 2
        # The curve lies in the gap before the box that it leads to, also past a column.
        bend = to_x - GAP / 2
        curve = (
            f"M{x:.1f} {y:.1f} H{to_x - GAP + 6:.1f}"
            f" C{bend:.1f} {y:.1f} {bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        )
        yield svg.element("path", d=curve, class_="arrow")
        yield svg.polygon(
            [(to_x, to_y - 4), (to_x + 6, to_y), (to_x, to_y + 4)], class_="arrow-head"
        )


def drawn(box: Box) -> Markup:
    """A node with its kind and name; a link where there is a page about it."""
    node = box.node
    inner = svg.joined(
        [
            svg.element("title", f"{node.kind} {node.name}"),
            svg.rect(box.x, box.y, box.width, HIGH, class_=f"box box-{node.kind.split()[0]}", rx=6),
            svg.text(node.kind, box.x + 12, box.y + 15, class_="kind"),
            svg.text(shown(node.name), box.x + 12, box.y + 31, class_="name"),
        ]
    )
    return svg.element("a", inner, href=node.link) if node.link else svg.element("g", inner)
