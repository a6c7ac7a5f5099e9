"""Rows with labels, marked spans and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertcli.errors import DataError
from bertcli.inputs.labelled import (
    Columns,
    read_labelled,
    read_pairs,
    read_questions,
    read_tagged,
    tagged_text,
)
from bertcli.records import Place

HERE = Place("a.conll", 1)
Write = Callable[[str, object], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes text, or rows as JSON lines, and returns the file's name."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, data: object) -> str:
        text = data if isinstance(data, str) else "\n".join(map(json.dumps, data))  # type: ignore[call-overload]
        Path(name).write_text(text, encoding="utf-8")
        return name

    return run


# --- labelled texts --------------------------------------------------------------------------


def test_a_row_is_a_text_with_its_label_and_place(write: Write) -> None:
    """Columns are chosen by name, cells are stripped, numbers are labels, lines are counted."""
    plain = write("a.csv", "text,label\nfine, good \nno,bad\n")
    own = write("b.jsonl", [{"body": "fine", "stars": 5}])
    found = list(read_labelled([plain]))
    assert [(one.text, one.labels, str(one.place)) for one in found] == [
        ("fine", ("good",), "a.csv:2"),
        ("no", ("bad",), "a.csv:3"),
    ]
    (row,) = read_labelled([own], Columns(text="body", label="stars"))
    assert (row.text, row.labels) == ("fine", ("5",))


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("a; b ;a", ("a", "b")),
        ("a", ("a",)),
        ("", ()),
        (" ; ", ()),
        (["b", "a", "b"], ("b", "a")),
        ('["b", "a; c"]', ("b", "a; c")),
        ("[]", ()),
        ("[b]", ("[b]",)),
        (True, ("true",)),
        (2.0, ("2",)),
        (0.5, ("0.5",)),
    ],
)
def test_a_cell_may_hold_several_labels_or_none(
    cell: object, labels: tuple[str, ...], write: Write
) -> None:
    """With a separator, or in a list: each label once, in the order of the cell."""
    file = write("a.jsonl", [{"text": "x", "label": cell}])
    (row,) = read_labelled([file], Columns(separator=";"))
    assert row.labels == labels


def test_without_a_separator_a_cell_is_one_label(write: Write) -> None:
    """A semicolon or a comma inside a label divides nothing unless it is asked for."""
    (row,) = read_labelled([write("a.jsonl", [{"text": "x", "label": "a; b, c"}])])
    assert row.labels == ("a; b, c",)


@pytest.mark.parametrize("cell", ["", "  ", None, float("nan"), [""], ["a", None]])
def test_an_empty_label_is_told_with_its_line(cell: object, write: Write) -> None:
    """Neither an empty cell nor an empty entry of a list becomes a label of its own."""
    file = write("a.jsonl", [{"text": "x", "label": "a"}, {"text": "y", "label": cell}])
    with pytest.raises(DataError, match=r'a\.jsonl:2: the column "label" .* expected a label'):
        list(read_labelled([file]))


@pytest.mark.parametrize("cell", [{"name": "a"}, [["a"]], ["a", {}]])
def test_an_object_is_no_label(cell: object, write: Write) -> None:
    """Nor is a list within a list; the line is told."""
    file = write("a.jsonl", [{"text": "x", "label": "a"}, {"text": "y", "label": cell}])
    with pytest.raises(DataError, match=r"a\.jsonl:2: a label is .* expected text or a number"):
        list(read_labelled([file]))


def test_texts_may_come_with_their_entities(write: Write) -> None:
    """As `bertcli ner` writes them, in any order; none are none."""
    entities = [
        {"label": "LOC", "start": 12, "end": 18, "text": "London", "score": 0.9},
        {"label": "PER", "start": 0, "end": 3},
    ]
    rows = [
        {"text": "Ada lives in London", "entities": [], "tokens": 4, "windows": 1},
        {"text": "Ada went to London", "entities": entities, "tokens": 4, "windows": 1},
    ]
    found = list(read_tagged([write("a.jsonl", rows)]))
    assert [one.spans for one in found] == [(), ((0, 3, "PER"), (12, 18, "LOC"))]
    assert [one.text for one in found] == [row["text"] for row in rows]


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([{"start": 0, "end": 30, "label": "A"}], "0-30 (A) is not in the text of 7 characters"),
        ([{"start": -1, "end": 3, "label": "A"}], "is not in the text"),
        ([{"start": 2, "end": 2, "label": "A"}], "is not in the text"),
        (
            [{"start": 0, "end": 3, "label": "A", "text": "cat"}],
            'is "cat", but there the text has "Ada"',
        ),
        ([{"start": 0, "end": 3, "label": " "}], "an entity needs start, end and label"),
        ([{"start": "0", "end": 3, "label": "A"}], "an entity needs start, end and label"),
        ([{"start": 0, "end": 4, "label": "A"}, {"start": 3, "end": 7, "label": "B"}], "overlaps"),
        ([{"start": 0, "end": 3, "label": "B-PER"}], "is the tag of a token"),
        (None, "is not a list"),
        ([["Ada"]], "holds something that is not an object"),
        ("Ada", "is not a list"),
    ],
)
def test_entities_must_stand_in_the_text(entities: Any, message: str, write: Write) -> None:
    """Told with the line: learned as they are they would mark something else."""
    rows = [{"text": "the cat", "entities": []}, {"text": "Ada sat", "entities": entities}]
    with pytest.raises(DataError, match=re.escape(message)) as told:
        list(read_tagged([write("a.jsonl", rows)]))
    assert str(told.value).startswith("a.jsonl:2: ")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, r'no column "label"; the columns are "text"; .*--label-field NAME'),
        ({"label": "x"}, r'no column "text".*--field NAME'),
        ({"text": " ", "label": "x"}, "empty text"),
        ({"text": [1], "label": "x"}, "is a list, expected text"),
        ("bare", "plain text has no columns"),
        (7, "the JSON is a number"),
    ],
)
def test_every_row_needs_a_text_and_a_label(row: object, message: str, write: Write) -> None:
    """Labelled data are complete: a row without is an error with its line, wherever it stands."""
    file = write("a.jsonl", [{"text": "x", "label": "a"}, row])
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}"):
        list(read_labelled([file]))


# --- marked spans ----------------------------------------------------------------------------

WORDS = st.text("abc", min_size=1, max_size=3)
MARKED = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=3), st.sampled_from(["", "A", "B"]))
)


def tags_of(words: int, kind: str, scheme: str) -> list[str]:
    """Return the tags of one span in a scheme's four letters: begin, inside, end, single."""
    begin, inside, end, single = scheme
    if not kind:
        return ["O"] * words
    if words == 1:
        return [f"{single}-{kind}"]
    return [f"{begin}-{kind}", *[f"{inside}-{kind}"] * (words - 2), f"{end}-{kind}"]


