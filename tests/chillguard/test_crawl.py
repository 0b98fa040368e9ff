import pytest

from chillguard import crawl, identity
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.text import matching, screening
from tests.chillguard import builders

POOL = lineage.EXPANDED_KEYWORDS.build(
    [builders.keyword("M1a", "公园散步", "Park Walk"), builders.keyword("M1b", "图书馆", "library")]
)
TEXT = "周末去公园散步的人真不少"


def _posts(records, source="forum", taken_down=(), **config):
    config = crawl.CrawlConfig(**config)
    table = crawl.posts(records, source, POOL, builders.TERMS, config, taken_down)
    assert lineage.CRAWLED_POSTS.problems(table) == []
    assert table.num_rows == len(records)
    return table.to_pylist()


def _drop(record, **config):
    row = _posts([record], **config)[0]
    return row["drop_reason"], row["drop_evidence"]


def test_a_kept_post_has_its_id_source_language_and_terms():
    row = _posts([{"text": f" {TEXT} ", "id": "7", "url": "https://example.org/7"}])[0]
    assert row == {
        "post_id": identity.post_id(TEXT),
        "native_id": "7",
        "source": "forum",
        "url": "https://example.org/7",
        "posted_at": None,
        "keyword_id": identity.digest("keyword", "M1a", "公园散步"),
        "text": TEXT,
        "lang": "zh",
        **builders.TERMS,
        "drop_reason": None,
        "drop_evidence": None,
    }


def test_the_same_text_of_two_sources_is_one_post():
    here, there = (_posts([{"text": TEXT}], source)[0] for source in ("forum", "news"))
    assert here["post_id"] == there["post_id"]
    assert here["source"] != there["source"]


def test_personal_data_is_gone_before_the_id_is_made():
    row = _posts([{"text": "有事请打13900000000找我们"}])[0]
    assert row["text"] == "有事请打<PHONE>找我们"
    assert row["post_id"] == identity.post_id(row["text"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("周末去公园散步的人真不少", 0),
        ("A PARK WALK is good for you", 0),
        ("图书馆的自习室几点开门？", 1),
        ("今天晚饭吃什么比较好呢？", None),
    ],
)
def test_the_keyword_that_a_text_holds_is_named_in_either_language(text, number):
    expected = None
    if number is not None:
        code, zh = [("M1a", "公园散步"), ("M1b", "图书馆")][number]
        expected = identity.digest("keyword", code, zh)
    assert _posts([{"text": text}])[0]["keyword_id"] == expected


@pytest.mark.parametrize(
    ("record", "config", "drop"),
    [
        ({"text": "太短了吧"}, {}, ("too_short", "4 characters")),
        ({"text": "刚好五个字"}, {"min_chars": 5}, (None, None)),
        ({"text": "刚好五个字"}, {"max_chars": 5, "min_chars": 1}, (None, None)),
        ({"text": "刚好六个字吧"}, {"max_chars": 5, "min_chars": 1}, ("too_long", "6 characters")),
        ({"text": "오늘 날씨가 아주 좋아요"}, {}, ("language", "detected ko")),
        ({"text": TEXT, "lang": "ja"}, {}, ("language", "detected ja")),
        ({"text": "What a nice day it is today"}, {}, (None, None)),
        (
            {"text": "What a nice day it is today"},
            {"languages": ("zh",)},
            ("language", "detected en"),
        ),
    ],
)
def test_a_post_out_of_bounds_is_dropped_with_its_measure(record, config, drop):
    assert _drop(record, **config) == drop


def test_a_screened_post_leaves_its_hash_only():
    forbidden = "，".join(group[0] for group in screening.rules()[1].all_of)
    row = _posts([{"text": forbidden}])[0]
    assert (row["drop_reason"], row["text"], row["lang"]) == ("screened", None, None)
    assert forbidden not in str(row)


@pytest.mark.parametrize("spelling", ["\u200b".join(TEXT), f" {TEXT} ……", f"{TEXT}😀"])
def test_a_copy_in_another_spelling_is_no_second_post(spelling):
    rows = _posts([{"text": TEXT, "id": "a"}, {"text": spelling, "id": "b"}])
    found = {row["native_id"]: (row["drop_reason"], row["drop_evidence"]) for row in rows}
    assert found == {"a": (None, None), "b": ("duplicate", "same text as a")}
    assert len({row["post_id"] for row in rows}) == 2


def test_a_copy_of_a_removed_post_in_another_spelling_is_barred():
    pool, terms = lineage.EXPANDED_KEYWORDS.build([]), builders.TERMS
    marks = {matching.family_id(TEXT)}
    records = [{"text": "\u200b".join(TEXT)}]
    table = crawl.posts(records, "a", pool, terms, crawl.CrawlConfig(), marks)
    assert table["drop_reason"].to_pylist() == ["takedown"]


