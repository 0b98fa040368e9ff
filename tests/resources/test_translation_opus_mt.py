"""opus-mt in process, the library's real code on a tiny Marian that learned a few sentences."""

import json
import logging
import shutil
import warnings
from pathlib import Path

import dagster as dg
import pytest

pytest.importorskip("transformers", reason="needs the install group `train`: make .venv/train")

from chillguard import translation
from chillguard.rows import intake
from chillguard.tables import lineage
from resources.translation import OpusMtTranslator

pytestmark = pytest.mark.train
SHARED = Path(__file__).parents[3] / "shared" / "data" / "xstest_en.jsonl"
THINGS = {"tea": "茶", "garden": "花园", "music": "音乐", "river": "河", "train": "火车"}
FRAMES = {
    "I like the {}.": "我喜欢{}。",
    "Where is the {}?": "{}在哪里？",
    "Tell me about the {}!": "请讲讲{}。",
}
LEARNED = {
    **{e.format(en): c.format(zh) for e, c in FRAMES.items() for en, zh in THINGS.items()},
    "Please call": "请打电话",
    "before noon.": "中午以前。",
    # Its translation is longer than it is itself.
    "Go on!": "很久很久以前山里有一座庙庙里有一位老和尚在讲故事。",
}
TRADITIONAL = {"I like the tea.": "我喜歡茶。", "Where is the garden?": "花園在哪裡？"}
MOST_TOKENS = 64
STEPS = 260


def _pieces(folder, side, lines):
    """Train the vocabulary of one side; returns its pieces."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_prefix=str(folder / side),
        vocab_size=90,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    (folder / f"{side}.model").rename(folder / f"{side}.spm")
    found = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
    return [found.id_to_piece(number) for number in range(found.get_piece_size())]


def _tokenizer(folder):
    from transformers import MarianTokenizer

    sides = {
        "source": [*LEARNED, "abcdefghijklmnopqrstuvwxyz ,;'?!. ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
        "target": [*LEARNED.values(), *TRADITIONAL.values()],
    }
    pieces = [piece for side, lines in sides.items() for piece in _pieces(folder, side, lines)]
    prefixes = [">>cmn_Hans<<", ">>cmn_Hant<<"]
    vocabulary = [*dict.fromkeys(["</s>", "<unk>", *prefixes, *pieces]), "<pad>"]
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids), "utf-8")
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "eng", "target_lang": "zho"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MarianTokenizer.from_pretrained(folder)


def _trained(tokenizer):
    import torch
    from transformers import MarianConfig, MarianMTModel

    sides = [(">>cmn_Hans<<", LEARNED), (">>cmn_Hant<<", TRADITIONAL)]
    pairs = [(f"{prefix} {en}", zh) for prefix, known in sides for en, zh in known.items()]
    torch.manual_seed(5)
    sizes = {f"{side}_{name}": n for side in ("encoder", "decoder")
             for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 64))}  # fmt: skip
    model = MarianMTModel(
        MarianConfig(
            vocab_size=tokenizer.vocab_size,
            d_model=48,
            max_position_embeddings=MOST_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
            eos_token_id=0,
            dropout=0.0,
            scale_embedding=True,
            **sizes,
        )
    )
    chinese = [zh for _, zh in pairs]
    batch = tokenizer(
        [en for en, _ in pairs], text_target=chinese, return_tensors="pt", padding=True
    )
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(STEPS):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with the files of opus-mt-en-zh and its generation settings."""
    import torch
    from transformers.utils import logging as library

    folder = tmp_path_factory.mktemp("opus")
    library.disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tokenizer = _tokenizer(folder)
    model = _trained(tokenizer)
    # As published: beams, and an end that is forced at a length.
    model.generation_config.update(num_beams=4, max_length=512, forced_eos_token_id=0)
    model.save_pretrained(folder)
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def opus(checkpoint):
    return OpusMtTranslator(path=str(checkpoint), batch_size=4)


@pytest.fixture
def read(opus, monkeypatch):
    """What the model gets to read, one list of token ids per sequence, batch by batch."""
    _, model = opus._model()
    generate, batches = model.generate, []

    def recorded(input_ids, attention_mask, **options):
        counts = attention_mask.sum(dim=1).tolist()
        batches.append([ids[:n] for ids, n in zip(input_ids.tolist(), counts, strict=True)])
        return generate(input_ids=input_ids, attention_mask=attention_mask, **options)

    monkeypatch.setattr(model, "generate", recorded)
    return batches