@given(MARKED, st.sampled_from(["BIIB", "BIES", "BILU"]))
def test_tags_give_back_the_spans_they_were_made_of(
    marked: list[tuple[list[str], str]], scheme: str
) -> None:
    """IOB2, BIOES and BILOU all keep neighbours of one label apart and spans whole."""
    pairs, spans, at = [], [], 0
    for words, kind in marked:
        pairs += list(zip(words, tags_of(len(words), kind, scheme), strict=True))
        length = len(" ".join(words))
        spans += [(at, at + length, kind)] if kind else []
        at += length + 1
    found = tagged_text(pairs, HERE)
    assert found.text == " ".join(word for word, _ in pairs)
    assert found.spans == tuple(spans)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-A I-A O I-A", ((0, 3, "A"), (6, 7, "A"))),
        ("I-A B-A I-A O", ((0, 1, "A"), (2, 5, "A"))),
        ("I-A I-B B-B O", ((0, 1, "A"), (2, 3, "B"), (4, 5, "B"))),
        ("O O I-A E-A", ((4, 7, "A"),)),
        ("B-A E-A I-A S-A", ((0, 3, "A"), (4, 5, "A"), (6, 7, "A"))),
        ("S-A I-A O O", ((0, 1, "A"), (2, 3, "A"))),
        ("B-A-B I-A-B O O", ((0, 3, "A-B"),)),
    ],
)
def test_iob1_and_broken_sequences(tags: str, spans: tuple[Any, ...]) -> None:
    """I begins a span where none of its label goes on; B splits; E and S end."""
    assert tagged_text(list(zip("abcd", tags.split(), strict=True)), HERE).spans == spans


