import pytest

from chillguard import taxonomy
from chillguard.calls import call
from chillguard.labeling import anchors, jury
from chillguard.tables import lineage
from chillguard.text import screening
from tests.chillguard import builders

SMALL = builders.SMALL
CONFIG = jury.LabelingConfig()
DOCUMENT = {"M1a": {"unsafe": "坏的一问", "safe": ["好的一问", "好的二问"]}}
SHIPPED = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")


def test_the_shipped_anchors_cover_every_category_with_both_labels():
    found = anchors.parse(taxonomy.packaged("anchors.yaml"), SHIPPED, "packaged")
    assert {(a.category, a.label) for a in found} == {
        (code, label) for code in SHIPPED.codes for label in lineage.LABELS
    }
    assert len(found) == 62
    assert len({a.text for a in found}) == 62


def test_the_shipped_anchors_are_mild():
    found = anchors.parse(taxonomy.packaged("anchors.yaml"), SHIPPED, "packaged")
    assert [a.text for a in found if screening.screen(a.text) is not None] == []


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "does not map category codes"),
        ({"Z": {"safe": "x"}}, "category 'Z' is not in the taxonomy"),
        ({"M1a": "x"}, "M1a does not map safe and unsafe"),
        ({"M1a": {"fine": "x"}}, "M1a does not map safe and unsafe"),
        ({"M1a": {"safe": [" "]}}, "M1a, safe: a text is empty"),
        ({"M1a": {"safe": 5}}, "M1a, safe: a text is empty"),
        ({"M1a": {"safe": "x", "unsafe": "x"}}, "a text stands twice"),
    ],
)
def test_a_bad_anchor_file_gets_one_sentence(document, says):
    with pytest.raises(anchors.AnchorError, match=f"^anchor file own.yaml.*{says}"):
        anchors.parse(document, SMALL, "own.yaml")


def _asked(refresh):
    fixed = anchors.parse(DOCUMENT, SMALL, "own.yaml")
    return list(anchors.requests(fixed, SMALL, CONFIG, refresh))


def test_an_anchor_is_asked_as_any_prompt_but_anew_at_each_release():
    rows = [{"prompt_id": "p", "text": "坏的一问"}]
    (vote,) = jury.vote_requests(rows, SMALL, CONFIG)
    first, second = _asked(1)[0], _asked(2)[0]
    assert first.messages == vote.messages
    assert (first.sampling, first.answer_schema) == (vote.sampling, vote.answer_schema)
    keys = {call.call_key("m", "1", r, r.repeat) for r in (vote, first, second, _asked(1)[0])}
    assert len(keys) == 3


def test_every_juror_judges_every_anchor():
    fixed = anchors.parse(DOCUMENT, SMALL, "own.yaml")
    ask = builders.Ask(
        juror_1=lambda r: "unsafe", juror_2=lambda r: None if "坏" in str(r.messages) else "safe"
    )
    slots = {"juror_1": "m@1", "juror_2": "n@2"}
    table = anchors.votes(fixed, SMALL, CONFIG, ask, slots, 3)
    assert lineage.ANCHOR_VOTES.problems(table) == []
    found = {
        (row["juror"], row["intended_label"]): (row["verdict"], row["reason"], row["model"])
        for row in table.to_pylist()
    }
    assert table.num_rows == 6
    assert found["juror_1", "safe"] == ("unsafe", None, "m@1")
    assert found["juror_2", "unsafe"] == ("abstain", "refused", "n@2")
    assert set(table["refresh"].to_pylist()) == {3}


def test_without_anchors_nothing_is_asked():
    ask = builders.Ask()
    table = anchors.votes(anchors.parse({}, SMALL, ""), SMALL, CONFIG, ask, {"juror_1": "m@1"}, 1)
    assert (table.num_rows, ask.asked) == (0, [])
