import sys

import dagster as dg
import pytest
from pydantic import ValidationError

from resources.offline import lexicon
from resources.translation import OpusMtTranslator, PhrasebookTranslator, RoleTranslator, Translator


def _told(_):
    """Progress that nobody reads."""


def test_the_port_itself_cannot_be_used():
    with pytest.raises(TypeError, match="local"):
        Translator()


def test_a_role_translates_nothing_in_this_process():
    assert RoleTranslator().local(_told) is None


@pytest.mark.parametrize("texts", [[], ["", "42!", "<PHONE> 10:30", "😀"]])
def test_texts_without_words_come_back_and_load_no_model(monkeypatch, texts):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert OpusMtTranslator().local(_told)(texts) == texts


def test_without_the_install_group_the_mend_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        dg.Failure, match=r"needs the install group `train`: run `make .venv/train`"
    ):
        OpusMtTranslator().translate(["Good morning"])


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"max_tokens": 15}])
def test_settings_that_cannot_work_are_refused(setting):
    with pytest.raises(ValidationError):
        OpusMtTranslator(**setting)


def test_the_default_is_the_paper_s_model_in_simplified_script():
    found = OpusMtTranslator()
    assert (found.model, found.prefix) == ("Helsinki-NLP/opus-mt-en-zh", ">>cmn_Hans<<")
    assert (found.max_tokens, found.device) == (512, "cpu")


def test_the_phrase_book_keeps_order_and_leaves_the_unknown_empty():
    known = list(lexicon.translations().items())
    texts = [known[3][0], "Nothing that is known.", known[0][0]]
    assert PhrasebookTranslator().translate(texts) == [known[3][1], "", known[0][1]]
    assert PhrasebookTranslator().translate([]) == []


def test_the_phrase_book_knows_all_bundled_english_posts():
    texts = list(lexicon.translations())
    assert all(PhrasebookTranslator().translate(texts))