@pytest.mark.parametrize("tag", ["PER", "B-", "-PER", "X-PER", "0", "", "o"])
def test_what_is_no_tag_is_told(tag: str) -> None:
    """A bare label or a number is refused: it would be a silent O."""
    with pytest.raises(DataError, match=r"a\.conll:1: .* is not a tag: expected O, B-LABEL"):
        tagged_text([("x", tag)], HERE)


CONLL = """-DOCSTART- -X- O

# id 7 domain=en
Ada NNP B-PER
Lovelace NNP I-PER

# NN O
wrote VBD O


London NNP B-LOC
"""


def test_a_tag_between_tabs_may_have_blanks(write: Write) -> None:
    """As bertcli writes those of labels with blanks."""
    (found,) = read_tagged([write("a.conll", "New\tB-big city\nYork\tI-big city\nfell\tO\n")])
    assert found.spans == ((0, 8, "big city"),)


def test_conll_sentences_end_at_empty_lines(write: Write) -> None:
    """First and last column count; comments and document marks are no words, but "#" may be one."""
    found = list(read_tagged([write("a.conll", CONLL)]))
    assert [(one.text, one.spans, str(one.place)) for one in found] == [
        ("Ada Lovelace", ((0, 12, "PER"),), "a.conll:4"),
        ("# wrote", (), "a.conll:7"),
        ("London", ((0, 6, "LOC"),), "a.conll:11"),
    ]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("New York\tB-LOC", "New York"),
        ("New York \t NNP\tB-LOC\t", "New York"),
        ("New\u00a0York\tB-LOC", "New\u00a0York"),
        ("York NNP B-LOC", "York"),
        ("York NNP B-LOC\t", "York"),
        ("#\tB-LOC", "#"),
    ],
)
def test_between_tabs_a_word_may_have_blanks(line: str, word: str, write: Write) -> None:
    """It is not cut to its first piece."""
    (found,) = read_tagged([write("a.conll", f"{line}\nfell\tO\n")])
    assert found.text == f"{word} fell"
    assert found.spans == ((0, len(word), "LOC"),)


@pytest.mark.parametrize("first", ["EU\tB-ORG", "-DOCSTART-\tO"])
def test_conll_by_the_name_of_a_table_is_told(first: str, write: Write) -> None:
    """Its first line is no header."""
    with pytest.raises(DataError, match=r"a\.tsv: begins with a word and its tag.*\.conll"):
        list(read_tagged([write("a.tsv", f"{first}\nfell\tO\n")]))


def test_a_bad_tag_is_told_with_its_own_line(write: Write) -> None:
    """Not with that of its sentence, and so is each marked span."""
    with pytest.raises(DataError, match=r'a\.conll:6: "PER" is not a tag'):
        list(read_tagged([write("a.conll", CONLL.replace("NNP I-PER", "NNP I-PER\nx NNP PER"))]))
    found = read_tagged([write("a.conll", CONLL)])
    assert [str(place) for one in found for place in one.places.values()] == [
        "a.conll:4",
        "a.conll:11",
    ]


def test_a_sentence_ends_with_its_file(write: Write) -> None:
    """Two files without an empty line at their ends are two sentences, each in its own place."""
    files = [write("a.conll", "Ada\tB-PER"), write("b.conll", "Lovelace\tI-PER\n")]
    files.insert(1, write("c.jsonl", [{"tokens": ["so"], "tags": ["O"]}]))
    found = [(one.text, one.spans, str(one.place)) for one in read_tagged(files)]
    assert found == [
        ("Ada", ((0, 3, "PER"),), "a.conll:1"),
        ("so", (), "c.jsonl:1"),
        ("Lovelace", ((0, 8, "PER"),), "b.conll:1"),
    ]


