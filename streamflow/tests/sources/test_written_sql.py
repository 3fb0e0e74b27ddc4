"""Queries as people write them: what is one query that reads, and what is not."""

import pytest

from streamflow.errors import QueryRefused
from streamflow.sources.written_sql import subquery

ONE = "SELECT 1"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (ONE, ONE),
        (f"{ONE};", ONE),
        (f"{ONE} ; ;\n;", f"{ONE} "),
        (f"{ONE}; -- done", ONE),
        (f"{ONE}; /* a; b */ -- done;\n", ONE),
        (f"{ONE} -- done", f"{ONE} -- done"),
        (f"{ONE} -- a;b\n;", f"{ONE} -- a;b\n"),
        (f"-- first; line\n/* /* nested; */ ; */ {ONE}", None),
        (f"\ufeff\n\t {ONE}", f"\n\t {ONE}"),
        ("SELECT ';', '-- x', '/* ', 'it''s;'", None),
        (r"SELECT E'\';', e'\\', 'a\'", None),
        ("SELECT $$;'$$, $tag$ ;$$; $other$ $tag$, $1", None),
        ('SELECT a$b$c, ";""" FROM "t;"', None),
        ("WITH a AS (SELECT 1) SELECT * FROM a", None),
        ("with recursive a as (select 1) table a", None),
        ("VALUES (1), (2)", None),
        ("TABLE a", None),
        ("((SELECT 1) UNION (SELECT 2))", None),
        ("SELECT 7 % 2 WHERE 'a' LIKE '%s' AND '{}' <> '%(x)s'", None),
        ("labels", "TABLE labels"),
        (' source."Odd;Name" ; ', 'TABLE  source."Odd;Name" '),
    ],
)
def test_one_query_that_reads_is_kept(written: str, kept: str | None) -> None:
    assert subquery(written, "the entity query") == (written if kept is None else kept)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "is empty"),
        (" ;; -- nothing\n", "is empty"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1;;DROP TABLE a", "more than one statement"),
        ("SELECT 1) AS a; DROP TABLE b; --", "more than one statement"),
        ("SELECT 1) AS a, (SELECT 2", "a parenthesis without its other half"),
        ("SELECT (1", "a parenthesis without its other half"),
        ("INSERT INTO a VALUES (1) RETURNING *", "begins with INSERT; it has to read rows"),
        ("delete from a returning a", "begins with delete"),
        ("(UPDATE a SET b = 1)", "begins with UPDATE"),
        ("EXPLAIN SELECT 1", "begins with EXPLAIN"),
        ("SHOW timezone", "begins with SHOW"),
        (r"\d a", r"begins with \\"),
        ("a b", "begins with a;"),
        ("SELECT 'a", "a quote that does not end"),
        ('SELECT "a', "a quote that does not end"),
        ("SELECT $a$ $b$", "a quote that does not end"),
        ("SELECT 1 /* /* */", "a comment that does not end"),
    ],
)
def test_anything_else_is_refused_with_the_reason(written: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=f"^the entity query .*{said}"):
        subquery(written, "the entity query")
