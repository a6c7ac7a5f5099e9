"""The tables of an index's SQLite file."""

from __future__ import annotations

from bertcli.index.words import TOKENIZER

WORDS_TABLE = f"CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize=\"{TOKENIZER}\")"

# Texts have a table of their own, so that conditions on documents never walk through them. A
# chunk's text is a slice of its document's. The full-text table keeps no copy of the text either;
# an entry is removed by handing in the same words again, see `words.full_text`. Its rowid is the
# chunk's id. `row` is apart from `id`, so that rows can be packed together without touching the
# words. A row of vectors belongs to one chunk, or it is in `unused`, from where it is taken when
# its text comes back; `crc` is the checksum of its bytes. `hash` tells the text that a chunk is
# found by, its own below its `context`. `removed` has the rows of files that a person took out of
# the index, which stay out when the file changes, and of each how many that are the same.
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    include TEXT NOT NULL,
    exclude TEXT NOT NULL,
    field TEXT NOT NULL
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    path TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER,
    hash BLOB NOT NULL,
    error TEXT
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    file INTEGER REFERENCES files (id),
    name TEXT NOT NULL,
    line INTEGER,
    hash BLOB NOT NULL,
    metadata TEXT NOT NULL,
    outline TEXT
);
CREATE TABLE texts (
    document INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    text TEXT NOT NULL
);
CREATE INDEX documents_by_name ON documents (name, line);
CREATE INDEX documents_by_file ON documents (file) WHERE file IS NOT NULL;
CREATE INDEX documents_by_hash ON documents (hash);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    row INTEGER NOT NULL UNIQUE,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    line INTEGER NOT NULL,
    heading TEXT,
    page INTEGER,
    hash BLOB NOT NULL,
    crc INTEGER NOT NULL,
    context TEXT
);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE INDEX chunks_by_hash ON chunks (hash);
CREATE TABLE unused (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX unused_by_hash ON unused (hash);
{WORDS_TABLE};
CREATE TABLE removed (
    file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    hash BLOB NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (file, hash)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('rows', 0), ('complete', 0), ('built', 0);
"""
