"""`make trace PROMPT=<id>`: where a prompt comes from and what became of it.

Texts are masked unless `--text` is given: a terminal is easily shared.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from chillguard import tables, taxonomy
from chillguard.lineage import trace
from chillguard.release import card
from chillguard.rows import records
from chillguard.synthesis import rag
from pipelines import profile as profiles
from resources.home.publishing import Publishing
from resources.home.releases import Releases
from resources.home.state import State
from resources.home.tables import Tables
from resources.inputs import origins
from resources.inputs.files import YamlFile
from resources.models.ledger import Ledger


def main() -> None:
    """Print the walk; the exit status is 1 when there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt_id", help="id of a prompt in any table or release")
    parser.add_argument("--text", action="store_true", help="show texts unmasked")
    given = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    profile, home = profiles.active(), profiles.home()
    ledger = Ledger(url=profile.ledger_url(home))
    try:
        steps = walker(profile).walk(given.prompt_id)
    except trace.DeadEnd as error:
        sys.exit(
            f"trace: {error}; look it up in {profile.tables_url(home)}, or run the refresh first"
        )
    except dg.Failure as failure:
        sys.exit(f"trace: {failure.description}")
    texts, calls = tables.where("holds_text"), tables.where("is_call_key")
    for step in steps:
        sys.stdout.write(f"{step.table} {step.id}\n")
        for name, value in step.facts.items():
            masked = name in texts and not given.text
            told = _printable(card.mask(value) if masked else value)
            call = f"\n{'':22}{_call(ledger, value)}" if name in calls else ""
            sys.stdout.write(f"  {name:<20}{told}{call}\n")
        for place in _places(profile, step):
            sys.stdout.write(f"  {'read from':<20}{_printable(place)}\n")
    for place, side in _ends(home, given.prompt_id):
        sys.stdout.write(f"{place}\n  {'split':<20}{side}\n")


def _places(profile: profiles.Profile, step: trace.Step) -> Iterator[str]:
    """The lines of files from which a prompt was read."""
    read: dict[str, Sequence[records.RowSource]] = {
        "real": profile.real_prompts,
        "public": profile.public_prompts,
    }
    sources, text = read.get(step.facts.get("origin", ""), ()), step.facts.get("text")
    if sources and text:
        codes = taxonomy.parse(*_taxonomy(profile)).codes
        yield from origins.lines(sources, step.facts["method"], text, codes)


def _taxonomy(profile: profiles.Profile) -> tuple[Any, str]:
    return YamlFile(path=profile.taxonomy).load(), profile.taxonomy


def _ends(home: Path, prompt_id: str) -> Iterator[tuple[str, str]]:
    """The releases and published copies that hold the prompt, and on which side."""
    releases = Releases(folder=str(home / "release"))
    for version, side in releases.sides_of(prompt_id).items():
        yield f"release {version}", side
    published = Publishing(folder=str(home / "public"), releases=releases)
    for folder in published.holding({prompt_id}):
        yield f"published {folder}", "see its files"


def walker(profile: profiles.Profile) -> trace.Walker:
    """A walker over the tables of the last run."""
    home = profiles.home()
    source = Tables(folder=profile.tables_url(home))
    made = {"/".join(key): table for key in source.made() if (table := source.read(*key))}
    state = State(folder=str(home / "state"), profile=profile.name)
    queries: dict[str, rag.Query] = {}
    if {"taxonomy", "expanded_keywords"} <= made.keys():
        known = taxonomy.from_rows(made["taxonomy"])
        pool, config = made["expanded_keywords"], profile.settings.synthesis
        found = rag.queries(pool, known, config, state.extra_queries())
        queries = {query.query_id: query for query in found}
    return trace.Walker(made, queries)


def _printable(value: object) -> str:
    """A value on one line, its control characters spelled out: crawled text may hold any."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(value))


def _call(ledger: Ledger, key: str) -> str:
    record: dict[str, Any] | None = ledger.record(key)
    if record is None:
        return "not in the ledger"
    return (
        f"{record['model']}@{record['revision']}, template {record['template']}, "
        f"{record['prompt_tokens']} + {record['completion_tokens']} tokens, {record['answered_at']}"
    )


if __name__ == "__main__":
    main()
