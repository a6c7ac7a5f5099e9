"""Files of many formats as documents."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bertcli.errors import DataError
from bertcli.inputs.documents.html import html
from bertcli.inputs.documents.marked import markdown, restructured
from bertcli.inputs.documents.read import is_document, read_documents
from bertcli.inputs.rows import BadRow
from bertcli.records import Document

MARKDOWN = """---
title: of the page
---
# One

Text.

```
# no heading
```

Two
---

### Three ###
"""
RST = """=====
Title
=====

Section
-------

Text, and a list of dashes:

- one

Sub
~~~

Another
-------
"""
HTML = (
    "<html><head><title>x</title><style>p {}</style></head><body><h1>Big <b>news</b></h1>"
    "<p>One <i>two</i>,\n   three.<br>Four</p><script>no()</script><ul><li>a</li><li>b</ul>"
    "<table><tr><td>c<td>d</table></body></html>"
)


def titles(document: Document) -> list[tuple[int, str]]:
    """Return level and title of each heading, and check that it stands where it says."""
    for one in document.headings:
        assert one.title.split()[0] in document.text[one.start : one.start + len(one.title) + 12]
    return [(one.level, one.title) for one in document.headings]


def test_markdown_headings() -> None:
    """Both forms count; front matter, and code that looks like a heading, do not."""
    document = markdown(MARKDOWN)
    assert document.text == MARKDOWN
    assert titles(document) == [(1, "One"), (2, "Two"), (3, "Three")]
    assert document.text[document.headings[0].start :].startswith("# One")


def test_headings_in_quotations_and_lists() -> None:
    """They are not of what comes after them."""
    document = markdown("# Guide\n\n> # Said\n\n1. # Item\n\n## Use\n\nwords")
    assert titles(document) == [(1, "Guide"), (2, "Use")]


def test_restructured_headings() -> None:
    """Levels follow the signs in the order in which they come."""
    assert titles(restructured(RST)) == [
        (1, "Title"),
        (2, "Section"),
        (3, "Sub"),
        (2, "Another"),
    ]


def test_a_short_line_under_a_title() -> None:
    """Four signs are enough, as docutils has it; three of more are text."""
    found = restructured("Installation\n====\n\nLong words\n---\n\nToo\n---\n")
    assert titles(found) == [(1, "Installation"), (2, "Too")]


def test_html() -> None:
    """What a reader sees, in blocks, with the headings; nothing of the machinery."""
    document = html(HTML)
    assert document.text == "Big news\n\nOne two, three.\nFour\n\na\n\nb\n\n| c | d |"
    assert titles(document) == [(1, "Big news")]


def test_the_title_of_a_page() -> None:
    """It is a heading where the page has none of the first level; of a chapter it is the book's."""
    page = "<html><head><title>Tides\n of May</title></head><body><h2>High</h2>Words.</body></html>"
    document = html(page)
    assert titles(document) == [(1, "Tides of May"), (2, "High")]
    assert document.text == "Tides of May\n\nHigh\n\nWords."
    assert titles(html(page, xhtml=True)) == [(2, "High")]
    assert titles(html("<title> </title><svg><title>no</title></svg>Words.")) == []
    assert titles(html("<title>Logo</title><h1><img src=a></h1>Words.")) == [(1, "Logo")]
    assert html("<title>App</title><div id=root></div>").text == ""


def test_rows_of_tables() -> None:
    """A row stays together, whatever its cells are made of; a single cell lays out a page."""
    cells = "<td><p>Tea</p></td><td><div>1.40</div><ul><li>hot<li>cold</ul></td>"
    assert html(f"<table><tr>{cells}</table>").text == "| Tea | 1.40\nhot\ncold |"
    assert html("<table><tr><td>&nbsp;<td>Alone<td></table>").text == "Alone"
    page = "<table><tr><td><h1>Top</h1><p>One.</p><p>Two.</p></td></tr></table>Below."
    assert html(page).text == "Top\n\nOne.\n\nTwo.\n\nBelow."


def test_html_of_any_depth() -> None:
    """A page that nests a hundred thousand elements is read like any other."""
    assert html("<div>" * 100_000 + "deep").text == "deep"