def test_a_text_twice_is_kept_once_and_the_copy_names_the_kept_one():
    rows = _posts([{"text": TEXT, "id": "b"}, {"text": TEXT, "id": "a"}, {"text": TEXT, "id": "c"}])
    found = {row["native_id"]: (row["drop_reason"], row["drop_evidence"]) for row in rows}
    assert found == {
        "b": (None, None),
        "a": ("duplicate", "same text as b"),
        "c": ("duplicate", "same text as b"),
    }


def test_copies_without_ids_are_told_apart_by_their_place_among_equals():
    rows = _posts([{"text": TEXT}, {"text": TEXT}])
    key = identity.post_id(TEXT)
    assert [row["native_id"] for row in rows] == [f"{key}-0", f"{key}-1"]
    assert [row["drop_reason"] for row in rows] == [None, "duplicate"]


def test_a_copy_of_a_dropped_post_is_dropped_for_the_same_reason():
    rows = _posts([{"text": "太短了吧"}, {"text": "太短了吧"}])
    assert [row["drop_reason"] for row in rows] == ["too_short", "too_short"]


def test_no_records_make_an_empty_table():
    assert _posts([]) == []


def test_a_record_that_was_admitted_before_is_not_admitted_again(monkeypatch):
    admitted = intake.admit("有事请打13900000000找我们，周末去公园散步")
    monkeypatch.setattr(intake, "admit", None)
    [row] = _posts([{"admitted": admitted, "id": "7"}])
    assert row["text"] == admitted.text == "有事请打<PHONE>找我们，周末去公园散步"
    assert (row["post_id"], row["drop_reason"]) == (identity.post_id(admitted.text), None)
    assert row["lang"] == "zh"
    assert row["keyword_id"] == identity.digest("keyword", "M1a", "公园散步")


def test_an_admitted_and_a_read_record_of_one_text_are_one_post():
    rows = _posts([{"admitted": intake.admit(TEXT), "id": "a"}, {"text": TEXT, "id": "b"}])
    assert len({row["post_id"] for row in rows}) == 1
    assert sorted(str(row["drop_reason"]) for row in rows) == ["None", "duplicate"]


@pytest.mark.parametrize(
    ("drop", "evidence"), [("screened", "rule r1"), ("takedown", "removed on request")]
)
def test_what_was_stopped_at_admission_stays_stopped(drop, evidence):
    stopped = intake.Admitted(None, identity.text_hash(TEXT), drop, evidence)
    [row] = _posts([{"admitted": stopped, "id": "7", "url": "https://example.org/7"}])
    assert (row["text"], row["drop_reason"], row["drop_evidence"]) == (None, drop, evidence)
    assert row["keyword_id"] is None


def test_what_the_source_tells_of_a_post_is_kept():
    told = {"keyword_id": "k7", "posted_at": "2026-01-02T03:04:05Z", "lang": "en"}
    [row] = _posts([{"text": TEXT, **told}])
    assert {name: row[name] for name in told} == told


PLANTED = {"text": TEXT, "id": "7", "url": "https://example.org/7"}


@pytest.mark.parametrize("mark", [identity.post_id(TEXT), "forum:7", "https://example.org/7"])
@pytest.mark.parametrize("text", [{"text": TEXT}, {"admitted": intake.admit(TEXT)}])
def test_a_post_that_was_taken_down_is_dropped_without_its_text(mark, text):
    record = {**PLANTED, "text": None, **text}
    other = {"text": "图书馆的自习室几点开门？", "id": "8"}
    rows = {row["native_id"]: row for row in _posts([record, other], taken_down={mark})}
    assert (rows["7"]["text"], rows["7"]["drop_reason"]) == (None, "takedown")
    assert rows["7"]["drop_evidence"] == "removed on request"
    assert TEXT not in str(rows["7"])
    assert rows["8"]["drop_reason"] is None


@pytest.mark.parametrize("mark", ["7", "news:7", "forum:70", "https://example.org/70", ""])
def test_a_mark_of_another_post_takes_nothing_down(mark):
    assert _posts([PLANTED], taken_down={mark})[0]["drop_reason"] is None


def test_the_same_text_from_a_new_source_is_still_taken_down():
    [row] = _posts([{"text": TEXT, "id": "99"}], "news", taken_down={identity.post_id(TEXT)})
    assert (row["text"], row["drop_reason"]) == (None, "takedown")


def test_of_a_post_that_is_too_long_the_head_stays():
    text = "很长的一句话" * 100
    [row] = _posts([{"text": text}], max_chars=50)
    assert (row["drop_reason"], row["drop_evidence"]) == ("too_long", "600 characters")
    assert row["text"] == text[:50]
    assert row["post_id"] == _posts([{"text": text}])[0]["post_id"]


@pytest.mark.parametrize(("lang", "code"), [("zh-CN", "zh"), ("zh_Hans", "zh"), ("??", "zh")])
def test_a_declared_language_is_normalised_and_one_that_is_none_is_detected(lang, code):
    [row] = _posts([{"text": TEXT, "lang": lang}])
    assert (row["lang"], row["drop_reason"]) == (code, None)