def test_rows_have_lists_of_tokens_and_tags(write: Write) -> None:
    """The lists stand in columns of any name, and words are joined by one space."""
    file = write("a.jsonl", [{"w": ["Ada", "L."], "t": ["B-PER", "I-PER"]}, {"w": [], "t": []}])
    found = list(read_tagged([file], Columns(tokens="w", tags="t")))
    assert [(one.text, one.spans) for one in found] == [("Ada L.", ((0, 6, "PER"),)), ("", ())]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens, but 1 tag"),
        ({"tokens": "a b", "tags": ["O", "O"]}, '"tokens" is not a list'),
        ({"tokens": ["a"], "tags": [3]}, '"3" is not a tag.*numbers count a list'),
        ({"tokens": ["a"]}, 'no column "tags".*--tags-field'),
        ({}, 'no column "tokens"'),
        ("Ada", "expected a word and its tag on each line"),
    ],
)
def test_wrong_tagging_is_told_with_its_line(row: object, message: str, write: Write) -> None:
    """Nothing is guessed where words and tags do not belong together."""
    with pytest.raises(DataError, match=rf"a\.jsonl:1: .*{message}"):
        list(read_tagged([write("a.jsonl", [row])]))


# --- questions -------------------------------------------------------------------------------

ANSWER = {"text": "Ada", "answer_start": 0}
PARAGRAPH = {
    "context": "Ada wrote it.",
    "qas": [
        {"id": "1", "question": "Who?", "answers": [ANSWER, {"text": "it", "answer_start": 10}]},
        {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
        {"id": "3", "question": "How?", "answers": [ANSWER], "is_impossible": True},
    ],
}
SQUAD = [
    ("Who?", "Ada wrote it.", (("Ada", 0), ("it", 10)), "Ada"),
    ("Why?", "Ada wrote it.", (), "Ada"),
    ("How?", "Ada wrote it.", (), "Ada"),
]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "wrapped", [{"version": "v2.0", "data": [{"title": "Ada", "paragraphs": [PARAGRAPH]}]}]
)
def test_squad_of_both_versions_is_read(name: str, wrapped: Any, write: Write) -> None:
    """Articles, paragraphs and questions are unfolded; an impossible question has no answer."""
    found = read_questions([write(name, json.dumps(wrapped))])
    assert [(one.question, one.context, one.answers, one.group) for one in found] == SQUAD


def test_articles_may_be_rows(write: Write) -> None:
    """A line with paragraphs is an article."""
    found = read_questions([write("a.jsonl", [{"title": "Ada", "paragraphs": [PARAGRAPH]}])])
    assert [(one.question, one.context, one.answers, one.group) for one in found] == SQUAD


@pytest.mark.parametrize(
    "answers",
    [{"text": ["Ada"], "answer_start": [0]}, [{"text": "Ada", "answer_start": 0}]],
)
def test_rows_of_the_hub_are_read(answers: object, write: Write) -> None:
    """Answers are two lists or a list of objects; columns are chosen by name."""
    row = {"q": "Who?", "c": "Ada wrote it.", "a": answers, "title": "T"}
    columns = Columns(question="q", context="c", answers="a")
    (one,) = read_questions([write("a.jsonl", [row])], columns)
    assert (one.answers, one.group, str(one.place)) == ((("Ada", 0),), "T", "a.jsonl:1")


@pytest.mark.parametrize("answers", ["it", ["it", "Ada"]])
def test_an_answer_alone_is_sought_in_its_context(answers: object, write: Write) -> None:
    """Its first place is meant; a CSV's cell is such an answer."""
    row = {"question": "What?", "context": "Ada wrote it and it was good.", "answers": answers}
    (one,) = read_questions([write("a.jsonl", [row])])
    assert one.answers == (("it", 10), ("Ada", 0))[: len(one.answers)]
    line = "question,context,answers\nWhat?,Ada wrote it.,it\nWhen?,Ada wrote it.,\n"
    found = [row.answers for row in read_questions([write("a.csv", line)])]
    assert found == [(("it", 10),), ()]


@pytest.mark.parametrize(
    "said",
    [
        {"answers": []},
        {"answers": ""},
        {"answers": {"text": [], "answer_start": []}},
        {"answers": None, "is_impossible": True},
        {"is_impossible": True},
    ],
)
def test_no_answers_are_no_answers(said: dict[str, object], write: Write) -> None:
    """The ways in which files say that a context holds no answer."""
    row = {"question": "Who?", "context": "It.", **said}
    (one,) = read_questions([write("a.jsonl", [row])])
    assert one.answers == ()


