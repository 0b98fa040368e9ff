"""A tiny checkpoint of the bge-m3 architecture, made in seconds: same files, same code path.

Its tokenizer knows `texts` only in part, as a real one does. Same call, same checkpoint.
"""

import json
import random
from pathlib import Path

DIMENSION = 64
MAX_TOKENS = 1024
_POOLING = {"word_embedding_dimension": DIMENSION, "pooling_mode_cls_token": True}
_PARTS = ("Transformer", "Pooling", "Normalize")
_PEOPLE = ("邻居", "老师", "同学", "妹妹", "医生", "店员", "爷爷", "Alice", "the gardener")
_PLACES = ("图书馆", "公园里", "阳台上", "菜市场", "地铁站", "小学门口", "at home", "河边")
_THINGS = ("看书", "种薄荷", "买面包", "修台灯", "学游泳", "等快递", "拍照片", "riding a bike")
_ENDS = (
    "。",
    "，天气很好。",
    "！",
    "，心情不错，晚上再去一次？",
    ", nice.",
    "，一共花了三十五块钱。",
)


def texts(count: int, seed: int = 0) -> list[str]:
    """Mild texts of one to thirty sentences, long and short mixed."""
    draw = random.Random(seed)
    parts = (_PEOPLE, _PLACES, _THINGS, _ENDS)
    return [
        "".join(
            draw.choice(part) for _ in range(draw.choice((1, 1, 2, 5, 12, 30))) for part in parts
        )
        for _ in range(count)
    ]


def make(folder: Path) -> Path:
    """Write the checkpoint: encoder, tokenizer, both heads and the pooling of its model card."""
    import sentencepiece
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    folder.mkdir(parents=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(texts(300, seed=9)), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=200,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    config = XLMRobertaConfig(
        vocab_size=202,
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=MAX_TOKENS + 2,
        type_vocab_size=1,
        initializer_range=0.4,
        # Written by the published checkpoint and read by the engine.
        position_embedding_type="absolute",
    )
    torch.manual_seed(5)
    XLMRobertaModel(config).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text("utf-8"))
    written |= {"position_embedding_type": "absolute", "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(written), "utf-8")
    AutoTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS).save_pretrained(folder)
    for name, width in (("sparse_linear", 1), ("colbert_linear", DIMENSION)):
        torch.save(torch.nn.Linear(DIMENSION, width).state_dict(), folder / f"{name}.pt")
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": f"{n}_{part}" if n else "",
            "type": f"sentence_transformers.models.{part}",
        }
        for n, part in enumerate(_PARTS)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    for n, part in enumerate(_PARTS[1:], 1):
        (folder / f"{n}_{part}").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(_POOLING), "utf-8")
    for gone in (corpus, folder / "sentencepiece.bpe.vocab"):
        gone.unlink()
    return folder
