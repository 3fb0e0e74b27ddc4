"""`make docs`: the pictures of docs/architecture.md, from the imports that the code has."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("architecture.md")
PACKAGES = ("api", "explorer", "jobs", "streamflow")
MARKS = re.compile(r"(<!-- rooms: begin -->\n).*?(<!-- rooms: end -->)", re.DOTALL)


def page() -> str:
    """The page with the picture of the rooms as the imports are now."""
    picture = "\n".join(["```mermaid", "flowchart TD", *edges(), "```", ""])
    return MARKS.sub(lambda found: found[1] + picture + found[2], PAGE.read_text())


def edges() -> Iterator[str]:
    """Yields the lines of the picture: a box for each room, an arrow for each import of another.

    An arrow is left out where others lead the same way.
    """
    graph = grimp.build_graph(*PACKAGES)
    arrows = {
        (room(importer), room(imported))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if room(importer) != room(imported) and "." in imported and not is_test(importer)
    }
    for package in PACKAGES:
        yield f"  subgraph {package}"
        yield from (f'    {name}["{name.partition(".")[2]}"]' for name in rooms(arrows, package))
        yield "  end"
    yield from (f"  {one} --> {other}" for one, other in sorted(shortest(arrows)))


def room(module: str) -> str:
    """The room of a module: its package below `api`, `explorer`, `jobs` or `streamflow`."""
    return ".".join(module.split(".")[:2])


def is_test(module: str) -> bool:
    """True for modules that only the tests use."""
    return ".tests" in module


def rooms(arrows: set[tuple[str, str]], package: str) -> list[str]:
    """The rooms of a package, in order."""
    return sorted({one for arrow in arrows for one in arrow if one.startswith(f"{package}.")})


def shortest(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows without those that a longer way makes needless."""

    def reaches(begin: str, end: str) -> bool:
        return any(other == end or reaches(other, end) for one, other in arrows if one == begin)

    return {
        (one, end)
        for one, end in arrows
        if not any(way != end and reaches(way, end) for begin, way in arrows if begin == one)
    }


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
