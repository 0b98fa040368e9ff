"""The chat template of a model, as training and serving both need it."""

from typing import Any

from chillguard.training.data import TrainingError
from chillguard.training.label_format import LabelFormat

_SWITCH = "enable_thinking"
_OFF = "{%- set " + _SWITCH + " = false -%}\n"


def tokenizer(model: str, kind: str) -> Any:
    """The tokenizer of a model; for a classifier (`sft`) with thinking switched off.

    Raises `TrainingError` for a model without a chat template, or one that ends no turn.
    """
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(model)
    if not found.chat_template:
        raise TrainingError(f"model {model} has no chat template; take an instruction-tuned model")
    if kind == "sft":
        found.chat_template = without_thinking(found.chat_template)
        turn_end(found)
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def without_thinking(template: str) -> str:
    """The template with its switch for thinking off; one without a switch stays as it is.

    Set in the template itself, no server and no library has to be told.
    """
    return template if _SWITCH not in template or template.startswith(_OFF) else _OFF + template


def turn_end(tokenizer: Any) -> int:
    """The token that follows an answer: a classifier is done when it has written it."""
    form = LabelFormat("binary")
    answer = form.answer("unsafe", None)
    talk = [*form.messages(""), {"role": "assistant", "content": answer}]
    text = tokenizer.apply_chat_template(talk, tokenize=False)
    tail = tokenizer(text.rpartition(answer)[2], add_special_tokens=False)["input_ids"]
    if not tail:
        raise TrainingError("the chat template writes nothing after an answer; it cannot be ended")
    return int(tail[0])