@pytest.mark.parametrize("said", [{}, {"answer": [ANSWER]}, {"answers": None}])
def test_a_question_of_which_nothing_is_said_is_refused(
    said: dict[str, object], write: Write
) -> None:
    """A key that is misspelt, or null, would else be a question without an answer."""
    asked = {"id": "7", "question": "Who?", "is_impossible": False, **said}
    article = {"title": "Ada", "paragraphs": [{"context": "Ada wrote it.", "qas": [asked]}]}
    told = r'a\.json, question 7 "Who\?": no "answers": expected answers, an empty list'
    with pytest.raises(DataError, match=told):
        list(read_questions([write("a.json", json.dumps({"data": [article]}))]))
    with pytest.raises(DataError, match=r'a\.jsonl:1: no (column )?"answers"'):
        list(read_questions([write("a.jsonl", [asked | {"context": "Ada wrote it."}])]))


ROW = {"question": "Who?", "context": "Ada wrote it.", "answers": []}


def test_lists_in_cells_of_csv_are_read(write: Write) -> None:
    """As bertcli writes them: of answers, of entities, of tokens; one in brackets is itself."""
    cell = '"[""Ada"", ""it""]"'
    file = write("a.csv", f"question,context,answers\nWho?,Ada wrote it.,{cell}\nNo?,None.,[]\n")
    first, second = read_questions([file])
    assert (first.answers, second.answers) == ((("Ada", 0), ("it", 10)), ())
    (one,) = read_questions([write("b.csv", "question,context,answers\nHow?,See [3].,[3]\n")])
    assert one.answers == (("[3]", 4),)
    entity = '"[{""start"": 0, ""end"": 3, ""label"": ""PER""}]"'
    (tagged,) = read_tagged([write("c.csv", f"text,entities\nAda wrote it.,{entity}\n")])
    assert tagged.spans == ((0, 3, "PER"),)


def test_an_answer_in_other_words_can_be_measured(write: Write) -> None:
    """SQuAD's measures need only the words; what is learnt must stand somewhere."""
    file = write("a.jsonl", [ROW | {"answers": ["Eve", "Ada"]}])
    (one,) = read_questions([file], placed=False)
    assert [text for text, _ in one.answers] == ["Eve", "Ada"]
    with pytest.raises(DataError, match="does not stand in the context"):
        list(read_questions([file]))


def test_an_error_row_of_ner_is_told_as_one(write: Write) -> None:
    """JSON lines have no entities there."""
    rows = [{"source": "x:1", "text": "", "error": "the text is empty"}]
    with pytest.raises(DataError, match="leave this row out"):
        list(read_tagged([write("a.jsonl", rows)]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW | {"answers": {"text": ["Ada", "it"], "answer_start": [0]}}, "2 texts.* 1 answer_st"),
        (ROW | {"answers": {"text": "Ada", "answer_start": [0]}}, '"text" is not a list'),
        (ROW | {"answers": {"answer": ["Ada"]}}, '"text" is not a list'),
        (ROW | {"answers": 3}, '"answers" is not a list'),
        (ROW | {"answers": "Eve"}, 'the answer "Eve" does not stand in the context'),
        (ROW | {"answers": ["Ada", "Eve"]}, 'the answer "Eve" does not stand in the context'),
        (ROW | {"answers": [3]}, "something that is not an object"),
        (ROW | {"answers": [{"text": "Ada"}]}, "an answer needs answer_start"),
        (ROW | {"answers": [{"text": "Ada", "answer_start": True}]}, "an answer needs answer_st"),
        (ROW | {"answers": [{"text": None, "answer_start": 0}]}, '"text" is not text'),
        (ROW | {"question": None}, '"question" is not text'),
        (ROW | {"context": ["Ada"]}, '"context" is not text'),
        ({"question": "Who?", "answers": []}, 'no column "context".*--context-field'),
        (ROW | {"answers": [{"text": "", "answer_start": 0}]}, "an answer is empty"),
        (ROW | {"answers": [" "]}, "an answer is empty"),
        ({"data": [3]}, '"data" holds something that is not an object'),
        ({"paragraphs": [{"context": "x", "qas": [{}]}]}, '"question" is not text'),
        ({"paragraphs": [{"qas": [{"question": "x"}]}]}, '"context" is not text'),
    ],
)
def test_wrong_questions_are_told_with_their_line(row: object, message: str, write: Write) -> None:
    """Nothing is dropped and nothing becomes the text "None"."""
    with pytest.raises(DataError, match=rf"a\.jsonl:1[:,] .*{message}"):
        list(read_questions([write("a.jsonl", [row])]))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"id": "5a1", "question": "Who?"}, 'question 5a1 "Who?": no "answers"'),
        ({"question": "Who?"}, 'question 2 of "Ada" "Who?": no "answers"'),
        ({"id": "5a1"}, 'question 5a1 "None": "question" is not text'),
    ],
)
def test_a_question_of_squads_is_named(asked: object, told: str, write: Write) -> None:
    """By its id, or by its number in the article: the whole file is one line, or has no lines."""
    first = {"context": "Ada wrote it.", "qas": [{"question": "Why?", "answers": []}]}
    second = {"context": "Ada wrote it.", "qas": [asked]}
    article = {"title": "Ada", "paragraphs": [first, second]}
    with pytest.raises(DataError, match=re.escape(f"a.json, {told}")):
        list(read_questions([write("a.json", json.dumps({"data": [article]}))]))
    with pytest.raises(DataError, match=re.escape(f"a.jsonl:1, {told}")):
        list(read_questions([write("a.jsonl", [article])]))


