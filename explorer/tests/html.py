"""Reads a page as a browser does, and says what a screen reader or a strict policy would miss."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
"""Elements without an end."""


@dataclass
class Element:
    """An element with its attributes, text and children."""

    name: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, with single blanks."""
        parts = [one if isinstance(one, str) else f" {one.text} " for one in self.children]
        return " ".join("".join(parts).split())

    def every(self, *names: str) -> list["Element"]:
        """The elements of these names in it, in the order of the page."""
        found = []
        for one in self.children:
            if isinstance(one, Element):
                found += [one] if one.name in names or not names else []
                found += one.every(*names)
        return found

    def one(self, name: str, **attributes: str) -> "Element":
        """The only element with these attributes."""
        (found,) = [
            one
            for one in self.every(name)
            if all(one.attributes.get(key.strip("_")) == value for key, value in attributes.items())
        ]
        return found


class Page(Element):
    """A whole page."""

    @property
    def heading(self) -> str:
        """The one heading of the first level."""
        (found,) = self.every("h1")
        return found.text

    @property
    def main(self) -> Element:
        """The text of the page's main part, without its top and foot."""
        return self.one("main")

    def links(self) -> dict[str, str]:
        """The addresses that it leads to, by text; of equal texts the last one."""
        return {one.text: one.attributes["href"] for one in self.every("a")}

    def statements(self) -> list[str]:
        """The sentences of a list of statements."""
        return [
            one.text
            for several in self.every("ul")
            if several.attributes.get("class") == "statements"
            for one in several.every("li")
        ]

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the table that has the name `heading`, or this caption."""
        for table in self.every("table"):
            caption = table.every("caption")[0].text
            if heading in caption:
                return [
                    [cell.text for cell in row.every("th", "td")]
                    for body in table.every("tbody")
                    for row in body.every("tr")
                ]
        raise AssertionError(f"no table {heading}")


class Parser(HTMLParser):
    """Builds the tree, and refuses what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Page("", {})
        self.open: list[Element] = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice: {self.get_starttag_text()}"
        found = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes {self.open[-1].name}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(text: str) -> Page:
    """A page's tree."""
    parser = Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], [one.name for one in parser.open]
    return parser.root


def faults(page: Page) -> list[str]:
    """The faults that axe-core calls serious, as far as the text of a page shows them."""
    found = []
    everything = page.every()
    ids = [one.attributes["id"] for one in everything if "id" in one.attributes]
    found += [f"id {one} twice" for one in {one for one in ids if ids.count(one) > 1}]
    labelled = {one.attributes["for"] for one in page.every("label")}
    for one in everything:
        given = one.attributes
        if "style" in given or any(name.startswith("on") for name in given):
            found.append(f"inline style or script: {one.name} {given}")
        if one.name in ("script", "style") and (one.text or "src" not in given):
            found.append(f"inline {one.name}")
        if (
            one.name in ("input", "select")
            and given.get("type") != "hidden"
            and given.get("id") not in labelled
        ):
            found.append(f"no label: {given}")
        if one.name == "table" and not one.every("caption"):
            found.append("a table without a caption")
        if one.name in ("a", "button") and not (one.text or given.get("aria-label")):
            found.append(f"{one.name} without a name: {given}")
        if given.get("role") in ("img", "region", "group") and not (
            given.get("aria-label") or given.get("aria-labelledby")
        ):
            found.append(f"{given['role']} without a name")
        found += [
            f"{name} names no element: {part}"
            for name in ("aria-labelledby", "for")
            for part in given.get(name, "").split()
            if part not in ids
        ]
        found += [
            f"leads elsewhere: {given[name]}"
            for name in ("href", "src", "action")
            if name in given and not given[name].startswith(("/", "#", "?"))
        ]
    levels = [int(one.name[1]) for one in page.every("h1", "h2", "h3", "h4")]
    if levels.count(1) != 1:
        found.append(f"headings of the first level: {levels.count(1)}")
    found += [
        f"a heading of level {after} behind one of {before}"
        for before, after in zip([0, *levels], levels, strict=False)
        if after > before + 1
    ]
    if page.one("html").attributes.get("lang") != "en":
        found.append("no language")
    return found
