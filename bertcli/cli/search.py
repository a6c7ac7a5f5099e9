"""`bertcli search`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertcli.cli.bulk import answer_all, hashes_of
from bertcli.cli.index.open import IndexOption, note_state, open_index, unknown_columns
from bertcli.cli.options import BulkFlags, InputFlags, ModelFlags, OutputFlags, Texts, grouped
from bertcli.cli.recipe import Incoming, choose_checkpoint, load_model, read_items, warn
from bertcli.errors import CheckpointError, RecordError, UsageError
from bertcli.index.places import place_of
from bertcli.outputs.formats import OutputFormat, choose_format
from bertcli.records import BadRecord, Item, Record
from bertcli.results import Answer, EmbedResult, Reading, SearchResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertcli.checkpoints.layout import Checkpoint
    from bertcli.index.folder import IndexFolder
    from bertcli.index.query import Query
    from bertcli.index.refine import Wanted
    from bertcli.index.where import Filter
    from bertcli.results import Hit
    from bertcli.tasks.embed import Embed
    from bertcli.tasks.rerank import CrossEncoder

RERANKED = 50
"""How many passages a cross-encoder reads for each query, at least."""
CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
OF_PAIRS = re.compile(r"relevan|entail|^label_\d+$", re.IGNORECASE)
"""What a cross-encoder calls its labels, if it has several, or names that nobody gave."""
OF_RELEVANCE = re.compile(r"relevan|entail", re.IGNORECASE)
"""How the label begins that counts, of several; the last one where none begins so."""


class Mode(StrEnum):
    """What a passage is found by."""

    HYBRID = "hybrid"
    DENSE = "dense"
    KEYWORD = "keyword"


class Group(StrEnum):
    """What found passages are put together by."""

    PATH = "path"


ModeOption = Annotated[
    Mode, typer.Option(help="By meaning and words fused, by meaning alone, or by words alone.")
]


@dataclass(frozen=True, slots=True)
class FindFlags:
    """Which of the passages found are shown, and how much of each."""

    top_k: Annotated[int, typer.Option("-k", "--top-k", min=1, help="Passages per query.")] = 10
    mode: ModeOption = Mode.HYBRID
    where: Annotated[
        str | None, typer.Option(help="Only documents for whose columns this holds.")
    ] = None
    min_score: Annotated[
        float | None,
        typer.Option(min=-1, help="Only passages of at least this cosine; by words, BM25."),
    ] = None
    per_file: Annotated[
        int | None, typer.Option(min=1, help="At most so many passages of a document.")
    ] = None
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Near-duplicates once, with where else they stand.")
    ] = False
    group_by: Annotated[Group | None, typer.Option(help="Put passages of a file together.")] = None
    around: Annotated[
        int, typer.Option("-C", "--context", min=0, help="Lines around each passage.")
    ] = 0
    more: Annotated[
        str | None, typer.Option(help="More like these of its results, by rank, as in 1,3.")
    ] = None
    less: Annotated[str | None, typer.Option(help="Less like these of its results.")] = None
    like: Annotated[
        Path | None, typer.Option(help="Passages like this file, beside or instead of a text.")
    ] = None
    rerank: Annotated[
        str | None, typer.Option(help="Cross-encoder that reads the best passages once more.")
    ] = None


@grouped
def search(
    context: typer.Context,
    source: InputFlags,
    model: ModelFlags,
    out: OutputFlags,
    bulk: BulkFlags,
    find: FindFlags,
    index: IndexOption,
    texts: Texts = None,
    prompt: Annotated[
        str, typer.Option(help="Text before every query; that of the passages is not used here.")
    ] = "",
) -> None:
    """Find the passages of an index that fit a query best, in meaning and in words.

    "Words in quotes" must be there together, whatever their endings; -words are kept out. The score
    is the cosine of query and passage; by words alone it is their BM25. With -q only the places are
    written; -f trec names documents by their column id or _id where it tells them apart, else by
    their path. A query that begins with - comes last, after --.

    --where takes comparisons, in, like, between, is null, and, or, not. A missing value is neither
    equal nor unequal, neither in nor not in; "not" before a condition turns that round too.

    \b
    bertcli search "how do I reset my password" --index my-notes
    bertcli search '"town hall" opening hours -christmas' --index my-notes -C 2
    bertcli search --index my-notes -- "-christmas opening hours"
    bertcli search "opening hours" --where "lang = 'en' and year >= 2023" --index my-notes
    bertcli search "reset password" --more 2,3 --less 1 --index my-notes
    bertcli search --like draft.md --per-file 1 -q --index my-notes
    bertcli search -i queries.txt --index my-notes -k 100 -f trec
    bertcli search --prompt "query: " "password reset" --index my-e5-index
    """
    from bertcli.index.folder import IndexFolder

    items = _queries(context, texts, source, find)
    if out.quiet and out.output_format is None and out.output is None:
        out = replace(out, output_format=OutputFormat.TEXT)
    _refuse_contradictions(find, prompt)
    if find.mode is Mode.KEYWORD:
        with IndexFolder.open(place_of(index)) as folder:
            note_state(folder, out.quiet)
            finder = _finder(folder, None, source, find, model, items.few, out)
            answer_all(context, partial(_by_words, finder=finder), items, out, bulk, finder.hashes)
        return
    folder, embed = open_index(index, model, items.few)
    with folder:
        note_state(folder, out.quiet)
        embed = replace(embed, prompt=prompt)
        finder = _finder(folder, embed, source, find, model, items.few, out)
        compute = partial(_by_meaning, finder=finder, embeds=items.options is not None)
        answer_all(context, compute, items, out, bulk, finder.hashes)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the passages for one query after the other, as a command line wants them.

    `shared_ids` are ids that do not tell documents apart; None where no TREC run is written.
    """

    folder: IndexFolder
    embed: Embed | None
    flags: FindFlags
    wanted: Wanted
    condition: Filter | None
    nothing_found: Callable[[], None]
    like: NDArray[np.float32] | None
    more: tuple[int, ...]
    less: tuple[int, ...]
    reranker: Checkpoint | None
    cross_encoder: CrossEncoder | None
    few: bool
    places_only: bool
    shared_ids: frozenset[str] | None

    def result(
        self, query: Query, vector: NDArray[np.float32] | None, reading: Reading
    ) -> SearchResult:
        """Return the passages for a query; raises RecordError where it cannot be read."""
        if self.more or self.less:
            vector = self._moved(query, vector)
        hits = self._found(query, vector, self.flags.top_k)
        if not hits:
            self.nothing_found()
        hits = self._marked(hits, query, vector)
        if self.flags.around:
            hits = self.folder.with_context(hits, self.flags.around)
        return SearchResult(
            query.text,
            tuple(hits),
            reading,
            grouped=self.flags.group_by is Group.PATH,
            places_only=self.places_only,
            reranked=self.cross_encoder is not None,
            deduped=self.flags.dedupe,
        )

    def hashes(self) -> dict[str, str]:
        """Return what tells its index and its cross-encoder from others."""
        return self.folder.hashes() | (hashes_of(self.reranker) if self.reranker else {})

    def reads(self, query: Query) -> bool:
        """Tell whether the model knows something of a query, and say so where it does not.

        It has one vector for all that it does not know, to which no passage is near by its meaning.
        """
        if self.embed is None:
            return False
        ids = self.embed.tokenizer.ids([query.meaning])[0]
        known = not len(ids) or bool((ids != self.embed.tokenizer.unknown_id).any())
        if not (known or self.places_only or self.flags.like):
            dense = self.flags.mode is Mode.DENSE
            found = "nothing is near it" if dense else "only its words count"
            warn(f'the model knows no sign of "{query.meaning}": {found}')
        return known

    def _hits(self, query: Query, vector: NDArray[np.float32] | None, wanted: Wanted) -> list[Hit]:
        from bertcli.index.refine import refined

        by_meaning = self.flags.mode is Mode.DENSE or not query.wanted
        if by_meaning:
            query = replace(query, wanted=())

        def fetch(count: int) -> list[Hit]:
            if vector is not None and by_meaning and not query.narrows:
                hits = self.folder.search(vector[None], count, self.condition)[0]
            else:
                hits = self.folder.find(query, vector, count, self.condition)
            return hits if self.shared_ids is None else self.folder.named(hits, self.shared_ids)

        ordered = by_meaning or vector is None
        return refined(fetch, wanted, self.folder.vectors_of_hits, ordered)

    def _found(self, query: Query, vector: NDArray[np.float32] | None, count: int) -> list[Hit]:
        """Return so many passages, in the order of the cross-encoder, if there is one.

        It reads the best ones of all before it counts how many are of one document, and the best of
        as many documents as are wanted.
        """
        wanted = replace(self.wanted, count=count)
        if self.cross_encoder is None:
            return self._hits(query, vector, wanted)
        from bertcli.index.refine import spread
        from bertcli.tasks.rerank import reranked

        whole = replace(wanted, count=max(count, RERANKED), per_file=None, once=False)
        hits = self._hits(query, vector, whole)
        if len(hits) == whole.count and len(spread(hits, wanted)) < count:
            read = {hit.id for hit in hits}
            hits += [hit for hit in self._hits(query, vector, wanted) if hit.id not in read]
        return spread(reranked(self.cross_encoder, query.meaning, hits), wanted)[:count]

    def _moved(
        self, query: Query, vector: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        """Return the query moved towards some of its own results, and away from others."""
        from bertcli.index.refine import rocchio

        if vector is None:
            return None
        ranks = max(self.more + self.less)
        hits = self._found(query, vector, max(ranks, self.flags.top_k))
        if ranks > len(hits):
            raise RecordError(f"--more or --less names result {ranks}, there are {len(hits)}")
        vectors = self.folder.vectors_of_hits(hits)
        chosen = ([rank - 1 for rank in one] for one in (self.more, self.less))
        return rocchio(vector, *(vectors[one] for one in chosen))

    def _marked(
        self, hits: Sequence[Hit], query: Query, vector: NDArray[np.float32] | None
    ) -> list[Hit]:
        """Return passages with the words that match and the sentence that fits best.

        Where no word matches it is chosen by its vector, if there are few queries.
        """
        from bertcli.index.snippets import best_sentence, matches

        found = matches([hit.text for hit in hits], query.wanted)
        marked = [
            replace(hit, matches=tuple(spans), sentence=best_sentence(hit.text, spans))
            for hit, spans in zip(hits, found, strict=True)
        ]
        if vector is None or self.embed is None or not self.few:
            return marked
        return [
            hit if hit.sentence else replace(hit, sentence=self._nearest_sentence(hit, vector))
            for hit in marked
        ]

    def _nearest_sentence(self, hit: Hit, vector: NDArray[np.float32]) -> tuple[int, int] | None:
        from bertcli.index.snippets import sentences

        spans = sentences(hit.text)
        if len(spans) < 2 or self.embed is None:
            return spans[0] if spans else None
        embed = replace(self.embed, prompt=self.folder.manifest.model.prompt)
        cosines = embed.vectors([hit.text[slice(*span)] for span in spans]) @ vector
        return spans[int(cosines.argmax())]


def _finder(
    folder: IndexFolder,
    embed: Embed | None,
    source: InputFlags,
    find: FindFlags,
    model: ModelFlags,
    few: bool,
    out: OutputFlags,
) -> Finder:
    """Return what finds passages as the options say."""
    from bertcli.index.refine import SAME, Wanted
    from bertcli.index.where import compile_where

    more, less = _ranks(find.more, "--more"), _ranks(find.less, "--less")
    if both := sorted(set(more) & set(less)):
        raise UsageError(f"--more and --less both name result {both[0]}: give it to one of them")
    condition = None if find.where is None else compile_where(find.where)
    like = None
    if find.like is not None and embed is not None:
        like = _vector_of_file(find.like, source.field, folder, embed)
    reranker = None if find.rerank is None else _reranker(find.rerank, model, out.quiet)
    to_run = choose_format(out.output_format, out.output, False) is OutputFormat.TREC
    return Finder(
        folder=folder,
        embed=embed,
        flags=find,
        wanted=Wanted(
            count=find.top_k,
            min_score=find.min_score,
            per_file=find.per_file,
            dedupe=SAME if find.dedupe else None,
            but=None if find.like is None else folder.name_of_file(find.like),
            once=to_run,
        ),
        condition=condition,
        nothing_found=unknown_columns(folder, condition),
        like=like,
        more=more,
        less=less,
        reranker=reranker,
        cross_encoder=None if reranker is None else _cross_encoder(reranker, model, few),
        few=few,
        places_only=out.quiet,
        shared_ids=folder.shared_ids() if to_run else None,
    )


def _refuse_contradictions(find: FindFlags, prompt: str) -> None:
    """Raise for options that cannot hold together."""
    if find.mode is not Mode.KEYWORD:
        if find.min_score is not None and find.min_score > 1:
            raise UsageError(f"--min-score {find.min_score:g}: a cosine is never more than 1")
        return
    if find.more or find.less or find.like:
        raise UsageError("--more, --less and --like go by meaning: leave out --mode keyword")
    if prompt:
        raise UsageError("--prompt is for the model, which --mode keyword has none of")


def _queries(
    context: typer.Context, texts: list[str] | None, source: InputFlags, find: FindFlags
) -> Incoming:
    """Return the queries; with --like alone one that has no words."""
    if find.like is not None and not texts and not source.inputs:
        return Incoming(iter([Record(0, find.like.name)]), few=True)
    items = read_items(context, texts, source)
    if (find.more or find.less) and not (items.few and texts and len(texts) == 1):
        raise UsageError("--more and --less go by the results of one query: give one TEXT")
    return items


def _by_meaning(items: Iterable[Item], finder: Finder, embeds: bool) -> Iterator[Answer]:
    """Yield each query with the passages that fit it in meaning, and in words unless dense.

    With --like alone nothing `embeds`: the file's vector is the query.
    """
    import numpy as np

    from bertcli.index.query import Query
    from bertcli.index.refine import rocchio
    from bertcli.tasks.run import answers

    if finder.embed is None or (finder.like is not None and not embeds):
        for item in items:
            if isinstance(item, Record):
                alone = Query(item.text, (), (), item.text)
                yield _answer(item, finder, alone, finder.like, Reading(0, 0))
        return
    asked: dict[int, Query] = {}
    for answer in answers(finder.embed, _meanings(items, asked)):
        record, result = answer.record, answer.result
        query = asked.pop(record.id, None)
        if isinstance(record, Record) and query is not None:
            record = replace(record, text=query.text)
        if not isinstance(result, EmbedResult) or query is None:
            yield replace(answer, record=record)
            continue
        vector = result.vector if finder.reads(query) else np.zeros_like(result.vector)
        if finder.like is not None:
            vector = rocchio(vector, finder.like[None], vector[None][:0])
        yield _answer(record, finder, query, vector, result.reading)


def _by_words(items: Iterable[Item], finder: Finder) -> Iterator[Answer]:
    """Yield each query with the passages that have its words; no model is loaded."""
    from bertcli.index.query import parse

    for item in items:
        if isinstance(item, BadRecord):
            yield Answer(item, error=item.error)
        elif isinstance(item, Record):
            query = parse(item.text)
            if not (query.wanted or finder.places_only):
                warn(f'"{item.text}" has no word to seek by: --mode dense goes by the meaning')
            yield _answer(item, finder, query, None, Reading(0, 0))


def _answer(
    record: Record | BadRecord,
    finder: Finder,
    query: Query,
    vector: NDArray[np.float32] | None,
    reading: Reading,
) -> Answer:
    try:
        with finder.folder.reading():
            return Answer(record, finder.result(query, vector, reading))
    except RecordError as error:
        return Answer(record, error=str(error))


def _meanings(items: Iterable[Item], asked: dict[int, Query]) -> Iterator[Item]:
    """Yield each query's meaning to be embedded, and note what it asks of the words."""
    from bertcli.index.query import parse

    for item in items:
        if isinstance(item, Record):
            asked[item.id] = parse(item.text)
            item = replace(item, text=asked[item.id].meaning)
        yield item


def _vector_of_file(
    path: Path, field: str, folder: IndexFolder, embed: Embed
) -> NDArray[np.float32]:
    """Return the mean of the vectors of a file's passages, length one.

    `field` is the column of the text where the file has rows.
    """
    from bertcli.cli.index.files import reader
    from bertcli.cli.index.open import cutter
    from bertcli.engine.pooling import normalised
    from bertcli.index.update import chunk_texts

    documents = list(reader(warn)(path, str(path), field))
    chunks = cutter(embed, folder.manifest.chunking)(documents)
    texts = chunk_texts(zip(documents, chunks, strict=True))
    if not texts:
        raise UsageError(f"--like {path}: there is no text in it")
    prompted = replace(embed, prompt=folder.manifest.model.prompt)
    return normalised(prompted.vectors(texts).mean(axis=0))


def _reranker(name: str, model: ModelFlags, quiet: bool) -> Checkpoint:
    """Return the checkpoint of --rerank, with a note where it looks like one of single texts.

    Raises CheckpointError where it scores no pairs.
    """
    from bertcli.engine.families import Head

    checkpoint = choose_checkpoint(replace(model, model=name, revision=None), "classify")
    if checkpoint.head is not Head.SEQUENCE:
        raise CheckpointError(
            f"--rerank {name}: is no cross-encoder: expected a checkpoint that scores pairs of "
            f"texts, such as {CROSS_ENCODER}"
        )
    labels = checkpoint.labels
    if len(labels) > 1 and not any(map(OF_PAIRS.search, labels)) and not quiet:
        named = ", ".join(labels if len(labels) < 5 else [*labels[:3], "…"])
        warn(
            f"--rerank {name}: its labels ({named}) say nothing of relevance or "
            f"entailment: expected a cross-encoder, such as {CROSS_ENCODER}, not a classifier of "
            "single texts; it orders the passages all the same"
        )
    return checkpoint


def _cross_encoder(checkpoint: Checkpoint, model: ModelFlags, few: bool) -> CrossEncoder:
    from bertcli.engine.families import Head
    from bertcli.tasks.rerank import CrossEncoder

    named = (i for i, label in enumerate(checkpoint.labels) if OF_RELEVANCE.match(label))
    return CrossEncoder(*load_model(checkpoint, Head.SEQUENCE, model, few), next(named, -1))


def _ranks(text: str | None, option: str) -> tuple[int, ...]:
    """Return the ranks in a list such as `1,3`."""
    if text is None:
        return ()
    try:
        ranks = tuple(int(part) for part in text.split(","))
    except ValueError:
        ranks = ()
    if not ranks or min(ranks) < 1:
        raise UsageError(f"{option} {text}: expected ranks of results, as in {option} 1,3")
    return ranks
