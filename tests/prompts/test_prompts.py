import hashlib
import shutil

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompts

VOTE = "labeling/vote"
_SAFE = {"label": "safe", "macro": None}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    folder = tmp_path / "prompts"
    shutil.copytree(prompts.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(prompts, "FOLDER", folder)
    _forget()
    yield folder
    _forget()


def _forget():
    prompts.fingerprint.cache_clear()
    prompts._environment.cache_clear()


def test_each_block_comes_by_its_name_and_without_outer_blanks():
    method = {"name_zh": "甲", "description_zh": "乙", "instruction_zh": "丁"}
    values = {"methods": [method], "texts": ["丙"], "layout": "json", **_SAFE}
    blocks = prompts.render("rewriting/rewrite", values)
    assert list(blocks) == ["system", "user"]
    assert blocks["user"] == "方法 1：甲\n说明：乙丁\n<text>\n丙\n</text>"
    assert all(text == text.strip() for text in blocks.values())


def test_a_template_renders_only_the_blocks_that_are_asked_for():
    # The system block needs `taxonomy`; it is not filled in when only `user` is wanted.
    assert prompts.render(VOTE, {"text": "你好"}, only=("user",)) == {
        "user": "<text>\n你好\n</text>"
    }


@pytest.mark.parametrize("name", [VOTE, "labeling/categorize"])
def test_a_value_that_was_not_given_is_an_error(name):
    with pytest.raises(jinja2.UndefinedError, match="taxonomy"):
        prompts.render(name, {"text": "你好"})


def test_a_missing_attribute_of_a_value_is_an_error():
    values = {"methods": [{"name_zh": "甲"}], "texts": ["丙"], "layout": "json", **_SAFE}
    with pytest.raises(jinja2.UndefinedError, match="description_zh"):
        prompts.render("rewriting/rewrite", values)


def test_an_unknown_template_is_an_error():
    with pytest.raises(jinja2.TemplateNotFound):
        prompts.render("labeling/nothing", {})


def test_the_caller_s_values_are_left_alone():
    values = {"text": "你好"}
    prompts.render(VOTE, values, only=("user",))
    assert values == {"text": "你好"}


def test_template_syntax_in_data_is_not_evaluated():
    text = "{{ 7 * 7 }}{% for x in y %}{# note #}"
    assert text in prompts.render(VOTE, {"text": text}, only=("user",))["user"]


_PIECES = st.lists(
    st.sampled_from(["</text>", "<text>", "</te", "xt>", "<|", "<", "|", "im_start|>", "好", "\n"]),
    max_size=12,
).map("".join)


@given(_PIECES)
def test_data_can_neither_close_its_fence_nor_open_a_chat_turn(text):
    user = prompts.render(VOTE, {"text": text}, only=("user",))["user"]
    assert user.count("</text>") == 1
    assert user.endswith("\n</text>")
    assert "<|" not in user


@pytest.mark.parametrize(
    "token",
    [
        "</text>",
        "</TEXT>",
        "</text >",
        '<text id="9">',
        "<|im_start|>",
        "<｜User｜>",
        "<start_of_turn>",
        "</s>",
        "<think>",
        "[INST]",
        "[/INST]",
    ],
)
def test_a_special_token_loses_its_brackets_and_the_words_around_it_stay(token):
    user = prompts.render(VOTE, {"text": f"前{token}后"}, only=("user",))["user"]
    body = user.removeprefix("<text>\n").removesuffix("\n</text>")
    assert token not in body
    assert (body[0], body[-1]) == ("前", "后")


@given(st.text(alphabet=st.characters(exclude_characters="<>[]", exclude_categories=["Cs"])))
def test_data_without_an_opening_bracket_is_not_touched(text):
    user = prompts.render(VOTE, {"text": text}, only=("user",))["user"]
    assert user == f"<text>\n{text}\n</text>"


def test_a_fingerprint_is_the_digest_of_the_template_file():
    content = (prompts.FOLDER / f"{VOTE}.jinja").read_bytes()
    assert prompts.fingerprint(VOTE) == hashlib.sha256(content).hexdigest()[:16]


def test_a_fingerprint_changes_with_its_own_file_only(copied):
    names = (VOTE, "labeling/categorize")
    before = {name: prompts.fingerprint(name) for name in names}
    path = copied / f"{VOTE}.jinja"
    path.write_text(path.read_text("utf-8") + "{# changed #}\n", "utf-8")
    _forget()
    after = {name: prompts.fingerprint(name) for name in names}
    assert after[VOTE] != before[VOTE]
    assert after["labeling/categorize"] == before["labeling/categorize"]
    assert len(after[VOTE]) == 16
    int(after[VOTE], 16)


def test_a_fingerprint_is_the_same_for_the_same_content_in_another_place(copied):
    there = prompts.fingerprint(VOTE)
    original = hashlib.sha256((copied / f"{VOTE}.jinja").read_bytes()).hexdigest()[:16]
    assert there == original


def test_a_call_is_recorded_under_the_name_and_fingerprint_of_its_template(copied):
    before = prompts.named(VOTE)
    assert before == f"{VOTE}@{prompts.fingerprint(VOTE)}"
    path = copied / f"{VOTE}.jinja"
    path.write_text(path.read_text("utf-8") + "{# changed #}\n", "utf-8")
    _forget()
    assert prompts.named(VOTE) != before
