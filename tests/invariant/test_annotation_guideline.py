import re
from pathlib import Path

from chillguard import taxonomy
from chillguard.release import audit
from chillguard.tables import lineage

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
GUIDELINE = (HOW_TO / "annotation-guideline.md").read_text("utf-8")


def test_the_guideline_lists_every_code_with_its_label():
    known = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
    listed = re.findall(r"^\| ([A-Z]\d) \| (.+) \|$", GUIDELINE, re.MULTILINE)
    assert listed == [(code, known.micro[code].label_en) for code in known.codes]


def test_the_guideline_names_every_column_and_label_of_the_sheet():
    for name in (*audit.COLUMNS, *lineage.LABELS, audit.UNCLEAR, audit.SHEET):
        assert f"`{name}`" in GUIDELINE or f"/{name}`" in GUIDELINE, name
