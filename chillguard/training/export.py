"""The final model folder: weights in the precision of the base model, tokenizer, model card.

It loads with plain transformers and serves with vLLM without further arguments.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chillguard.tables import lineage
from chillguard.training import chat
from chillguard.training.label_format import LabelFormat
from chillguard.training.spec import SftConfig, TrainingSpec
from prompts import render

CARD = "training/card"
_PLACEHOLDER, _CODE = "PROMPT", "CODE"


def export(spec: TrainingSpec, final: Path, model: Path, metrics: Mapping[str, object]) -> None:
    """Write the folder `model` from the weights in `final`, as they were trained."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    dtype = AutoConfig.from_pretrained(spec.model).dtype or torch.float32
    weights = AutoModelForCausalLM.from_pretrained(final, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(final)
    if spec.kind == "sft":
        _answer_greedily(weights, tokenizer)
    shutil.rmtree(model, ignore_errors=True)
    weights.save_pretrained(model)
    tokenizer.save_pretrained(model)
    (model / "README.md").write_text(card(spec, metrics), "utf-8")


def _answer_greedily(weights: Any, tokenizer: Any) -> None:
    """Sampling settings of the base model would make servers draw the label."""
    from transformers import GenerationConfig

    ends = {chat.turn_end(tokenizer), tokenizer.eos_token_id} - {None}
    weights.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
    )


def card(spec: TrainingSpec, metrics: Mapping[str, object]) -> str:
    """The model card, in Markdown."""
    settings = spec.settings
    form = LabelFormat(settings.label_format) if isinstance(settings, SftConfig) else None
    turns = form.messages(_PLACEHOLDER) if form else ({"content": ""}, {"content": ""})
    values = {
        "release": spec.release,
        "kind": spec.kind,
        "base": Path(spec.model).name if Path(spec.model).is_dir() else spec.model,
        "stages": len(spec.stages),
        "system": turns[0]["content"],
        "user": turns[1]["content"],
        "answers": [form.answer(label, _CODE) for label in lineage.LABELS] if form else [],
        "settings": settings.model_dump(),
        "metrics": metrics,
    }
    return render(CARD, values)["body"] + "\n"
