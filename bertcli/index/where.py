"""Conditions on documents, as `--where` takes them, compiled to SQL with bound values.

    lang = 'zh' and year >= 2023 and path like 'notes/%'
    not (draft or author in ('Ada', 'Alan')) and title is not null

Names are the documents' columns, and `path` and `line`; a name with other signs than letters,
digits and `_` stands between double quotes, as does that of a column called path or line. Values
are 'texts', numbers, true and false, which 'true' and 'false' equal too; `like '100!%' escape '!'`
seeks a percent sign. A value that is missing is neither equal nor unequal, neither in nor not in;
`not` before a condition turns it round, missing values included. Nothing that is typed becomes part
of the SQL but its known words: names and values are bound.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bertcli.errors import UsageError

Value = str | float | int
DEPTH = 15
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
"""A time of ISO 8601, with T or, as Parquet's times are kept, a blank before the hour."""
PATTERN_LETTERS = 50_000
"""The longest pattern that SQLite takes."""
TOKENS = 1_000
OWN = {"path": "documents.name", "line": "coalesce(documents.line, chunks.line)"}
COMPARISONS = ("=", "==", "!=", "<>", "<=", ">=", "<", ">")
KEYWORDS = ("and", "or", "not", "in", "like", "is", "null", "true", "false", "between")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | "(?P<quoted>[^"]+)"
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|!=|<>|==|[=<>(),])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on `documents` and `chunks` as SQL, with the values of its question marks.

    `columns` are the documents' own columns that it names.
    """

    sql: str
    values: tuple[Value, ...]
    columns: tuple[str, ...] = ()


def any_path(globs: Sequence[str]) -> Filter:
    """Return the condition that a path is one of these, in one of these folders, or fits a glob.

    `*` crosses folders. What is the path of a document stands for that one alone. Paths may be
    written in other ways than when the index was built: absolute or not, or with `./` before them.
    """
    if not all(globs):
        raise UsageError('--path "" names no documents: give a path, or "*" for all')
    if longest := next((glob for glob in globs if len(os.fsencode(glob)) > PATTERN_LETTERS), None):
        raise UsageError(f"--path {longest[:40]}…: a glob has at most {PATTERN_LETTERS:,} bytes")
    ways = list(dict.fromkeys(way for glob in globs for way in _written(glob)))
    fits = (
        "documents.name = value OR substr(documents.name, 1, length(value) + 1) = value || '/' "
        "OR (documents.name GLOB value "
        "AND NOT EXISTS (SELECT 1 FROM documents AS other WHERE other.name = value))"
    )
    return Filter(f"EXISTS (SELECT 1 FROM json_each(?) WHERE {fits})", (json.dumps(ways),))


def _written(path: str) -> Iterator[str]:
    """Yield a path as it is given, without what says nothing, as seen from here, and absolute."""
    yield path
    yield os.path.normpath(path)
    with suppress(OSError):  # the working folder is gone
        yield os.path.relpath(path)
        yield os.path.normpath(Path(path).absolute())


def any_id(numbers: Sequence[int]) -> Filter:
    """Return the condition that a document has one of the chunks of these numbers."""
    marks = ", ".join(["?"] * len(numbers))
    return Filter(f"chunks.id IN ({marks})", tuple(numbers))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def compile_where(text: str) -> Filter:
    """Return a condition as SQL; raises UsageError with the place where it cannot be read.

    >>> compile_where("line > 3").values
    (3,)
    """
    parser = _Parser(text, _tokens(text))
    sql = parser.either(0)
    parser.end()
    return Filter(sql, tuple(parser.values), tuple(parser.columns))


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(text, at, "this is no name, value or sign; texts stand in '…'")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    if len(found) > TOKENS:
        raise UsageError(f"--where has {len(found):,} parts, more than {TOKENS:,}")
    return found


def _wrong(text: str, at: int, why: str) -> UsageError:
    shown = text[at : at + 20]
    where = f'at "{shown}"' if shown else "at its end"
    return UsageError(f"--where {where} (character {at + 1}): {why}")


class _Parser:
    """Reads tokens from left to right; each method returns the SQL of what it read."""

    def __init__(self, text: str, tokens: Sequence[_Token]) -> None:
        self.values: list[Value] = []
        self.columns: dict[str, None] = {}
        self._text = text
        self._tokens = tokens
        self._at = 0

    def either(self, depth: int) -> str:
        parts = [self._both(depth)]
        while self._took("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._expected("and, or, or the end")

    def _both(self, depth: int) -> str:
        parts = [self._one(depth)]
        while self._took("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"

    def _one(self, depth: int) -> str:
        if depth > DEPTH:
            raise UsageError(f"--where is nested more than {DEPTH} deep")
        if self._took("not"):
            return f"NOT coalesce({self._one(depth + 1)}, 0)"
        if self._took("("):
            inner = self.either(depth + 1)
            self._need(")")
            return inner
        return self._condition()

    def _condition(self) -> str:
        name = self._name()
        denied = self._took("not")
        if found := self._of_words(name):
            return self._but(name, found) if denied else found
        if denied:
            raise self._expected("in, like or between")
        if self._took("is"):
            none = "NOT NULL" if self._took("not") else "NULL"
            self._need("null")
            return f"({self._column(name)} IS {none})"
        for sign in COMPARISONS:
            if self._took(sign):
                return self._compared(name, {"==": "=", "<>": "!="}.get(sign, sign))
        return self._is_true(name)

    def _of_words(self, name: _Token) -> str:
        """Return a condition with in, like or between; nothing where another one comes."""
        if self._took("in"):
            self._need("(")
            choices = [self._compared(name, "=")]
            while self._took(","):
                choices.append(self._compared(name, "="))
            self._need(")")
            return f"({' OR '.join(choices)})"
        if self._took("like"):
            return self._like(name)
        if self._took("between"):
            low = self._compared(name, ">=")
            self._need("and")
            return f"({low} AND {self._compared(name, '<=')})"
        return ""

    def _but(self, name: _Token, found: str) -> str:
        """Return the condition of the values that this one does not hold for; none is no value."""
        return f"(NOT {found} AND {self._column(name)} IS NOT NULL)"

    def _compared(self, name: _Token, sign: str) -> str:
        if sign == "!=":
            return self._but(name, self._compared(name, "="))
        token = self._next("a value")
        if token.kind == "word" and token.text.lower() == "null":
            raise _wrong(self._text, token.at, "nothing equals null: write is null")
        value = self._value(token)
        if token.kind == "word" and sign == "=":
            return self._is_true(name) if value else self._is_false(name)
        if isinstance(value, str):
            text = f"CAST({self._column(name)} AS TEXT)"
            if MOMENT.match(value):
                text, value = f"replace({text}, 'T', ' ')", value.replace("T", " ")
            sql = f"{text} {sign} ?"
            self.values.append(value)
            if sign == "=" and value in ("true", "false") and name.text in self.columns:
                sql += " OR json_type(documents.metadata, ?) = ?"  # JSON's own, which is 1 or 0
                self.values += [_path(name), value]
            return f"({sql})"
        column = self._column(name)
        self.values.append(value)
        return _about(column, f"{NUMBER} {sign} ?")

    def _is_true(self, name: _Token) -> str:
        return _about(self._column(name), f"lower(v) = 'true' OR {NUMBER} != 0")

    def _is_false(self, name: _Token) -> str:
        return _about(self._column(name), f"lower(v) = 'false' OR {NUMBER} = 0")

    def _like(self, name: _Token) -> str:
        token = self._next("a text")
        if token.kind != "text":
            raise _wrong(self._text, token.at, "like needs a text, in which % stands for anything")
        column, pattern = self._column(name), _unquoted(token.text)
        if len(pattern.encode()) > PATTERN_LETTERS:
            raise _wrong(self._text, token.at, f"a pattern has at most {PATTERN_LETTERS:,} bytes")
        if not pattern.isascii():  # LIKE itself knows the case of ASCII letters alone
            column, pattern = f"casefolded({column})", pattern.casefold()
        self.values.append(pattern)
        if not self._took("escape"):
            return f"({column} LIKE ?)"
        sign = self._next("a sign")
        if sign.kind != "text" or len(escape := _unquoted(sign.text)) != 1 or escape.isalnum():
            raise _wrong(self._text, sign.at, "escape needs one sign, such as '!' in like '10!%'")
        self.values.append(escape)
        return f"({column} LIKE ? ESCAPE ?)"

    def _value(self, token: _Token) -> Value:
        if token.kind == "text":
            return _unquoted(token.text)
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            return int(token.text.lower() == "true")
        raise _wrong(self._text, token.at, "expected a value: 'text', a number, true or false")

    def _name(self) -> _Token:
        token = self._next("the name of a column")
        named = token.kind == "quoted" or (
            token.kind == "word" and token.text.lower() not in KEYWORDS
        )
        if not named:
            raise _wrong(self._text, token.at, "expected the name of a column")
        return token

    def _column(self, name: _Token) -> str:
        if name.kind == "word" and name.text in OWN:
            return OWN[name.text]
        self.columns[name.text] = None
        self.values.append(_path(name))
        return "json_extract(documents.metadata, ?)"

    def _took(self, text: str) -> bool:
        """Read a sign or a keyword if it comes next."""
        if self._at == len(self._tokens):
            return False
        token = self._tokens[self._at]
        same = token.kind in ("word", "sign") and token.text.lower() == text
        self._at += same
        return same

    def _need(self, text: str) -> None:
        if not self._took(text):
            raise self._expected(text)

    def _next(self, what: str) -> _Token:
        if self._at == len(self._tokens):
            raise self._expected(what)
        self._at += 1
        return self._tokens[self._at - 1]

    def _expected(self, what: str) -> UsageError:
        more = self._at < len(self._tokens)
        at = self._tokens[self._at].at if more else len(self._text)
        return _wrong(self._text, at, f"expected {what}")


def _path(name: _Token) -> str:
    """Return where a column stands, spelled as in the stored JSON."""
    return f"$.{json.dumps(name.text, ensure_ascii=False)}"


_NO_NUMBER = (
    *("*[^0-9.eE+-]*", "*[0-9.+-][+-]*", "*.*.*", "*[eE]*[eE]*", "*[eE]*.*"),
    *("[eE]*", "[.+-][eE]*", "[+-].[eE]*", "*[eE]", "*[+-]"),
)
_SPELLED = " AND ".join(
    ("trim(v) GLOB '*[0-9]*'", *(f"trim(v) NOT GLOB '{glob}'" for glob in _NO_NUMBER))
)
NUMBER = f"CASE WHEN typeof(v) != 'text' THEN v WHEN {_SPELLED} THEN CAST(trim(v) AS NUMERIC) END"
"""SQL for the number that `v` is, or is spelled as where it is a text, as in a CSV file."""


def _about(column: str, condition: str) -> str:
    """Return the SQL of a condition on `v`, the value of a column; no value makes it false."""
    return f"EXISTS (SELECT 1 FROM (SELECT {column} AS v) WHERE {condition})"


def _number(text: str) -> float | int:
    """Return a number as SQLite has it: whole ones beyond 64 bits are rounded.

    >>> _number("12"), _number("1e3"), _number("9" * 20)
    (12, 1000.0, 1e+20)
    """
    if set(text) & set(".eE") or len(text) > 19:
        return float(text)
    whole = int(text)
    return whole if -(2**63) <= whole < 2**63 else float(text)


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")
