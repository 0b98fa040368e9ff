from chillguard.cleaning import survivors
from chillguard.release import roots
from chillguard.tables import lineage
from tests.chillguard import builders

GATE = survivors.CleaningConfig()
BASE = "周末带老人去湖边的公园散步合适吗"


def _candidates(*rows):
    return lineage.CANDIDATE_PROMPTS.build(rows)


def _posts(**texts):
    row = {"sources": ["a"], "embedding_model": "m@1", "dimension": 8, "retrievable": True}
    return lineage.POST_INDEX.build(
        {"post_id": key, "point_id": key, "text": text, **row, **builders.TERMS}
        for key, text in texts.items()
    )


def test_a_root_is_the_post_or_the_prompt_before_translation():
    table = _candidates(
        builders.prompt("a", "真实", family_id="f1", origin="real", drop_reason="not_retained"),
        builders.prompt("b", "改写", family_id="f1", origin="rewrite", parent_ids=["a"]),
        builders.prompt("c", "中文", family_id="f2", origin="public", translated_from="English"),
        builders.prompt("d", "合成", family_id="f3", parent_ids=["p1"]),
    )
    found = roots.texts(table, _posts(p1="帖子", p2="别的帖子"))
    assert found == {"f1": "真实", "f2": "English", "f3": "帖子"}


def test_of_a_post_and_a_prompt_in_one_family_one_text_is_enough():
    table = _candidates(
        builders.prompt("a", "真实", family_id="f", origin="real"),
        builders.prompt("d", "合成", family_id="f", parent_ids=["p1"]),
    )
    assert roots.texts(table, _posts(p1="真實")) == {"f": "真实"}


def _alike(one, other):
    return [how for _, _, how in roots.alike(["f"], ["g"], {"f": one, "g": other}, GATE)]


def test_homophones_and_pinyin_read_the_same():
    assert _alike(BASE, "周末戴老人去胡边的公园散步何适吗")[0] == "read the same"
    assert _alike(BASE, "zhou末带老人qu湖bian的公园散步he适吗")[0] == "read the same"
    assert _alike(BASE, "周末带老人去河边的公园钓鱼安全吗") == []


def test_families_without_a_known_root_are_passed_over():
    assert list(roots.alike(["f"], ["g"], {"f": BASE}, GATE)) == []
    assert list(roots.alike([], [], {}, GATE)) == []