def saved_docx(path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Top", 1)
    document.add_paragraph("First words.")
    document.add_table(1, 2).cell(0, 1).text = "cell"
    document.add_heading("Below", 2)
    document.add_paragraph("Last words.")
    document.save(path)


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def word_of(path: Path, body: str) -> Document:
    """Return what is read of a Word document with this body of XML."""
    import docx
    from docx.oxml import parse_xml

    document = docx.Document()
    for element in parse_xml(f"<w:body {WORD}>{body}</w:body>"):
        document.element.body.insert(-1, element)
    document.save(path)
    (found,) = read_documents(path, path.name, "text")
    assert isinstance(found, Document)
    return found


def run_of(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_word_is_read_whole(tmp_path: Path) -> None:
    """Tracked insertions, content controls, links, text boxes; not what was deleted."""
    box = f"<w:txbxContent><w:p>{run_of('boxed')}</w:p></w:txbxContent>"
    body = (
        f"<w:p>{run_of('one ')}<w:ins>{run_of('two ')}</w:ins>"
        "<w:del><w:r><w:delText>gone </w:delText></w:r></w:del>"
        f"<w:sdt><w:sdtContent>{run_of('three')}</w:sdtContent></w:sdt>"
        f"<w:r><w:tab/><w:t>four</w:t><w:br/><w:pict>{box}</w:pict></w:r></w:p>"
        "<w:sdt><w:sdtPr/><w:sdtContent>"
        f"<w:p><!-- no -->{run_of('five')}</w:p></w:sdtContent></w:sdt>"
    )
    found = word_of(tmp_path / "a.docx", body)
    assert found.text == "one two three\tfour\n\nboxed\n\nfive"


def test_the_title_of_a_word_document_is_above_its_headings(tmp_path: Path) -> None:
    """It is of the document; the headings of the first level stand beside each other."""
    styled = (("Title", "Lease"), ("Heading1", "Rent"), ("Heading1", "Notice"))
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr>{run_of(text)}</w:p>'
        for style, text in styled
    )
    found = titles(word_of(tmp_path / "a.docx", body))
    assert found == [(0, "Lease"), (1, "Rent"), (1, "Notice")]


def test_cells_of_word_are_read_once(tmp_path: Path) -> None:
    """Also what goes over columns, and tables within cells; what goes over rows is in each."""

    def cell(said: str, width: int = 1, more: str = "") -> str:
        return f'<w:tc><w:tcPr><w:gridSpan w:val="{width}"/>{more}</w:tcPr>{said}</w:tc>'

    def row(*cells: str) -> str:
        return f"<w:tr>{''.join(cells)}</w:tr>"

    def said(text: str) -> str:
        return f"<w:p>{run_of(text)}</w:p>"

    inner = f"<w:tbl>{row(cell(said('in')), cell(said('ner')))}</w:tbl>"
    rows = row(cell(said("merged"), 2)) + row(cell(said("left") + inner), cell(said("right")))
    found = word_of(tmp_path / "a.docx", f"<w:tbl>{rows}</w:tbl>")
    assert found.text == "merged\n\n| left\nin \t ner | right |"
    start, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    cities = [(said("Germany"), start, "Berlin"), ("<w:p/>", on, "Hamburg")]
    rows = "".join(row(cell(country, 1, how), cell(said(city))) for country, how, city in cities)
    found = word_of(tmp_path / "b.docx", f"<w:tbl>{rows}</w:tbl>")
    assert found.text == "| Germany | Berlin |\n\n| Germany | Hamburg |"


def test_a_document_that_repeats_itself_without_end(tmp_path: Path) -> None:
    """A few KB may say 4 GB: a cell of Word merged over many rows, a chapter named many times."""
    start, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    more = f"<w:tr><w:tc><w:tcPr>{on}</w:tcPr><w:p/></w:tc></w:tr>" * 500
    first = (
        f"<w:tr><w:tc><w:tcPr>{start}</w:tcPr><w:p>{run_of('a cat ' * 50_000)}</w:p></w:tc></w:tr>"
    )
    table = f"<w:tbl>{first}{more}</w:tbl>"
    for body in (table, f"<w:tbl><w:tr><w:tc>{table}</w:tc></w:tr></w:tbl>"):
        with pytest.raises(DataError, match="has more than 100,000,000 characters"):
            word_of(tmp_path / "a.docx", body)
    saved_epub(tmp_path / "a.epub", chapters=10_000)
    (book,) = read_documents(tmp_path / "a.epub", "a.epub", "text")
    assert isinstance(book, Document)
    assert titles(book) == [(1, "Top"), (2, "Below")]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p><ruby>学<rp>(</rp><rt>がっ</rt>校<rt>こう</rt></ruby>へ</p>", "学校へ"),
        ("<x-foo>cus</x-foo>tom <button>But</button>ton", "custom Button"),
        ("a <math><mi>x</mi><mo>+</mo><mn>1</mn></math> b", "a x+1 b"),
        ("Donau&shy;dampf&#8203;schiff", "Donaudampfschiff"),
        ("<p>one<dialog>two</dialog>three", "one\n\ntwo\n\nthree"),
    ],
)
def test_words_of_a_page_stay_whole(page: str, text: str) -> None:
    """Only what stands on lines of its own divides them."""
    assert html(page).text == text


