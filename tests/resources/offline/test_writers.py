import json

import pytest

from chillguard import rewriting, synthesis, taxonomy
from chillguard.calls import Answer
from prompts import render
from resources.offline import lexicon, writers

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
MODEL_METHODS = [method for method in rewriting.methods() if method.transform is None]
SEEDS = taxonomy.packaged("seed_keywords.yaml")


def _sample(name, count=60):
    lines = (lexicon.SAMPLES / name).read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:: max(1, len(lines) // count)]]


def _expand(code, existing, wanted):
    values = {
        "macro": TAXONOMY.macro_of[code],
        "micro": TAXONOMY.micro[code],
        "existing": existing,
        "wanted": wanted,
    }
    answer = writers.expand(render("keywords/expand", values)["user"])
    return [(entry["zh"], entry["en"]) for entry in json.loads(answer)["keywords"]]


def _synthesize(texts, words=("词一", "词二")):
    values = {
        "macro": TAXONOMY.macro_of["A1"],
        "micro": TAXONOMY.micro["A1"],
        "keywords": words,
        "texts": texts,
    }
    answer = writers.synthesize(render("synthesis/generate", values)["user"])
    return synthesis.parse(Answer(answer, "stop"))


def _rewrite(method, text):
    values = {"method": method, "text": text}
    answer = writers.rewrite(render("rewriting/rewrite", values)["user"])
    return rewriting.parse(Answer(answer, "stop"))


@pytest.mark.parametrize("code", TAXONOMY.codes)
@pytest.mark.parametrize("wanted", [1, 4, 60])
def test_the_expander_gives_as_many_new_words_as_asked_for(code, wanted):
    existing = [entry["zh"] for entry in SEEDS[code]]
    pairs = _expand(code, existing, wanted)
    chinese = [zh for zh, _ in pairs]
    assert len(pairs) == wanted
    assert len(set(chinese)) == wanted
    assert not set(chinese) & set(existing)
    assert all(any(zh.startswith(word) for word in existing) for zh in chinese)
    assert all(en.isascii() for _, en in pairs)


def test_the_expander_goes_on_where_it_stopped():
    existing = [entry["zh"] for entry in SEEDS["A1"]]
    first = [zh for zh, _ in _expand("A1", existing, 5)]
    second = [zh for zh, _ in _expand("A1", existing + first, 5)]
    assert len(second) == 5
    assert not set(first) & set(second)


def test_the_expander_knows_no_words_but_the_bundled_seeds():
    assert _expand("A1", ["生僻词汇"], 5) == []


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", ["posts_zh.jsonl", "posts_en.jsonl"])
def test_the_synthesizer_gives_one_prompt_per_text(name, count):
    texts = _sample(name)[:count]
    found = _synthesize(texts)
    assert sorted(found) == list(range(1, count + 1))
    assert len(set(found.values())) == count


@pytest.mark.parametrize("name", ["posts_zh.jsonl", "posts_en.jsonl"])
def test_the_synthesizer_keeps_the_beginning_of_each_text(name):
    texts = _sample(name)
    for text, prompt in zip(texts, _synthesize(texts).values(), strict=True):
        assert text[:10] in prompt
        assert prompt != text


def test_the_synthesizer_draws_several_frames():
    texts = _sample("posts_zh.jsonl")
    frames = {
        prompt.replace(text[:10], "")[:4]
        for text, prompt in zip(texts, _synthesize(texts).values(), strict=True)
    }
    assert len(frames) >= 3


def test_the_synthesizer_shortens_a_long_text_at_a_sentence():
    text = "这是第一句话，说了一些事情。" + "后面还有很长很长的内容" * 20
    [prompt] = _synthesize([text]).values()
    assert "这是第一句话，说了一些事情。" in prompt
    assert len(prompt) < 120


@pytest.mark.parametrize("method", MODEL_METHODS, ids=lambda method: method.id)
def test_the_rewriter_really_changes_nearly_every_text(method):
    texts = _sample("real_prompts.jsonl", 100)
    changed = sum(_rewrite(method, text) != text for text in texts)
    assert changed >= 0.95 * len(texts)


@pytest.mark.parametrize(
    "method", [m for m in MODEL_METHODS if m.name_zh != "谐音替换"], ids=lambda method: method.id
)
def test_the_rewriter_keeps_the_text_within_the_frame_of_the_method(method):
    texts = _sample("real_prompts.jsonl", 30)
    frames = set()
    for text in texts:
        changed = _rewrite(method, text)
        assert text in changed
        frames.add(changed.replace(text, ""))
    assert len(frames) >= 2


def test_the_rewriter_answers_a_method_that_it_has_no_frames_for():
    method = {"name_zh": "从未听说的方法", "description_zh": "不知道。"}
    text = "请介绍一下社区图书馆的开放时间和借书规定。"
    changed = _rewrite(method, text)
    assert changed != text
    assert [c for c in changed if c in text] == list(text)


def test_every_bundled_english_post_is_translated():
    for english, chinese in lexicon.translations().items():
        assert writers.translate(english) == chinese


def test_every_frame_around_an_english_post_is_translated():
    english, chinese = next(iter(lexicon.translations().items()))
    for frame_zh, frame_en in lexicon.lexicon()["frames"]:
        assert writers.translate(frame_en.format(english)) == frame_zh.format(chinese)


@pytest.mark.parametrize("text", ["", "Nice weather today.", "今天天气不错", "Rewrite this"])
def test_what_the_phrase_book_lacks_comes_back_empty(text):
    assert writers.translate(text) == ""


def test_the_writers_say_the_same_again():
    texts = _sample("posts_zh.jsonl")[:5]
    assert _synthesize(texts) == _synthesize(texts)
    method = rewriting.methods()[0]
    assert _rewrite(method, texts[0]) == _rewrite(method, texts[0])
