import json

import pytest

from chillguard import taxonomy
from chillguard.calls import numbered
from chillguard.calls.call import Answer
from chillguard.rewriting import jobs, methods
from chillguard.rows import guards
from chillguard.synthesis import rag, twins
from chillguard.text import language
from prompts import render
from resources.offline import lexicon, writers

TAXONOMY = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
MODEL_METHODS = [method for method in methods.methods() if method.transform is None]
SEEDS = taxonomy.packaged("seed_keywords.yaml")
KINDS = twins.twin_kinds()
LAYOUTS = ("json", "delimited")


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
    blocks = render("keywords/expand", values)
    answer = writers.expand(blocks["system"], blocks["user"])
    return [(entry["zh"], entry["en"]) for entry in json.loads(answer)["keywords"]]


def _read(answer, count, layout, key):
    return numbered.parser(count, layout, key)(Answer(answer, "stop")).numbered


def _synthesize(texts, words=("词一", "词二"), kind=None, layout="json"):
    values = {
        "macro": TAXONOMY.macro_of["A1"],
        "micro": TAXONOMY.micro["A1"],
        "keywords": words,
        "texts": texts,
        "layout": layout,
    }
    template = twins.TEMPLATE if kind else rag.TEMPLATE
    blocks = render(template, values | ({"kind": kind} if kind else {}))
    answer = writers.synthesize(blocks["system"], blocks["user"])
    return _read(answer, len(texts), layout, "source")


def _rewrites(methods, text, layout="json"):
    given = {"label": "safe", "macro": None, "texts": [text]}
    values = {"methods": methods, "layout": layout, **given}
    blocks = render(jobs.TEMPLATE, values)
    answer = writers.rewrite(blocks["system"], blocks["user"])
    return _read(answer, len(methods), layout, "method")


def _rewrite(method, text):
    return _rewrites([method], text)[1]


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_a_twin_keeps_the_text_in_a_frame_of_its_purpose(kind):
    texts = _sample("posts_zh.jsonl", 30)
    frames = [zh.split("{}") for zh, _ in lexicon.lexicon()["twins"][kind.name_zh]]
    used = set()
    for text, prompt in zip(texts, _synthesize(texts, kind=kind).values(), strict=True):
        assert text[:10] in prompt
        used |= {
            n for n, (a, b) in enumerate(frames) if prompt.startswith(a) and prompt.endswith(b)
        }
    assert used == set(range(len(frames)))


def test_there_are_frames_for_every_kind_of_twin_and_no_other():
    assert set(lexicon.lexicon()["twins"]) == {kind.name_zh for kind in KINDS}


@pytest.mark.parametrize("kind", [None, *KINDS], ids=lambda kind: kind.id if kind else "unsafe")
def test_the_synthesizer_says_the_same_in_either_layout(kind):
    texts = _sample("posts_zh.jsonl", 60)
    plain = [text for text in texts if not set(text) & set(";；\n")]
    assert len(plain) > 20
    found = [_synthesize(plain, kind=kind, layout=layout) for layout in LAYOUTS]
    assert found[0] == found[1]


def test_a_separator_within_a_text_becomes_a_comma_where_it_would_cut():
    texts = ["先去公园；再去图书馆", "第一行\n第二行", "去看书; 去散步"]
    assert ["；" in prompt for prompt in _synthesize(texts).values()] == [True, False, False]
    found = _synthesize(texts, layout="delimited")
    assert len(found) == 3
    assert "先去公园，再去图书馆" in found[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_rewriter_answers_all_methods_of_a_call_by_number(layout):
    text = "请介绍一下社区图书馆的开放时间和借书规定。"
    chosen = MODEL_METHODS[:3]
    alone = {number: _rewrite(method, text) for number, method in enumerate(chosen, 1)}
    assert _rewrites(chosen, text, layout) == alone
    assert len(set(alone.values())) == 3


@pytest.mark.parametrize("name", ["posts_zh.jsonl", "posts_en.jsonl"])
@pytest.mark.parametrize("kind", [None, *KINDS], ids=lambda kind: kind.id if kind else "unsafe")
def test_what_the_synthesizer_writes_passes_the_guards(kind, name):
    config = guards.GuardConfig()
    for prompt in _synthesize(_sample(name), kind=kind).values():
        row = {"text": prompt, "lang": language.detect(prompt), "drop_reason": None}
        assert guards.check(row, config, ("zh", "en"), TAXONOMY) is None


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
    method = {"name_zh": "从未听说的方法", "description_zh": "不知道。", "instruction_zh": ""}
    text = "请介绍一下社区图书馆的开放时间和借书规定。"
    others = {frame.format(text) for frame in lexicon.lexicon()["rewrites"]["others"]}
    assert _rewrite(method, text) in others


def test_frames_of_a_method_are_of_a_method_that_there_is():
    named = {method.name_zh for method in MODEL_METHODS}
    assert set(lexicon.lexicon()["rewrites"]) <= named | {"others"}


def test_every_bundled_english_post_is_translated():
    for english, chinese in lexicon.translations().items():
        assert writers.translate(english) == chinese


def test_every_frame_around_an_english_post_is_translated():
    english, chinese = next(iter(lexicon.translations().items()))
    twins = [frame for frames in lexicon.lexicon()["twins"].values() for frame in frames]
    for frame_zh, frame_en in [*lexicon.lexicon()["frames"], *twins]:
        assert writers.translate(frame_en.format(english)) == frame_zh.format(chinese)


@pytest.mark.parametrize("text", ["", "Nice weather today.", "今天天气不错", "Rewrite this"])
def test_what_the_phrase_book_lacks_comes_back_empty(text):
    assert writers.translate(text) == ""


def test_the_writers_say_the_same_again():
    texts = _sample("posts_zh.jsonl")[:5]
    assert _synthesize(texts) == _synthesize(texts)
    method = methods.methods()[0]
    assert _rewrite(method, texts[0]) == _rewrite(method, texts[0])
