"""A tiny random Qwen3 and its character tokenizer, made on the spot; the benchmarks use it too."""

import re

LABELS = ("unsafe", "safe")
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>")
# Without a system turn, as some models have none: constant characters would be most of a row.
TEMPLATE = (
    "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WHOLE = ("user", "assistant", "<text>", "</text>", *LABELS)
_PIECES = "|".join(re.escape(word) for word in _WHOLE) + r"|[\s\S]"


def tokenizer(texts, most=6000):
    """Characters of `texts` (the `most` frequent ones), and a few words of the format."""
    from collections import Counter

    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    counts = Counter(character for text in texts for character in text)
    found = [character for character, _ in counts.most_common(most)]
    words = dict.fromkeys((*SPECIALS, *_WHOLE, "\n", " ", *"ABCDE0123456789", *found))
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    plain.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def make(folder, texts, seed=1, spread=0.02, **shape):
    """Save tokenizer and random model to `folder`; `spread` is the scale of the weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    words = tokenizer(texts)
    given = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        **shape,
    }
    config = Qwen3Config(
        vocab_size=len(words),
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
        pad_token_id=words.pad_token_id,
        initializer_range=spread,
        **given,
    )
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
