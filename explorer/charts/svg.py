"""Elements of SVG as text, with what comes from outside escaped."""

from collections.abc import Iterable

from markupsafe import Markup, escape

Drawn = Iterable[Markup]


def element(name: str, content: str | Markup = "", /, **attributes: object) -> Markup:
    """An element; `class_` is its class, and an underscore in a name stands for a hyphen."""
    given = "".join(
        f' {escape(attribute(key))}="{escape(figure(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup(given), content)  # noqa: S704


def attribute(key: str) -> str:
    """The name of an attribute as SVG has it."""
    return "viewBox" if key == "viewbox" else key.rstrip("_").replace("_", "-")


def figure(value: object) -> str:
    """A coordinate with at most two digits behind the point; anything else as its text."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def group(parts: Drawn, **attributes: object) -> Markup:
    """Elements that belong together."""
    return element("g", joined(parts), **attributes)


def joined(parts: Drawn) -> Markup:
    """Elements one after another."""
    return Markup("").join(parts)


def text(content: str, x: float, y: float, **attributes: object) -> Markup:
    """A text with its anchor at a point."""
    return element("text", content, x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    """A line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def rect(
    x: float, y: float, width: float, height: float, title: str = "", **attributes: object
) -> Markup:
    """A rectangle, with a text that a pointer over it shows."""
    inner = element("title", title) if title else ""
    return element("rect", inner, x=x, y=y, width=width, height=height, **attributes)


def polygon(points: Iterable[tuple[float, float]], **attributes: object) -> Markup:
    """An area."""
    return element("polygon", points=" ".join(map(pair, points)), **attributes)


def polyline(points: Iterable[tuple[float, float]], **attributes: object) -> Markup:
    """A line through points."""
    return element("polyline", points=" ".join(map(pair, points)), **attributes)


def pair(point: tuple[float, float]) -> str:
    """A point as SVG writes it."""
    return f"{figure(float(point[0]))},{figure(float(point[1]))}"


def drawing(
    width: int,
    height: int,
    title: str,
    parts: Drawn,
    class_: str = "chart",
    is_fixed: bool = False,
) -> Markup:
    """A whole picture; the title says what it shows.

    Args:
        is_fixed: of this size in pixels; else it takes the width of its place.
    """
    inner = joined(parts)
    return element(
        "svg",
        element("title", title) + inner,
        class_=class_,
        viewbox=f"0 0 {width} {height}",
        width=width if is_fixed else None,
        height=height if is_fixed else None,
        # A picture with links in it is no single image to a screen reader.
        role="group" if "<a " in inner else "img",
        aria_label=title,
        xmlns="http://www.w3.org/2000/svg",
    )
