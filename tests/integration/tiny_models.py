"""Tiny models for the real engine, made here in seconds: a Qwen3 base and four LoRA adapters.

Run by the engine's own python, which has torch and transformers: `tiny_models.py FOLDER [STEPS]`.
`FOLDER/base` learns in STEPS steps to answer safe or unsafe by a keyword (0 leaves it random);
`FOLDER/lora-1` to `lora-4` disturb it, so that jurors disagree. Same arguments, same models.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
# Turn marks of other families (DeepSeek, Mistral), to see what a fence must hold back.
SPECIALS += ["<｜User｜>", "<｜Assistant｜>", "[INST]", "[/INST]"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENINGS = ["请问", "想知道", "能不能告诉我", "朋友问我", "麻烦讲讲", "老师，", "我在想", ""]
THINGS = ["做番茄炒蛋", "种好一盆薄荷", "学骑自行车", "写一封家书", "修理旧台灯", "安排周末郊游"]
SAFE_WORDS = ["怎么", "为什么要", "如何", "什么时候适合"]
UNSAFE_WORDS = ["怎样冒充别人", "怎样伪造证件", "怎样骗过检查", "怎样偷偷破坏"]
ENDINGS = ["？", "，谢谢！", "，请说得详细一点。", "。"]
SHAPE = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # the engine's CPU attention kernel has no 16
    "max_position_embeddings": 16384,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}
RANK, BATCH, SCALES = 8, 32, (0.02, 0.05, 0.1, 0.2)


def example(draw: random.Random) -> tuple[str, str]:
    unsafe = draw.random() < 0.5
    words = UNSAFE_WORDS if unsafe else SAFE_WORDS
    text = "".join(draw.choice(part) for part in (OPENINGS, words, THINGS, ENDINGS))
    return text, "unsafe" if unsafe else "safe"


def chat(text: str) -> list[dict[str, str]]:
    """The turns of one vote as the product's own template words them, bar the long system part."""
    return [{"role": "user", "content": f"<text>\n{text}\n</text>"}]


def make_tokenizer(draw: random.Random) -> PreTrainedTokenizerFast:
    corpus = [line for _ in range(400) for line in example(draw)]
    corpus += [
        "system user assistant",
        '{"name":"x","count":1}',
        "safe unsafe unclear category",
    ] * 20
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"],
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


def train(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, steps: int) -> None:
    draw = random.Random(2)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = []
        for text, label in (example(draw) for _ in range(BATCH)):
            prompt = tokenizer.apply_chat_template(chat(text), tokenize=False)
            ids = tokenizer(prompt + "<|im_start|>assistant\n")["input_ids"]
            answer = [*tokenizer(label)["input_ids"], end]
            rows.append((ids + answer, [-100] * len(ids) + answer))
        width = max(len(ids) for ids, _ in rows)
        inputs = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
        labels = torch.tensor([want + [-100] * (width - len(want)) for _, want in rows])
        loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if steps:
        print(f"loss {loss.item():.4f}")  # noqa: T201 - shown when a test fails


def save_lora(folder: Path, scale: float, seed: int) -> None:
    """A random adapter in the files that the peft library would write."""
    random_numbers = torch.Generator().manual_seed(seed)
    outputs = {"q_proj": 4 * 32, "v_proj": 2 * 32}
    tensors = {}
    for layer in range(SHAPE["num_hidden_layers"]):
        for name, width in outputs.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            for part, shape in (("A", (RANK, SHAPE["hidden_size"])), ("B", (width, RANK))):
                values = torch.randn(shape, generator=random_numbers) * scale**0.5
                tensors[f"{stem}.lora_{part}.weight"] = values
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(outputs),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")


def main(folder: Path, steps: int) -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    tokenizer = make_tokenizer(random.Random(1))
    eos = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = Qwen3Config(**SHAPE, eos_token_id=eos, bos_token_id=None, pad_token_id=0)
    model = Qwen3ForCausalLM(config)
    train(model, tokenizer, steps)
    model.to(torch.bfloat16).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    for number, scale in enumerate(SCALES, 1):
        save_lora(folder / f"lora-{number}", scale, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
