"""What reviewers get: Label Studio tasks with their labelling config, and plain CSV to fill in.

Holds raw text on purpose: it is what reviewers judge. It goes into these files only.
"""

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa

from chillguard.tables.table import LABELS
from chillguard.taxonomy import Taxonomy

TASKS, CONFIG, SHEET = "tasks.json", "labeling_config.xml", "queue.csv"
FILES = (TASKS, CONFIG, SHEET)
_READ = ("rank", "prompt_id", "text_hash", "text")
_TO_FILL_IN = ("label", "category", "reviewer", "date")
# Behind what is to be read and filled in, so that nobody is led by them.
_BEHIND = ("queue_reason", "votes")
# Spreadsheets take cells that begin so for formulas; Chinese ones also the full-width signs.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def files(queue: pa.Table, taxonomy: Taxonomy) -> dict[str, bytes]:
    """All files of a queue, by name; the same queue gives the same bytes."""
    rows = sorted(queue.to_pylist(), key=lambda row: row["rank"])
    shown = [{**row, "votes": " ".join(row["votes"])} for row in rows]
    tasks = [{"data": {name: row[name] for name in (*_READ, *_BEHIND)}} for row in shown]
    return {
        TASKS: _json(tasks),
        CONFIG: _config(taxonomy),
        SHEET: _sheet(shown),
    }


def without(name: str, content: bytes, prompt_ids: Collection[str]) -> bytes:
    """A file of a queue without some prompts; what reviewers filled in elsewhere stays.

    Raises `ValueError` when it is no longer in the form that was exported.
    """
    if name == TASKS:
        tasks = json.loads(content)
        return _json([task for task in tasks if task["data"]["prompt_id"] not in prompt_ids])
    if name == SHEET:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        place = rows[0].index("prompt_id")
        return _csv(row for row in rows if row[place] not in prompt_ids)
    return content


def _json(tasks: list[Any]) -> bytes:
    return (json.dumps(tasks, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    """CSV with a byte order mark, without which spreadsheets misread Chinese."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def _sheet(rows: Iterable[Mapping[str, object]]) -> bytes:
    columns = (*_READ, *_TO_FILL_IN, *_BEHIND)
    empty = dict.fromkeys(_TO_FILL_IN, "")
    lines = ([_plain(str((row | empty)[name])) for name in columns] for row in map(dict, rows))
    return _csv([columns, *lines])


def _plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else cell


def _config(taxonomy: Taxonomy) -> bytes:
    """The labelling interface: label, then for unsafe prompts the micro category."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name="text", value="$text")
    labels = _choices(view, name="label", showInline="true")
    for label in LABELS:
        ElementTree.SubElement(labels, "Choice", value=label)
    when = {"visibleWhen": "choice-selected", "whenTagName": "label", "whenChoiceValue": "unsafe"}
    codes = _choices(view, name="category", **when)
    for code in taxonomy.codes:
        micro = taxonomy.micro[code]
        shown = {"value": f"{code} {micro.label_zh}", "alias": code, "hint": micro.definition_zh}
        ElementTree.SubElement(codes, "Choice", shown)
    ElementTree.indent(view)
    return ElementTree.tostring(view, "unicode").encode("utf-8") + b"\n"


def _choices(view: ElementTree.Element, **given: str) -> ElementTree.Element:
    asked = {"toName": "text", "choice": "single", "required": "true"}
    return ElementTree.SubElement(view, "Choices", given | asked)