def _source(opus, ids):
    tokenizer, _ = opus._model()
    return tokenizer.decode(ids[1:-1], use_source_tokenizer=True).strip()


def test_every_learned_sentence_is_translated_and_order_is_kept(opus):
    assert opus.translate(list(LEARNED)) == list(LEARNED.values())
    assert opus.translate(list(LEARNED)[::-1]) == list(LEARNED.values())[::-1]


def test_a_text_that_comes_twice_is_translated_once(opus, read):
    texts = ["I like the tea.", "Where is the river?", "I like the tea."]
    assert opus.translate(texts) == ["我喜欢茶。", "河在哪里？", "我喜欢茶。"]
    assert sum(map(len, read)) == 2


def test_a_long_text_gives_all_its_sentences(opus):
    sentences = list(LEARNED) * 20
    (found,) = opus.translate([" ".join(sentences[:15]) + "\n\n" + " ".join(sentences[:15])])
    chinese = "".join(list(LEARNED.values())[:15])
    assert found == f"{chinese}\n\n{chinese}"
    tokens = len(opus._tokens([" ".join(sentences[:15])])[0])
    assert tokens > MOST_TOKENS


def test_a_sentence_that_is_too_long_is_read_to_its_end_in_pieces(opus, read):
    words = [f"{a}{b}{'ing' if b > 'm' else ','}" for a in "abcdefg" for b in "klmnopq"]
    opus.translate([" ".join(words)])
    found = sorted(ids for batch in read for ids in batch)
    assert len(found) > 1
    assert all(len(ids) <= MOST_TOKENS for ids in found)
    assert sorted(" ".join(_source(opus, ids) for ids in found).split()) == sorted(words)


def test_a_setting_can_make_sentences_shorter(checkpoint, opus):
    assert opus._longest() == MOST_TOKENS
    assert OpusMtTranslator(path=str(checkpoint), max_tokens=20)._longest() == 20


def test_a_translation_that_comes_to_no_end_is_none_and_is_told(checkpoint):
    short, told = OpusMtTranslator(path=str(checkpoint), max_tokens=16), []
    texts = ["I like the tea.", "Go on!", "I like the tea. Go on!"]
    assert short.translate(texts, told.append) == ["我喜欢茶。", "", ""]
    assert told[-1] == "opus-mt: 1 sentences without a translation within 16 tokens"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_batches_do_not_change_results(checkpoint, opus, size):
    texts = [*LEARNED, *(f"{one} {two}" for one in LEARNED for two in ("Why so?", "Not me, no."))]
    other = OpusMtTranslator(path=str(checkpoint), batch_size=size)
    assert other.translate(texts) == opus.translate(texts)


