"""Answers of a real vLLM engine through the product's own client: votes, schemas, probabilities."""

import json
import math

import pytest

from chillguard import taxonomy
from chillguard.calls import call, probabilities
from chillguard.labeling import jury
from chillguard.tables import lineage
from resources.models import chat
from tests.integration.real_engine import (
    BENIGN,
    HARMFUL,
    JURORS,
    PROBES,
    VOCABULARY,
    by_row,
    request,
    text_of,
    texts,
    turn,
    vote_user,
    votes,
)

pytestmark = pytest.mark.engine


# Votes


@pytest.mark.parametrize("model", JURORS)
def test_the_product_vote_is_readable_from_every_juror(ask, model):
    packaged = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    rows = [{"prompt_id": f"p{n}", "text": text} for n, (text, _) in enumerate(texts(6))]
    asker, config = ask(model), jury.LabelingConfig()
    found = by_row(asker("juror", jury.vote_requests(rows, packaged, config), jury.parse_vote))
    assert len(found) == len(rows)
    assert asker.usage.paid == len(rows) + PROBES
    assert all(outcome.value.label in lineage.LABELS for outcome in found.values())
    assert all(0.0 <= outcome.value.p_unsafe <= 1.0 for outcome in found.values())
    assert asker.usage.quarantined == 0


def test_a_juror_judges_and_the_jurors_disagree(ask):
    samples = texts(30)
    verdicts = {}
    for model in JURORS:
        outcomes = by_row(ask(model)("juror", votes(text for text, _ in samples), jury.parse_vote))
        found = [outcomes[f"p{n}"].value for n in range(len(samples))]
        verdicts[model] = [verdict.label for verdict in found]
        assert all((v.p_unsafe > 0.5) == (v.label == "unsafe") for v in found)
    truth = ["unsafe" if unsafe else "safe" for _, unsafe in samples]
    right = sum(said == true for said, true in zip(verdicts["juror-1"], truth, strict=True))
    assert right >= 0.9 * len(samples)
    assert len({tuple(said) for said in verdicts.values()}) >= 3


def test_the_ledger_books_the_tokens_that_the_engine_counts(ask, engine, ledger):
    asker = ask()
    asked = votes(text for text, _ in texts(5))
    assert len(list(asker("juror", asked, jury.parse_vote))) == 5
    counted = sum(len(engine.tokens(one.messages)) for one in [*asked, *[chat.PROBE] * PROBES])
    assert asker.usage.prompt_tokens == counted
    assert ledger.spent(role="juror").tokens == counted + asker.usage.completion_tokens


# How a schema is bound


def test_the_probe_finds_structured_outputs_and_is_remembered(ask, engine, ledger):
    assert ledger.binding(engine.url, "juror-2") is None
    before = engine.answered()
    assert len(list(ask("juror-2")("juror", votes([BENIGN]), jury.parse_vote))) == 1
    assert ledger.binding(engine.url, "juror-2") == "structured_outputs"
    assert engine.answered() == before + PROBES + 1
    assert len(list(ask("juror-2")("juror", votes([HARMFUL]), jury.parse_vote))) == 1
    assert engine.answered() == before + PROBES + 2


@pytest.mark.parametrize("binding", ["structured_outputs", "response_format"])
def test_both_bindings_bind_a_choice(ask, binding):
    other = {"choice": ["qvx", "zzz"]}
    asked = [request(f"p{n}", text, other) for n, (text, _) in enumerate(texts(4))]
    found = list(ask(structured=binding)("juror", asked, text_of))
    assert {outcome.value.strip('"') for outcome in found} <= {"qvx", "zzz"}
    assert len(found) == 4


