import pytest

from chillguard.training import chat
from chillguard.training.data import TrainingError

pytest.importorskip("transformers", reason="needs the install group `train`: make .venv/train")
pytestmark = pytest.mark.train
# As Qwen3 does it: an empty thought where thinking is off, an open turn where it is on.
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
TALK = [{"role": "user", "content": "你好"}]
ANSWERED = [*TALK, {"role": "assistant", "content": "safe"}]


@pytest.fixture
def words():
    from tests.chillguard.training import tiny

    return tiny.tokenizer(["你好"])


def _text(words, talk, template, **options):
    return words.apply_chat_template(talk, tokenize=False, chat_template=template, **options)


def test_thinking_is_off_without_telling_the_server(words):
    begun = _text(words, TALK, THINKS, add_generation_prompt=True)
    assert not _text(words, ANSWERED, THINKS).startswith(begun + "safe")
    off = chat.without_thinking(THINKS)
    for options in ({}, {"enable_thinking": True}):
        begun = _text(words, TALK, off, add_generation_prompt=True, **options)
        assert _text(words, ANSWERED, off).startswith(begun + "safe")
    assert chat.without_thinking(off) == off


def test_a_template_without_the_switch_stays_as_it_is(words):
    assert chat.without_thinking(words.chat_template) == words.chat_template


def test_a_classifier_is_done_at_the_end_of_its_turn(words):
    assert chat.turn_end(words) == words.convert_tokens_to_ids("<|im_end|>")
    words.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(TrainingError, match="cannot be ended"):
        chat.turn_end(words)


def test_a_model_without_a_chat_template_is_refused(words, tmp_path):
    words.chat_template = None
    words.save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match="has no chat template"):
        chat.tokenizer(str(tmp_path), "sft")