def test_sentences_are_batched_by_length_over_all_texts(opus, read):
    texts = ["Tell me about the garden!", "Go on! I like the tea.", " ".join(list(LEARNED)[5:14])]
    opus.translate(texts)
    lengths = [len(ids) for batch in read for ids in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert [len(batch) for batch in read] == [4, 4, 3]


def test_two_runs_give_the_same(checkpoint, opus):
    texts = ["An unknown text, and more of it.", *LEARNED]
    assert OpusMtTranslator(path=str(checkpoint), batch_size=4).translate(texts) == opus.translate(
        texts
    )


def test_progress_is_told_with_rate_and_time_to_come(opus):
    told = []
    opus.local(told.append)(list(LEARNED))
    assert len(told) == 1
    assert told[0].startswith("opus-mt: 18 of 18 sentences, ")
    assert told[0].endswith("/s, ETA 0 s")


def test_the_prefix_says_which_chinese(checkpoint, read, opus):
    found = OpusMtTranslator(path=str(checkpoint), prefix=">>cmn_Hant<<")
    assert found.translate(list(TRADITIONAL)) == list(TRADITIONAL.values())
    opus.translate(["I like the tea."])
    tokenizer, _ = opus._model()
    assert tokenizer.convert_ids_to_tokens(read[0][0])[0] == ">>cmn_Hans<<"
    plain = OpusMtTranslator(path=str(checkpoint), prefix="")
    assert plain._tokens(["I like the tea."])[0] == read[0][0][1:]


def test_a_placeholder_that_the_model_cannot_write_survives(opus):
    texts = ["Please call <PHONE> before noon.", "<EMAIL> I like the tea."]
    assert opus.translate(texts) == ["请打电话<PHONE>中午以前。", "<EMAIL>我喜欢茶。"]


@pytest.mark.parametrize("text", ["I </s> like <pad> the tea.", ">>cmn_Hant<< I like the tea."])
def test_what_looks_like_a_special_token_is_text(opus, read, text):
    opus.translate([text])
    tokenizer, _ = opus._model()
    special = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    for ids in (ids for batch in read for ids in batch):
        assert not special & set(ids[:-1])
        assert ids[0] == tokenizer.convert_tokens_to_ids(">>cmn_Hans<<")


def test_the_model_is_loaded_once_and_says_nothing(checkpoint, monkeypatch, caplog, capfd):
    import transformers

    load, loads = transformers.AutoModelForSeq2SeqLM.from_pretrained, []

    def counted(*place, **options):
        loads.append(place)
        return load(*place, **options)

    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", counted)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    found = OpusMtTranslator(path=str(checkpoint))
    found.translate(["I like the tea."])
    found.translate(["Where is the tea?"])
    assert loads == [(str(checkpoint),)]
    assert [record.message for record in caplog.records] == []
    assert "max_length" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"path": "nowhere/at/all"}, "nowhere/at/all cannot be loaded on cpu"),
        ({"device": "nothing"}, "cannot be loaded on nothing"),
        ({"prefix": ">>tlh<<"}, "it knows no prefix >>tlh<<; mend `translator.prefix`"),
    ],
)
def test_a_model_that_cannot_be_used_is_told_with_the_mend(checkpoint, more, part):
    with pytest.raises(dg.Failure) as error:
        OpusMtTranslator(**{"path": str(checkpoint), **more}).translate(["I like the tea."])
    assert part in error.value.description
    assert "set `translator.path` in the profile" in error.value.description


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("vocab.json", "lacks vocab.json; download the whole model"),
        ("source.spm", "lacks source.spm; download the whole model"),
        ("model.safetensors", "cannot be loaded on cpu"),
    ],
)
def test_a_folder_that_lacks_a_file_is_told(checkpoint, tmp_path, name, told):
    folder = tmp_path / "half"
    shutil.copytree(checkpoint, folder)
    (folder / name).unlink()
    with pytest.raises(dg.Failure, match=told):
        OpusMtTranslator(path=str(folder)).translate(["I like the tea."])


def test_a_hub_model_that_cannot_be_had_is_told(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(dg.Failure, match="Helsinki-NLP/opus-mt-en-zh cannot be loaded"):
        OpusMtTranslator().translate(["I like the tea."])


def _candidates(texts, local):
    rows = [intake.prompt("public", "own", [], text, [n]) for n, text in enumerate(texts)]
    table = lineage.PUBLIC_PROMPTS.build(rows)
    config = translation.TranslationConfig()
    return rows, translation.candidates([table], config, None, local).to_pylist()


def test_the_domain_and_the_model_fit_together(opus):
    texts = ["I like the tea. 今天天气好。 Where is the river?", "Please call <PHONE> before noon."]
    rows, found = _candidates(texts, opus.translate)
    by_source = {row["translated_from"]: row["text"] for row in found if not row["drop_reason"]}
    assert by_source[texts[1]] == "请打电话<PHONE>中午以前。"
    assert len(found) == len(rows) == 2


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_file(), reason="the shared real data is not beside the project")
def test_real_english_prompts_are_each_kept_or_dropped_with_a_reason(opus):
    texts = [json.loads(line)["text"] for line in SHARED.read_text("utf-8").splitlines()]
    rows, found = _candidates(texts, opus.translate)
    assert len(found) == len(rows) == 450
    assert {row["prompt_id"] for row in found} == {row["prompt_id"] for row in rows}
    for row in found:
        assert bool(row["drop_reason"]) == bool(row["drop_evidence"])
        assert row["drop_reason"] or row["lang"] == "zh"
    again = _candidates(texts, OpusMtTranslator(path=opus.path, batch_size=50).translate)[1]
    assert found == again