def test_an_article_without_paragraphs_is_told_so(write: Write) -> None:
    """And one whose paragraphs have no questions; neither is a row that lacks a column."""
    with pytest.raises(DataError, match=r'a\.json, item 1: no "paragraphs", as an article of SQ'):
        list(read_questions([write("a.json", json.dumps({"data": [{"title": "x"}]}))]))
    article = {"title": "x", "paragraphs": [{"context": "Ada wrote it."}]}
    with pytest.raises(DataError, match=r'a\.json, article "x": no "qas"'):
        list(read_questions([write("a.json", json.dumps({"data": [article]}))]))


def test_glues_columns_are_known(tmp_path: Path) -> None:
    """SST-2's TSV has a sentence and a number, and is read as it comes."""
    path = tmp_path / "dev.tsv"
    path.write_text('sentence\tlabel\n" a touching film\t1\nthe film " is bad\t0\n')
    found = [(one.text, one.labels) for one in read_labelled([str(path)])]
    assert found == [('" a touching film', ("1",)), ('the film " is bad', ("0",))]


def test_colas_rows_have_no_header(tmp_path: Path) -> None:
    """The first line is a sentence like the others, and its place is line 1."""
    path = tmp_path / "train.tsv"
    path.write_text("gj04\t1\t\tShe sailed.\ngj04\t0\t*\tThey drank the pub.\n")
    found = list(read_labelled([str(path)]))
    assert [(one.text, one.labels) for one in found] == [
        ("She sailed.", ("1",)),
        ("They drank the pub.", ("0",)),
    ]
    assert [one.place.line for one in found] == [1, 2]


