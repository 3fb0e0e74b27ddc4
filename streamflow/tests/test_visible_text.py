"""Texts that look the same are told apart, and nothing acts on a terminal or stays unseen."""

import unicodedata

import pytest

from streamflow.errors import Fault, UnknownName
from streamflow.visible_text import difference, disguised, lookalike, printable, quoted

JOSE = "José"
DECOMPOSED = unicodedata.normalize("NFD", JOSE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0002-ORFBO [b] :smile:", "0002-ORFBO [b] :smile:"),
        ("Zoë 🎬 日本", "Zoë 🎬 日本"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("two\nlines\r\tand", "two\\nlines\\r\\tand"),
        ("left\u202eright\u200b\xa0\ufeff", "left\\u202eright\\u200b\\xa0\\ufeff"),
        ("\udcff", "\\udcff"),
        ("\u3164\ufe0f", "\\u3164\\ufe0f"),
    ],
)
def test_what_is_printed_acts_on_nothing_and_hides_nothing(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_only_a_text_whose_ends_cannot_be_seen_is_put_in_quotes() -> None:
    assert [quoted(one) for one in ("a b", " a", "a\t", "")] == ["a b", "' a'", "'a\\t'", "''"]


@pytest.mark.parametrize(
    ("given", "meant", "said"),
    [
        (" churn", "churn", "' churn' looks like 'churn', with U+0020 SPACE more"),
        ("churn\xa0", "churn", "'churn\\xa0' looks like 'churn', with U+00A0 NO-BREAK SPACE more"),
        (
            "\ufeffid",
            "id",
            "'\\ufeffid' looks like 'id', with U+FEFF ZERO WIDTH NO-BREAK SPACE more",
        ),
        ("i\u200bd", "id", "'i\\u200bd' looks like 'id', with U+200B ZERO WIDTH SPACE more"),
        ("id", "id ", "'id' looks like 'id ', with U+0020 SPACE less"),
        ("Churn", "churn", "'Churn' and 'churn' differ in capitals"),
        (
            "chаrn",
            "charn",
            "'chаrn' looks like 'charn', with U+0430 CYRILLIC SMALL LETTER A for "
            "U+0061 LATIN SMALL LETTER A",
        ),
        (
            "ｉd",
            "id",
            "'ｉd' looks like 'id', with U+FF49 FULLWIDTH LATIN SMALL LETTER I for "
            "U+0069 LATIN SMALL LETTER I",
        ),
        (
            DECOMPOSED,
            JOSE,
            f"'{DECOMPOSED}' (NFD) and '{JOSE}' (NFC) look the same, in different normal forms "
            "of Unicode",
        ),
    ],
)
def test_the_difference_is_told_in_code_points(given: str, meant: str, said: str) -> None:
    assert lookalike(given, ["another", given, meant]) == meant
    assert difference(given, meant) == said


def test_a_text_that_looks_otherwise_is_no_lookalike() -> None:
    assert lookalike(JOSE, ["Jose", "Josef", JOSE]) is None
    assert lookalike("a" * 501, ["a" * 501 + " "]) is None


def test_a_name_that_looks_like_a_known_one_is_told_from_it() -> None:
    error = UnknownName("feature service", " churn_v1", ["churn_v1", "profile_v1"])
    assert str(error) == (
        "unknown feature service ' churn_v1'; known: churn_v1, profile_v1; "
        "' churn_v1' looks like 'churn_v1', with U+0020 SPACE more"
    )


def test_a_value_in_letters_of_another_script_says_so() -> None:
    assert [disguised(one) for one in ("True", JOSE, "日本")] == ["", "", ""]
    fault = Fault("labels.csv", 2, "churn_label", "Тrue", "must be one of True, False")
    assert str(fault) == (
        "labels.csv:2 churn_label = 'Тrue' (U+0422 CYRILLIC CAPITAL LETTER TE, which looks like T)"
        ": must be one of True, False"
    )