def test_a_heading_may_hold_blocks() -> None:
    """The first is the heading; one that is never closed takes no more of the page."""
    found = html("<h1><div>Big</div><p>title</p></h1><p>text</p><h2><p>Small</p></h2>")
    assert titles(found) == [(1, "Big"), (2, "Small")]
    assert found.text == "Big\n\ntitle\n\ntext\n\nSmall"
    found = html("<h1>Title<p>One.</p><p>Two.</p><div>Three</div>")
    assert (titles(found), found.text) == ([(1, "Title")], "Title\n\nOne.\n\nTwo.\n\nThree")
    empty = html('<h1 id="x"/><p>One.</p><p>Two.</p>', xhtml=True)
    assert (titles(empty), empty.text) == ([], "One.\n\nTwo.")


def test_a_comment_has_no_heading() -> None:
    """Nor has any other block of HTML in Markdown."""
    found = markdown("# A\n\ntext\n\n<!--\n# Hidden\n-->\n\n<pre>\n# code\n</pre>\n\n## B\n")
    assert titles(found) == [(1, "A"), (2, "B")]


@pytest.mark.parametrize("front", ["", "---\ntitle: x\n---\n"])
def test_a_lone_carriage_return_ends_a_line_of_markdown(front: str) -> None:
    """As CommonMark has it; what follows keeps its headings, at their places."""
    found = markdown(f"{front}# A\n\n10 %\r20 %\r{'x' * 9}\r\n\n# B\n\nText.\n")
    assert titles(found) == [(1, "A"), (1, "B")]
    assert [found.text[one.start :][:3] for one in found.headings] == ["# A", "# B"]


@pytest.mark.parametrize("name", ["a.html", "a.rst", "a.py", "a"])
def test_files_in_utf_16_are_documents(name: str, tmp_path: Path) -> None:
    """So that they are read, or that it is told why they are not, as of what only claims to be."""
    path = tmp_path / name
    path.write_text("<p>ça va</p>", encoding="utf-16")
    assert is_document(path)
    path.write_bytes(b"\x7fELF\0\0")
    assert is_document(path) is (name != "a")