HEADERS = {
    "MRPC": ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    "QQP": ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
    "QNLI": ("index", "question", "sentence", "label"),
    "RTE": ("index", "sentence1", "sentence2", "label"),
    "SNLI": (
        *("index", "captionID", "pairID", "sentence1_binary_parse"),
        *("sentence1", "sentence2", "gold_label"),
    ),
    "MNLI": ("index", "promptID", "pairID", "genre", "sentence1", "sentence2", "gold_label"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_glues_pairs_are_read_as_they_come(name: str, tmp_path: Path) -> None:
    """Their columns have many names, and a quote at a cell's start is nothing but a quote."""
    header = HEADERS[name]
    firsts = {"sentence1", "question", "question1", "#1 String"}
    labels = {"label", "gold_label", "is_duplicate", "Quality"}
    cells = {"first": ['"So it is, he said.', "plain"], "second": ['He " said.', '"plain"']}

    def cell(column: str, row: int) -> str:
        if column in labels:
            return f"label {row}"
        if column in firsts:
            return cells["first"][row]
        return cells["second"][row] if "#2 S" in column or "sentence" in column else "7"

    def second(column: str, row: int) -> str:
        return cells["second"][row] if column == "question2" else cell(column, row)

    path = tmp_path / "train.tsv"
    lines = ["\t".join(header), *("\t".join(second(c, r) for c in header) for r in (0, 1))]
    path.write_text("".join(f"{line}\n" for line in lines))
    found = list(read_labelled([str(path)]))
    assert [(one.text, one.second) for one in found] == list(zip(*cells.values(), strict=True))
    assert [one.labels for one in found] == [("label 0",), ("label 1",)]


def test_rows_of_qqp_that_are_broken_off_are_passed_over(tmp_path: Path) -> None:
    """The file that GLUE distributes has some; a table of one's own is to have none."""
    path = tmp_path / "train.tsv"
    rows = ["1\t2\t3\tWhy?\tHow?\t1", "4\t5\t6\tWho is it?", "7\t8\t9\tA?\tB?\t0"]
    path.write_text("\n".join(["\t".join(HEADERS["QQP"]), *rows]) + "\n")
    assert [one.labels for one in read_labelled([str(path)])] == [("1",), ("0",)]
    numbers = tmp_path / "a.jsonl"
    rows = [{"question1": "Why?", "question2": "How?", "is_duplicate": n} for n in (0, 1)]
    numbers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [one.labels for one in read_labelled([str(numbers)])] == [("0",), ("1",)]
    columns = Columns(text="question1", label="is_duplicate")
    with pytest.raises(DataError, match=r"train\.tsv:3: .*is_duplicate"):
        list(read_labelled([str(path)], columns))


@pytest.mark.parametrize("rows", [["a\tb\t0.5"], ["a\tb\t0.5", "c\td\t"]])
def test_pairs_have_scores_where_the_first_has(rows: list[str], tmp_path: Path) -> None:
    """In a column of the usual name; then all of them must, and none where they are not asked."""
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(["text1\ttext2\tscore", *rows]) + "\n")
    assert {one.score for one in read_pairs([str(path)], Columns(score=""))} == {None}
    if len(rows) == 1:
        assert [one.score for one in read_pairs([str(path)], Columns(score=None))] == [0.5]
    else:
        with pytest.raises(DataError, match=r"pairs\.tsv:3: .*expected a number"):
            list(read_pairs([str(path)], Columns(score=None)))
    path.write_text("text1\ttext2\na\tb\n")
    assert [one.score for one in read_pairs([str(path)], Columns(score=None))] == [None]


def test_a_folder_has_conll_files(write: Write) -> None:
    """By the endings that they usually have."""
    Path("tagged").mkdir()
    for name in ("a.conll", "b.bio", "c.iob2", "d.conllu", "e.iob"):
        write(f"tagged/{name}", "Ada\tB-PER\n")
    assert len(list(read_tagged(["tagged"]))) == 5


@pytest.mark.parametrize("header", ["text\tlabel", "index\ttext\tlabel", "text\tlabel\tsentence"])
def test_a_table_of_ones_own_keeps_its_quotes(header: str, tmp_path: Path) -> None:
    """Only GLUE's own headers turn them off."""
    path = tmp_path / "mine.tsv"
    number = "1\t" if header.startswith("index") else ""
    path.write_text(f'{header}\n{number}"a\tb"\tone\n')
    (found,) = read_labelled([str(path)])
    assert found.text == "a\tb"


def test_a_second_column_makes_pairs(write: Write) -> None:
    """By name; and pairs on which nobody agreed are left out, as SNLI has them."""
    rows = [{"text": "a", "other": "b", "label": "x"}]
    (found,) = read_labelled([write("a.jsonl", rows)], Columns(pair="other"))
    assert (found.text, found.second, found.labels) == ("a", "b", ("x",))
    with pytest.raises(DataError, match=r'no column "others".*--pair-field'):
        list(read_labelled(["a.jsonl"], Columns(pair="others")))
    with pytest.raises(DataError, match="empty"):
        none = [{"text": "a", "other": " ", "label": "x"}]
        list(read_labelled([write("b.jsonl", none)], Columns(pair="other")))
    undecided = [
        {"sentence1": "a", "sentence2": "b", "gold_label": label} for label in ("-", "neutral")
    ]
    (kept,) = read_labelled([write("c.jsonl", undecided)])
    assert kept.labels == ("neutral",)
    signs = [{"text": "a", "gold_label": "-"}, {"text": "b", "gold_label": "+"}]
    found = list(read_labelled([write("d.jsonl", signs)], Columns(label="gold_label")))
    assert [one.labels for one in found] == [("-",), ("+",)]
