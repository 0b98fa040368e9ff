"""What the rewriter is asked: which source prompts and methods go into one call, and the request.

Which methods a prompt draws, and what becomes of an answer, is `chillguard.rewriting.rewrites`.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from chillguard import identity, taxonomy
from chillguard.calls import call, numbered
from chillguard.rewriting.methods import Method
from chillguard.tables import lineage
from chillguard.tables.rows import Prompt
from prompts import named, render

TEMPLATE = "rewriting/rewrite"
CallPer = Literal["method", "source", "texts"]
_CHUNK = 4096
# Places of sources in the table, and the methods by which they are rewritten in one call.
Group = tuple[tuple[int, ...], tuple[Method, ...]]


@dataclass(frozen=True)
class Job:
    """One call: the source prompts that it shows, and the methods by which it asks for them.

    Several sources share one method, label and macro category.
    """

    sources: tuple[Prompt, ...]
    methods: tuple[Method, ...]

    @property
    def row_id(self) -> str:
        """Name of the job in requests and outcomes."""
        ids = (*(row["prompt_id"] for row in self.sources), *(m.id for m in self.methods))
        return "/".join(ids)

    @property
    def asked(self) -> list[tuple[Prompt, Method]]:
        """What is asked for, in the order of its numbers in the answer."""
        return [(source, method) for source in self.sources for method in self.methods]

    @property
    def key(self) -> str:
        """What the numbers of an answer in JSON count."""
        return "source" if len(self.sources) > 1 else "method"


def macro_of(code: str | None, categories: taxonomy.Taxonomy) -> taxonomy.MacroCategory | None:
    """The macro category of a micro code; None for none."""
    return categories.macro_of[code] if code else None


def groups(
    annotated: pa.Table,
    drawn: Sequence[tuple[Method, ...]],
    categories: taxonomy.Taxonomy,
    call_per: CallPer,
    texts_per_call: int,
) -> Iterator[Group]:
    """What each call asks for; `drawn` are the methods of each source that need a model."""
    if call_per == "source":
        yield from (((place,), found) for place, found in enumerate(drawn) if found)
    elif call_per == "method":
        yield from (((place,), (one,)) for place, found in enumerate(drawn) for one in found)
    else:
        names = ("family_id", "intended_label", "intended_category")
        columns = list(zip(*(annotated[name].to_pylist() for name in names), strict=True))
        alike: dict[tuple[Method, str, str], list[int]] = defaultdict(list)
        for place, found in enumerate(drawn):
            _, label, code = columns[place]
            macro = macro_of(code, categories)
            for one in found:
                alike[one, label, macro.code if macro else ""].append(place)
        for (method, *_), places in alike.items():
            hashes = {identity.hash_order(method.id, columns[place][0]): place for place in places}
            for group in _packed(hashes, texts_per_call):
                yield group, (method,)


def _packed(places: Mapping[bytes, int], most: int) -> Iterator[tuple[int, ...]]:
    """Places in the order of their hashes, at most so many together.

    A hash may end its group, so that one that comes or goes moves the groups of a few others only.
    """
    group: list[int] = []
    for key, place in sorted(places.items()):
        group.append(place)
        if len(group) == most or key[-1] % (2 * most) == 0:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def shape(group: Group) -> tuple[int, str]:
    """How many prompts a call asks for, and what their numbers count."""
    places, found = group
    return len(places) * len(found), "source" if len(places) > 1 else "method"


def jobs(annotated: pa.Table, wanted: Iterator[Group]) -> Iterator[Job]:
    """The calls with the rows of their sources, a few thousand in memory at a time."""
    while some := list(itertools.islice(wanted, _CHUNK)):
        places = sorted({place for of_group, _ in some for place in of_group})
        rows = dict(
            zip(places, lineage.ANNOTATED_PROMPTS.rows(annotated.take(places)), strict=True)
        )
        for of_group, found in some:
            yield Job(tuple(rows[place] for place in of_group), found)


def requests(
    wanted: Iterable[Job],
    categories: taxonomy.Taxonomy,
    layout: numbered.Layout,
    sampling: call.Sampling,
) -> Iterator[call.ChatRequest]:
    """One request per job."""
    for job in wanted:
        first = job.sources[0]
        values = {
            "label": first["intended_label"],
            "macro": macro_of(first["intended_category"], categories),
            "methods": job.methods,
            "texts": [source["text"] for source in job.sources],
            "layout": layout,
        }
        yield call.ChatRequest(
            row_id=job.row_id,
            messages=call.messages(render(TEMPLATE, values)),
            sampling=sampling,
            answer_schema=numbered.answer_schema(len(job.asked), layout, job.key),
            template=named(TEMPLATE),
        )