@pytest.mark.parametrize("binding", ["structured_outputs", "response_format"])
def test_an_answer_under_a_json_schema_parses(ask, binding):
    shape = {
        "type": "object",
        "properties": {
            "label": {"enum": ["safe", "unsafe"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["label", "count"],
        "additionalProperties": False,
    }
    asked = [request(f"p{n}", text, shape) for n, (text, _) in enumerate(texts(6))]
    found = list(ask("juror-3", structured=binding)("juror", asked, call.parse_json))
    assert len(found) == 6
    for outcome in found:
        assert outcome.value["label"] in lineage.LABELS
        assert outcome.value["count"] in range(1, 6)


def test_several_samples_are_several_paid_calls_with_repeat_indices_of_their_own(ask, ledger):
    shape = {"type": "string", "minLength": 8, "maxLength": 24}
    sampling = {"temperature": 1.0, "max_tokens": 200}
    asked = [request("p0", BENIGN, shape, repeat=n, **sampling) for n in range(4)]
    found = [outcome.value for outcome in ask()("juror", asked, text_of)]
    assert len(found) == 4
    assert len({*found}) > 1
    assert ledger.count() == PROBES + 4
    again = ask()
    assert sorted(o.value for o in again("juror", asked, text_of)) == sorted(found)
    assert again.usage.paid == 0


def test_the_engine_gives_n_samples_to_one_request(engine):
    reply = engine.ask(BENIGN, n=3, temperature=1.0, max_tokens=4)
    assert reply.status_code == 200
    assert len(reply.json()["choices"]) == 3


def test_the_engine_ignores_the_old_names_of_a_constraint(engine):
    old = {"guided_choice": ["qvx"], "extra_body": {"structured_outputs": {"choice": ["qvx"]}}}
    reply = engine.ask(BENIGN, max_tokens=8, temperature=0, **old)
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] != "qvx"


# Probabilities


def token_bytes(models_folder):
    """Bytes by token id, from the tokenizer's file: the byte-level alphabet of GPT-2, undone."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    odd = (byte for byte in range(256) if byte not in printable)
    letters |= {chr(256 + number): byte for number, byte in enumerate(odd)}
    model = json.loads((models_folder / "base/tokenizer.json").read_text("utf-8"))["model"]
    return {
        number: bytes(letters[letter] for letter in token)
        for token, number in model["vocab"].items()
        if all(letter in letters for letter in token)
    }


def token_chances(engine, model, ids, candidates):
    """Probability of each candidate as the next token, among the candidates only."""
    body = {"model": model, "prompt": ids, "max_tokens": 1, "logprobs": VOCABULARY}
    body["return_tokens_as_token_ids"] = True
    (top,) = engine.post("/v1/completions", body).json()["choices"][0]["logprobs"]["top_logprobs"]
    logprobs = [top[f"token_id:{token}"] for token in candidates]
    total = sum(map(math.exp, logprobs))
    return [math.exp(value) / total for value in logprobs]


def label_chances(engine, model, vocabulary, ids, labels, spelled=b""):
    """Chance of each label under a constraint to the labels, over all ways to spell them."""
    if len(labels) == 1:
        return {labels[0]: 1.0}
    fitting = {
        token: [label for label in labels if label.encode().startswith(spelled + piece)]
        for token, piece in vocabulary.items()
        if piece
    }
    fitting = {token: some for token, some in fitting.items() if some}
    chances = token_chances(engine, model, ids, list(fitting))
    total = dict.fromkeys(labels, 0.0)
    for (token, some), chance in zip(fitting.items(), chances, strict=True):
        further = spelled + vocabulary[token]
        below = label_chances(engine, model, vocabulary, [*ids, token], some, further)
        for label, share in below.items():
            total[label] += chance * share
    return total


@pytest.mark.parametrize("model", ["juror-1", "juror-4", "tie-breaker"])
@pytest.mark.parametrize("labels", [("safe", "unsafe"), ("unsafe", "unclear")])
def test_probability_of_a_label_is_that_of_all_its_spellings(
    ask, engine, models_folder, model, labels
):
    asked = [
        request(f"p{n}", vote_user(text), {"choice": list(labels)}, top_logprobs=20)
        for n, (text, _) in enumerate(texts(3))
    ]
    found = by_row(ask(model)("juror", asked, lambda answer: answer))
    vocabulary = token_bytes(models_folder)
    for one in asked:
        answer = found[one.row_id].value
        shares = probabilities.of_labels(answer.logprobs, labels)
        assert answer.text in labels
        assert set(shares) == set(labels)
        assert sum(shares.values()) == pytest.approx(1.0)
        assert all(0.0 <= share <= 1.0 for share in shares.values())
        truth = label_chances(engine, model, vocabulary, engine.tokens(one.messages), labels)
        assert shares == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize("model", ["juror-2", "juror-4", "tie-breaker"])
def test_probability_of_a_label_whose_characters_are_cut_into_bytes(
    ask, engine, models_folder, model
):
    labels = ("安全", "不安全")
    asked = request("p0", vote_user(BENIGN), {"choice": list(labels)}, top_logprobs=20)
    (found,) = ask(model)("juror", [asked], lambda answer: answer)
    shares = probabilities.of_labels(found.value.logprobs, labels)
    vocabulary = token_bytes(models_folder)
    truth = label_chances(engine, model, vocabulary, engine.tokens(asked.messages), labels)
    assert shares is None or shares == pytest.approx(truth, abs=0.05)


def test_without_log_probabilities_there_is_no_probability(ask):
    asked = [request("p0", vote_user(BENIGN), {"choice": list(lineage.LABELS)})]
    (found,) = ask()("juror", asked, jury.parse_vote)
    assert found.value.label in lineage.LABELS
    assert found.value.p_unsafe is None


# Untrusted text


def special_ids(models_folder):
    document = json.loads((models_folder / "base/tokenizer.json").read_text("utf-8"))
    return {token["id"] for token in document["added_tokens"]}


@pytest.mark.parametrize(
    "mark",
    [
        *("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
        "<think>",
        "</think>",
        "<｜User｜>",
        "[INST]",
    ],
)
def test_the_fence_disarms_special_tokens_in_a_text(engine, models_folder, mark):
    specials = special_ids(models_folder)

    def count(content):
        return sum(token in specials for token in engine.tokens(turn(content)))

    assert count(f"你好{mark}你好") == count("你好你好") + 1
    assert count(vote_user(f"你好{mark}你好")) == count(vote_user("你好你好"))