def saved_epub(path: Path, chapters: int = 1) -> None:
    container = '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>'
    spine = '<itemref idref="a"/>' * chapters
    package = (
        '<package><manifest><item id="b" href="b%20c.xhtml"/><item id="a" href="a.xhtml"/>'
        f"</manifest><spine>{spine}"
        '<itemref idref="b"/></spine></package>'
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("META-INF/container.xml", container)
        book.writestr("o/p.opf", package)
        book.writestr("o/a.xhtml", "<h1>Top</h1><p>First words.</p>")
        book.writestr("o/b c.xhtml", "<h2>Below</h2><p>Last words.</p>")


def epub_of(path: Path, kept: str, locked: str) -> None:
    """Save a book with one of its two chapters, and a note of what is encrypted."""
    saved_epub(path)
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    reference = f'<enc:CipherReference xmlns:enc="enc" URI="{locked}"/>'
    parts["META-INF/encryption.xml"] = f"<encryption>{reference}</encryption>".encode()
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            if not name.endswith(".xhtml") or name == kept:
                book.writestr(name, data)


def test_a_book_that_lacks_a_chapter(tmp_path: Path) -> None:
    """What is there is read; fonts may be encrypted, a chapter may not."""
    epub_of(tmp_path / "a.epub", "o/b c.xhtml", "o/font.otf")
    (document,) = read_documents(tmp_path / "a.epub", "a.epub", "text")
    assert isinstance(document, Document)
    assert titles(document) == [(2, "Below")]
    epub_of(tmp_path / "a.epub", "o/b c.xhtml", "o/b%20c.xhtml")
    with pytest.raises(DataError, match="is encrypted"):
        list(read_documents(tmp_path / "a.epub", "a.epub", "text"))
    epub_of(tmp_path / "a.epub", "none", "o/font.otf")
    with pytest.raises(DataError, match="lacks its chapters"):
        list(read_documents(tmp_path / "a.epub", "a.epub", "text"))


def saved_notebook(path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Top\n", "First words."]},
        {"cell_type": "code", "source": "x = 1", "outputs": []},
        {"cell_type": "markdown", "source": "## Below\nLast words."},
    ]
    path.write_text(json.dumps({"cells": cells}))


def pdf_of(*pages: str) -> bytes:
    """Return a PDF with these lines of text on its pages."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for i, text in enumerate(pages):
        lines = text.replace("\n", ") Tj T* (")
        stream = f"BT /F 12 Tf 14 TL 9 700 Td ({lines}) Tj ET"
        objects.append(
            f"<</Type/Page/Parent 2 0 R/Contents {5 + 2 * i} 0 R/Resources<</Font<</F 3 0 R>>>>>>"
        )
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
    content, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(content))
        content += f"{number} 0 obj{one}endobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    return (
        f"{content}xref\n0 {count}\n0000000000 65535 f \n{table}"
        f"trailer<</Root 1 0 R/Size {count}>>\nstartxref\n{len(content)}\n%%EOF\n"
    ).encode()


@pytest.mark.parametrize(
    ("name", "save"),
    [("a.docx", saved_docx), ("a.epub", saved_epub), ("a.ipynb", saved_notebook)],
)
def test_packed_documents(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    """Word, EPUB and Jupyter give their text in its order, with the headings."""
    save(tmp_path / name)
    (document,) = read_documents(tmp_path / name, name, "text")
    assert isinstance(document, Document)
    assert titles(document) == [(1, "Top"), (2, "Below")]
    assert document.text.index("First words.") < document.text.index("Last words.")


def test_rows_that_are_bare_strings(tmp_path: Path) -> None:
    """They are their own text; the first object still tells whether the column is there."""
    path = tmp_path / "a.jsonl"
    path.write_text('"bare"\n{"text": "in a column", "n": 1}\n"again"\n{"n": 2}\n')
    first, second, third, fourth = read_documents(path, "a.jsonl", "text")
    assert first == Document("bare", line=1, columns={})
    assert second == Document("in a column", line=2, columns={"n": 1})
    assert third == Document("again", line=3, columns={})
    assert isinstance(fourth, BadRow)
    with pytest.raises(DataError, match='jsonl:2: no column "body"'):
        list(read_documents(path, "a.jsonl", "body"))


@pytest.mark.parametrize("name", ["nul.txt", "nul.csv"])
def test_a_binary_file_gets_no_advice_that_cannot_be_taken(tmp_path: Path, name: str) -> None:
    """There is no option for the format of a file that is indexed."""
    (tmp_path / name).write_bytes(b"PAR1 a\0b and more of what is no text")
    with pytest.raises(DataError, match=r"a binary file.* let its name end in \.parquet"):
        list(read_documents(tmp_path / name, name, "text"))


def test_pdf_pages(tmp_path: Path) -> None:
    """A PDF knows on which page each text stands."""
    (tmp_path / "a.pdf").write_bytes(pdf_of("First words.", "Last words."))
    (document,) = read_documents(tmp_path / "a.pdf", "a.pdf", "text")
    assert isinstance(document, Document)
    assert document.text == "First words.\n\nLast words."
    assert document.pages == (0, document.text.index("Last"))


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ("more infor-\nmation, and more", "more information,\nand more"),
        ("more infor-\nmation\nin lines", "more information\nin lines"),
        ("infor-\nmation-\nal", "informational"),
        ("a well-\nknown word", "a wellknown\nword"),
        ("a well-\nknown, well-known word", "a well-known,\nwell-known word"),
        ("well, it is well-\nknown and known", "well, it is well-known\nand known"),
        ("over, all over-\nall, all overall", "over, all overall,\nall overall"),
        ("state-of-the-\nart, mother-in-\nlaw", "state-of-the-art,\nmother-in-law"),
        ("state-\nof-the-art, state-of-the-art", "state-of-the-art, state-of-the-art"),
        ("short-\nand long-term", "short-\nand long-term"),
        ("with-\nin, within", "within,\nwithin"),
        ("CD-\nROM, OP-\nTIONAL OPTIONAL", "CD-ROM,\nOPTIONAL\nOPTIONAL"),
        ("Jean-\nPaul and A-\nb and 1-\n2", "Jean-\nPaul and A-\nb and 1-\n2"),
        ("at the end-\n- of a line", "at the end-\n- of a line"),
    ],
)
def test_words_divided_between_lines_of_a_pdf(tmp_path: Path, lines: str, read: str) -> None:
    """They are whole again, unless the hyphen is their own as far as the document tells."""
    (tmp_path / "a.pdf").write_bytes(pdf_of("First.", lines))
    (document,) = read_documents(tmp_path / "a.pdf", "a.pdf", "text")
    assert isinstance(document, Document)
    assert document.text == f"First.\n\n{read}"


def encrypted_pdf(path: Path, password: str = "password", algorithm: str = "RC4-128") -> None:
    import pypdf

    writer = pypdf.PdfWriter()
    writer.append(pypdf.PdfReader(io.BytesIO(pdf_of("secret"))))
    writer.encrypt(password, "owner", algorithm=algorithm)
    writer.write(path)


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_that_anyone_may_open(tmp_path: Path, algorithm: str) -> None:
    """Only changing it takes a password: it is read. With one to open it, that is told."""
    encrypted_pdf(tmp_path / "a.pdf", "", algorithm)
    (document,) = read_documents(tmp_path / "a.pdf", "a.pdf", "text")
    assert isinstance(document, Document)
    assert document.text == "secret"
    encrypted_pdf(tmp_path / "a.pdf", algorithm=algorithm)
    with pytest.raises(DataError, match="is encrypted: save it without a password"):
        list(read_documents(tmp_path / "a.pdf", "a.pdf", "text"))


def scanned_pdf(path: Path) -> None:
    import pypdf

    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(path)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(600 << 20))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pdf", encrypted_pdf, "is encrypted"),
        ("a.pdf", scanned_pdf, "probably a scan"),
        ("a.pdf", b"%PDF-1.7 nothing", "damaged PDF"),
        ("a.pdf", b"", "is empty"),
        ("a.docx", b"no zip", "not a zip archive"),
        ("a.docx", b"\xd0\xcf\x11\xe0 old", "before 2007"),
        ("a.docx", bomb, "MB unpacked"),
        ("a.epub", b"PK\x05\x06" + bytes(18), "damaged EPUB"),
        ("a.ipynb", b"[1]", "no Jupyter notebook"),
        ("a.ipynb", b"{", "damaged notebook"),
        ("a.md", b" \n", "has no text"),
        ("a.md", b"caf\xe9", "not valid UTF-8"),
        ("a.txt", b"\xff\xfeh\x00", "is UTF-16"),
        ("a.html", b"<script>x</script>", "has no text"),
        ("a.csv", b"body\nx\n", "--field"),
        ("a.txt.gz", b"\x1f\x8bjunk", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, content: bytes | Callable[[Path], None], said: str
) -> None:
    """One line with the name of the file and what is wrong with it."""
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        list(read_documents(path, f"docs/{name}", "text"))
    assert str(caught.value).startswith(f"docs/{name}")
    assert "\n" not in str(caught.value)


def test_rows_are_documents_with_columns(tmp_path: Path) -> None:
    """A row keeps its line and its other columns; a bad one does not end the file."""
    (tmp_path / "a.csv").write_text("text,year\nOne.,2020\n,2021\nThree.,2022\n")
    one, bad, three = read_documents(tmp_path / "a.csv", "a.csv", "text")
    assert one == Document("One.", line=2, columns={"year": "2020"})
    assert isinstance(bad, BadRow) and str(bad) == "a.csv:3: empty text"
    assert isinstance(three, Document) and three.line == 4


@pytest.mark.parametrize(
    ("name", "content", "fits"),
    [
        ("a.py", b"x = 1", True),
        ("a", b"plain", True),
        ("a.png", b"\x89PNG\x00", False),
        ("a.pdf", b"\x00", True),
        ("a.weird", b"", True),
        ("a.weird", b"\0", False),
        ("a.xlsx", b"PK\0", True),
    ],
)
def test_what_looks_like_text_is_a_document(
    tmp_path: Path, name: str, content: bytes, fits: bool
) -> None:
    """Known suffixes and text of any other; not what has zero bytes."""
    (tmp_path / name).write_bytes(content)
    assert is_document(tmp_path / name) is fits
