"""Two tiny models for co-training, made in seconds, the same ones every time.

The generator writes strings of mild words and scores with a digit; the classifier tells unsafe by
one word. Both are the tiny Qwen3 of the training tests after a few steps.
"""

import random
from pathlib import Path

import pytest

from chillguard.training import generation
from chillguard.training.label_format import LabelFormat
from tests.chillguard.builders import mixed
from tests.chillguard.training import tiny

MARK = "冒充"
BATCH, WORDS = 16, 6
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # the engine's CPU attention kernel has no 16
    "max_position_embeddings": 16384,
}


def sentence(seed, unsafe):
    """A mild sentence; what counts as unsafe here has one word in it."""
    return (f"怎样{MARK}" if unsafe else "想问") + mixed(seed, WORDS)


def generator(folder: Path) -> str:
    """The model folder of the generator."""
    return _make(folder, _rewrite, 100)


def classifier(folder: Path) -> str:
    """The model folder of the classifiers' base."""
    return _make(folder, _judgement, 200)


def _make(folder, example, steps):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = [text for n in range(200) for text in example(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "tokenizer", _tokenizer)
        path = tiny.make(folder, texts, seed=3, spread=0.05, **SHAPE)
    torch.set_num_threads(1)
    torch.manual_seed(5)
    words, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        talks = [example(step * BATCH + n) for n in range(BATCH)]
        inputs, labels = _batch(words, talks, torch)
        model(input_ids=inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.to(torch.bfloat16).save_pretrained(path)
    return path


def _tokenizer(texts):
    """Byte-level BPE: the engine binds a choice only for tokenizers whose bytes it knows."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[special for special in tiny.SPECIALS if special != "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=tiny.TEMPLATE,
    )


def _judgement(number):
    """What the classifier is asked and answers."""
    draw = random.Random(number)
    unsafe = draw.random() < 0.5
    form = LabelFormat("binary")
    asked = form.messages(sentence(draw.random(), unsafe))[1]["content"]
    return asked, form.answer("unsafe" if unsafe else "safe", None)


def _rewrite(number):
    """What is asked and answered: mostly a rewrite, sometimes a score."""
    draw = random.Random(number)
    source, text = (sentence(draw.random(), draw.random() < 0.5) for _ in range(2))
    if draw.random() < 0.25:
        row = {"prompt_id": "g", "parent_ids": ["s"], "text": text, "label": "safe"}
        values = {"text": text, "source": source, "label": row["label"]}
        turns = generation.render(generation.SCORE, values)
        return turns["user"], "4"
    label = draw.choice(("safe", "unsafe"))
    return generation.messages({"label": label, "text": source})[1]["content"], text


def _batch(words, talks, torch):
    rows = []
    for asked, answer in talks:
        prompt = words.apply_chat_template(
            [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True
        )
        ids = words(prompt, add_special_tokens=False)["input_ids"]
        said = [*words(answer, add_special_tokens=False)["input_ids"], words.eos_token_id]
        rows.append((ids + said, [-100] * len(ids) + said))
    width = max(len(ids) for ids, _ in rows)
    inputs = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
    labels = torch.tensor([want + [-100] * (width - len(want)) for _, want in rows])
    return inputs, labels
