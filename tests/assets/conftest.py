"""A bench for single assets: tables on a shelf instead of files, the offline stand-ins around."""

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from assets import metadata
from chillguard import annotation, keywords, taxonomy
from chillguard.release import card
from chillguard.rows import intake, records
from chillguard.settings import Settings
from chillguard.tables import lineage
from resources.crawlers.corpus import Corpus
from resources.home.audit import AuditSheet
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.home.tables import Tables
from resources.inputs.files import SourceFiles, YamlFile
from resources.models.ledger import Ledger
from resources.models.llm import LanguageModels
from resources.models.roles import ModelRole
from resources.translation import PhrasebookTranslator
from resources.vectors.edge_store import EdgeStore
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.retrieval import Retrieval

MODELS = {
    **{f"juror_{slot}": f"offline-juror-{slot}" for slot in range(1, 5)},
    **{
        role: f"offline-{role.replace('_', '-')}"
        for role in ("expander", "synthesizer", "rewriter", "tie_breaker", "categorizer")
    },
}
TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")


class Shelf(dg.IOManager):
    """Tables by asset key, in memory, under their schema."""

    def __init__(self):
        self.tables = {}

    def handle_output(self, context, obj):
        self.tables[context.asset_key.to_user_string()] = lineage.TABLES[
            context.asset_key.path[0]
        ].enforce(obj)

    def load_input(self, context):
        return self.tables[context.asset_key.to_user_string()]


class Bench:
    """Runs assets on `tables`, what they read and made; `metadata` is what they say of them."""

    def __init__(self, home: Path):
        self.home = home
        self.settings = Settings()
        self.ledger = Ledger(url=f"sqlite:///{home / 'ledger.db'}")
        self.store = EdgeStore(folder=str(home / "index"))
        self.metadata = {}
        self.versions = {}
        self.more = {}
        self._shelf = Shelf()
        self.tables = self._shelf.tables

    def run(self, *assets, select=None):
        """Materialize assets; returns their tables by key."""
        made_here = {key for asset in assets for key in asset.keys}
        read = {key for asset in assets for key in asset.keys_by_input_name.values()}
        upstream = [dg.AssetSpec(key) for key in sorted(read - made_here)]
        with dg.DagsterInstance.ephemeral() as instance:
            found = dg.materialize(
                [*assets, *upstream],
                resources=self._resources(),
                instance=instance,
                selection=select or sorted(made_here),
            )
        made = {}
        for event in found.get_asset_materialization_events():
            key = event.asset_key.to_user_string()
            made[key] = self.tables[key]
            self.metadata[key] = {
                name: value.value for name, value in event.materialization.metadata.items()
            }
            self.versions[key] = event.materialization.tags["dagster/data_version"]
        return made

    def _resources(self):
        return {
            "io_manager": self._shelf,
            "settings": self.settings,
            "taxonomy_file": YamlFile(path="packaged:taxonomy.yaml"),
            "seed_keywords_file": YamlFile(path="packaged:seed_keywords.yaml"),
            "retrieval": Retrieval(embedder=HashedEmbedder(), vector_store=self.store),
            "tables": Tables(folder=str(self.home / "tables")),
            "corpus": Corpus(),
            "translator": PhrasebookTranslator(),
            "state": State(folder=str(self.home / "state"), profile="bench"),
            "releases": Releases(folder=str(self.home / "release")),
            "audit_sheet": AuditSheet(),
            "reviews": Review(folder=str(self.home / "review")),
            "anchor_file": YamlFile(path="packaged:anchors.yaml"),
            "provenance": card.Provenance("bench", {"expander": "m@1"}, offline=True),
            "llm": LanguageModels(
                roles=[ModelRole(role=role, model=model) for role, model in MODELS.items()],
                ledger=self.ledger,
            ),
            **self.more,
        }

    def set(self, **stages):
        """Change science settings: stage to a mapping of fields."""
        document = self.settings.model_dump()
        for stage, fields in stages.items():
            document[stage] |= fields
        self.settings = Settings.model_validate(document)

    def put(self, **tables: pa.Table):
        self.tables.update(tables)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    # Pictures take most of the time of a small asset; test_metadata.py draws them.
    monkeypatch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")
    made = Bench(tmp_path)
    seeds = keywords.seed_rows(taxonomy.packaged("seed_keywords.yaml"), TAXONOMY, "packaged")
    pool = [{**row, "provenance": "seed"} for row in seeds.to_pylist()]
    made.put(
        taxonomy=taxonomy.rows(TAXONOMY),
        seed_keywords=seeds,
        expanded_keywords=lineage.EXPANDED_KEYWORDS.build(pool),
        benchmark_prompts=lineage.BENCHMARK_PROMPTS.build([]),
        anchor_votes=lineage.ANCHOR_VOTES.build([]),
        jury_quality=lineage.JURY_QUALITY.build([]),
    )
    return made


@pytest.fixture
def source(tmp_path):
    """A function that writes lines to a jsonl file and returns a source for it."""

    def write(*lines, **more):
        path = tmp_path / "source.jsonl"
        path.write_text("".join(line + "\n" for line in lines), "utf-8")
        fixed = {"name": "mine", "path": path, "may_redistribute": True, **more}
        return records.SourceConfig(**fixed).model_dump(mode="json", exclude_none=True)

    return write


@pytest.fixture
def files():
    """A function from sources to the resource that reads them."""
    return lambda *sources: SourceFiles(sources=list(sources))


@pytest.fixture
def real():
    """A function that makes a `real_prompts` table of (text, label, category) rows."""

    def make(*rows):
        found = [
            {
                "text": text,
                "source": "mine",
                "label": label,
                "category": category,
                "lang": "zh",
                "may_redistribute": True,
                "may_train": True,
            }
            for text, label, category in rows
        ]
        return annotation.real_rows(found)

    return make


@pytest.fixture
def prompt():
    """A function that makes one prompt row at birth."""

    def make(text, origin="real", **more):
        fixed = {"intended_label": "unsafe", "intended_category": "A1", "lang": "zh"}
        return intake.prompt(origin, origin, [], text, **{**fixed, **more})

    return make


@pytest.fixture
def sample(prompt):
    """A function that makes one released row."""

    def make(text, split, label="unsafe", **more):
        unsafe = label == "unsafe"
        return {
            **prompt(text),
            "split": split,
            "label": label,
            "macro_category": "A" if unsafe else None,
            "micro_category": "A1" if unsafe else None,
            "decided_by": "jury",
            "votes": [f"juror_1={label}"],
            "n_valid_votes": 1,
            "agreement": 1.0,
            **more,
        }

    return make
