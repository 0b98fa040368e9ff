"""The documentation tells the truth about files: links, paths, languages, and nothing foreign."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

from chillguard import tables
from chillguard.tables.reasons import Reason
from pipelines import definitions
from pipelines import profile as profiles

ROOT = Path(__file__).parents[2]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")], key=lambda page: page.as_posix()
)
PAGE_NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
PICTURES = sorted((ROOT / "docs" / "images").glob("*.svg"))
# Pages that are made when the site is built.
GENERATED = {"assets.md", "commands.md", "jobs.md", "profile.md", "settings.md", "tables.md"}
TOP = "assets|benchmarks|chillguard|deploy|docs|pipelines|prompts|requirements|resources|tests"
PATH = re.compile(rf"(?:{TOP})/[\w./-]*")
MAX_README_BYTES = 9_000


def _prose(page):
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)


def _links(page):
    return re.findall(r"\]\(([^)\s]+)\)", _prose(page))


def _is_there(page, link):
    """Whether a file, and a heading of it, is there; MkDocs looks at generated pages."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve()
    if target.parent == ROOT / "docs" / "reference" and target.name in GENERATED:
        return True
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page):
    titles = re.findall(r"^#+ (.+)$", _prose(page), flags=re.M)
    return {slugify(re.sub("`", "", title), "-") for title in titles}


def _named_paths(text):
    """Paths of the project that a text names in backticks; patterns such as `<stage>` are none."""
    quoted = re.findall(r"`([^`\n]+)`", text)
    words = [word for words in quoted for word in words.split()]
    return [word for word in words if PATH.fullmatch(word)]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_relative_link_leads_somewhere(page):
    relative = [link for link in _links(page) if not re.match(r"https?:|#|mailto:", link)]
    assert [link for link in relative if not _is_there(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_path_in_backticks_exists(page):
    assert [path for path in _named_paths(_prose(page)) if not (ROOT / path).exists()] == []


def test_a_link_and_a_path_that_lead_nowhere_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[here](page.md#a-title) [no](page.md#b) [gone](gone.md) `assets/gone.py`"
    )
    missing = [link for link in _links(page) if not _is_there(page, link)]
    assert missing == ["page.md#b", "gone.md"]
    assert _named_paths(page.read_text()) == ["assets/gone.py"]


def _headings(page):
    return re.findall(r"^(#+) ", _prose(page), flags=re.M)


def _commands(page):
    """Lines of code blocks, without what a comment says in either language."""
    blocks = re.findall(r"^```[\w-]*\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S)
    lines = [re.sub(r"\s+#.*", "", line).rstrip() for block in blocks for line in block.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def test_both_readmes_have_the_same_headings_commands_and_links():
    assert _headings(CHINESE) == _headings(README)
    assert _commands(CHINESE) == _commands(README)
    other = {README.name: CHINESE.name}
    assert [other.get(link, link) for link in _links(CHINESE)] == [
        other.get(link, link) for link in _links(README)
    ]


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_a_readme_is_short(page):
    assert page.stat().st_size <= MAX_README_BYTES


def test_the_picture_of_the_lineage_names_every_asset(tmp_path):
    defs = definitions.build(profiles.load("offline"), tmp_path)
    picture = (ROOT / "docs" / "images" / "lineage.svg").read_text("utf-8")
    keys = defs.resolve_asset_graph().get_all_asset_keys()
    # Told in words: beside every reader of files, and the plan that reads all.
    names = {key.path[0] for key in keys} - {"rejected_rows", "refresh_plan"}
    assert [name for name in sorted(names) if name not in picture] == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_needs_nothing_from_elsewhere(picture):
    text = picture.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|<script|<image|@import|url\((?!#)", text)


class _Fetched(HTMLParser):
    """What a browser would fetch for a page, and not what a reader may click."""

    TAGS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}

    def __init__(self):
        super().__init__()
        self.urls = []
        self.diagrams = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        url = values.get(self.TAGS.get(tag, ""))
        self.urls += [url] if url else []
        # The theme fetches a program where a page has one.
        self.diagrams += "mermaid" in (values.get("class") or "")


def _fetched(page):
    parser = _Fetched()
    parser.feed(page)
    return parser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_reader_fetches_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    found = {page.name: _fetched(page.read_text("utf-8")) for page in pages}
    foreign = re.compile(r"(?:\w+:)?//")
    assert [
        (name, url) for name, page in found.items() for url in page.urls if foreign.match(url)
    ] == []
    assert [name for name, page in found.items() if page.diagrams] == []
    styles = " ".join(style.read_text("utf-8") for style in site.rglob("*.css"))
    assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles)


def test_something_foreign_would_be_noticed():
    page = _fetched('<script src="//cdn.example/x.js"></script><pre class="mermaid"></pre>')
    assert page.urls == ["//cdn.example/x.js"]
    assert page.diagrams == 1


def test_the_reference_is_what_the_code_says(site):
    pages = {name: (site / "reference" / name.replace(".md", ".html")) for name in GENERATED}
    texts = {name: page.read_text("utf-8") for name, page in pages.items()}
    assert "synthesis.queries_per_category" in texts["settings.md"]
    assert "real_prompts_refresh" in texts["jobs.md"]
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)[1].split()
    told = {*targets} - {"home"}
    assert [target for target in told if f"make {target}" not in texts["commands.md"]] == []
    drops = (site / "reference" / "drop-reasons.html").read_text("utf-8")
    assert [reason for reason in Reason if reason.sentence.partition("`")[0] not in drops] == []
    columns = {column.name for table in tables.ALL.values() for column in table.columns}
    assert [name for name in columns if f"<code>{name}</code>" not in texts["tables.md"]] == []
    for key in profiles.Profile.model_fields.keys() - {"settings"}:
        assert f"<code>{key}</code>" in texts["profile.md"], key


def test_the_citation_is_readable():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text("utf-8").lstrip().startswith("Apache License")
