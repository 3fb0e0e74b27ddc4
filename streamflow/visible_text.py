"""Texts as people see them: nothing hidden, nothing that acts on a terminal, and what tells two
texts apart that look the same."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

CONFUSABLE = str.maketrans(
    "АВЕЅЗІЈКМНОРСТУХабегѕіјкорсухһԁԛԝѵӏ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγικνορυχ" + "ıɑɡʟ‐‑‒–—−’‘ʼ",
    "ABES3IJKMHOPCTYXa6ersijkopcyxhdqwvl" + "ABEZHIKMNOPTYXaByikvopux" + "iagl------'''",
)
"""Letters and signs of other scripts by the Latin ones that they are taken for."""
HIDDEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(one) for one in range(0xFE00, 0xFE10)
}
"""Characters that Python takes for printable and nobody sees: fillers, variation selectors."""
PASSWORD = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s@]*:[^/\s]*@")
QUERY = re.compile(r"\?\S+")
"""The parts of a URL that may be secret: a user's password, and a query, which may be signed."""
LONGEST_COMPARED = 500
"""In characters: nobody overlooks a difference in a text that is longer than that."""
DIFFERENCES_SHOWN = 3


def printable(text: str) -> str:
    """`text` on one line, controls and characters that nobody sees as Python's escapes."""
    if is_visible(text):
        return text
    return "".join(one if is_visible(one) else escaped(one) for one in text)


def without_secrets(text: str) -> str:
    """Removes user, password and query from the URLs in a text."""
    if "://" not in text:
        return text
    return QUERY.sub("?***", PASSWORD.sub(r"\1***@", text))


def is_visible(text: str) -> bool:
    """Tells if every character of `text` is a blank or can be seen."""
    return text.isprintable() and HIDDEN.isdisjoint(text)


def escaped(character: str) -> str:
    r"""A character as an escape in ASCII, e.g. \n or \u200b."""
    return character.encode("unicode_escape").decode()


def quoted(text: str) -> str:
    """`text` in quotes where its ends or what it is made of would not be seen, else as it is."""
    plain = is_visible(text) and text == text.strip() != ""
    return text if plain else f"'{printable(text)}'"


def lookalike(text: str, known: Iterable[str]) -> str | None:
    """The first of `known` that is another text than `text` and looks the same, if there is one.

    Capitals, blanks around or inside, invisible characters, normal forms, wide forms, and
    letters of other scripts make no difference for it.
    """
    if len(text) > LONGEST_COMPARED:
        return None
    wanted = skeleton(text)
    return next((one for one in known if one != text and skeleton(one) == wanted), None)


def skeleton(text: str) -> str:
    """A form that texts share which look the same."""
    return latin(text).replace(" ", "").casefold()


def latin(text: str) -> str:
    """`text` in plain letters where it is taken for them, without what nobody sees."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(CONFUSABLE)
    return text if is_visible(text) else "".join(filter(is_visible, text))


def difference(text: str, other: str) -> str:
    """Tells `text` from `other`: a clause with the code points that nobody can see."""
    one, two = f"'{printable(text)}'", f"'{printable(other)}'"
    if unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", other):
        return (
            f"{one} ({normal_form(text)}) and {two} ({normal_form(other)}) look the same, "
            "in different normal forms of Unicode"
        )
    if text.lower() == other.lower():
        return f"{one} and {two} differ in capitals"
    changes = SequenceMatcher(None, text, other, autojunk=False).get_opcodes()
    found = [
        change(text[start:end], other[first:last])
        for kind, start, end, first, last in changes
        if kind != "equal"
    ]
    more = ", …" if len(found) > DIFFERENCES_SHOWN else ""
    return f"{one} looks like {two}, with {', '.join(found[:DIFFERENCES_SHOWN])}{more}"


def change(given: str, meant: str) -> str:
    """A part of a text beside the part that stands in its place in another."""
    if not meant:
        return f"{code_points(given)} more"
    if not given:
        return f"{code_points(meant)} less"
    return f"{code_points(given)} for {code_points(meant)}"


def code_points(text: str) -> str:
    """Each character's number and name, e.g. `U+0430 CYRILLIC SMALL LETTER A`."""
    return " ".join(f"U+{ord(one):04X} {unicodedata.name(one, '')}".rstrip() for one in text)


def normal_form(text: str) -> str:
    """Names the normal form of Unicode that `text` is in: NFC, NFD, or neither."""
    forms = [form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, text)]
    return forms[0] if forms else "neither NFC nor NFD"


def disguised(text: str) -> str:
    """Names the characters of a text that are taken for others of ASCII, as a clause."""
    if text.isascii() or len(text) > LONGEST_COMPARED or not latin(text).isascii():
        return ""
    looks = {one: latin(one).strip() for one in dict.fromkeys(text) if not one.isascii()}
    found = [
        f"{code_points(one)}, which {f'looks like {look}' if look else 'nobody sees'}"
        for one, look in looks.items()
    ]
    return "; ".join(found[:DIFFERENCES_SHOWN])
