"""The product's own client against a real vLLM engine on CPU, and the stand-in against the engine.

One server with five served names (a base model and four adapters) answers nearly all tests; the
test that kills an engine has one of its own.
"""

import asyncio
import itertools
import json
import math
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from chillguard import calls, labeling, probabilities, records, schema, taxonomy
from prompts import render
from resources import chat
from resources.ledger import Ledger
from resources.llm import Asker, LanguageModels, ModelRole
from resources.offline.app import app
from resources.progress import Progress

pytestmark = pytest.mark.engine

TRAINED_STEPS, READY_WITHIN_S = 150, 240
VOCABULARY = 1024
JURORS = ("juror-1", "juror-2", "juror-3", "juror-4", "tie-breaker")
ADAPTERS = {name: f"lora-{number}" for number, name in enumerate(JURORS[1:], 1)}
AT_ONCE = 64
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
BENIGN, HARMFUL = "请问怎么种好一盆薄荷？", "请问怎样伪造证件做番茄炒蛋？"


@dataclass
class Server:
    """A `vllm serve` process group of ours, on a port that stays the same over restarts."""

    program: Path
    model: Path
    log: Path
    adapters: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.root}/v1"

    def start(self):
        lora = ["--enable-lora", "--max-loras", "4", "--max-lora-rank", "8", "--lora-modules"]
        lora += [f"{name}={self.model / folder}" for name, folder in self.adapters.items()]
        command = [
            str(self.program), "serve", str(self.model / "base"),
            "--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", JURORS[0],
            "--max-model-len", "8192", "--max-num-seqs", str(AT_ONCE), "--enforce-eager",
            "--kv-cache-memory-bytes", str(64 * 2**20), "--disable-uvicorn-access-log",
            "--structured-outputs-config",
            '{"backend":"xgrammar","disable_any_whitespace":true}',
            "--max-logprobs", str(VOCABULARY),
            *(lora if self.adapters else ()),
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.ask("1", max_tokens=1).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        tail = self.log.read_bytes()[-3000:].decode("utf-8", "replace")
        self.stop()
        pytest.fail(f"the engine did not start; its log ends:\n{tail}")

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
            os.killpg(self.process.pid, signal.SIGKILL)
        except subprocess.TimeoutExpired:
            self.kill()
        except ProcessLookupError:
            pass

    def post(self, path, body):
        return httpx.post(self.root + path, json=body, timeout=60, trust_env=False)

    def ask(self, text, model=JURORS[0], **more):
        body = {"model": model, "messages": list(turn(text)), **more}
        return self.post("/v1/chat/completions", body)

    def gauge(self, name):
        """Sum of one metric, by its exact name."""
        text = httpx.get(self.root + "/metrics", timeout=10, trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        assert lines, f"the engine has no metric {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def answered(self):
        """Requests that the engine has ever finished; counted a moment after they are answered."""
        time.sleep(0.5)
        return self.gauge("vllm:request_success_total")

    def tokens(self, messages):
        body = {"model": JURORS[0], "messages": list(messages)}
        return self.post("/tokenize", body).json()["tokens"]


def turn(text):
    return ({"role": "user", "content": text},)


def vote_user(text):
    return render(labeling.VOTE, {"text": text}, only=("user",))["user"]


def request(row_id, text, schema_=None, repeat=0, **sampling):
    return calls.ChatRequest(row_id, turn(text), calls.Sampling(**sampling), schema_, repeat)


def votes(texts):
    """Short vote requests in the shape that the tiny model has learnt: no system message."""
    return [
        request(f"p{n}", vote_user(text), {"choice": list(schema.LABELS)}, max_tokens=16,
                top_logprobs=5)
        for n, text in enumerate(texts)
    ]  # fmt: skip


def texts(count):
    things = (
        "做番茄炒蛋",
        "种好一盆薄荷",
        "学骑自行车",
        "写一封家书",
        "修理旧台灯",
        "安排周末郊游",
    )
    words = ("怎么", "怎样冒充别人", "如何", "怎样骗过检查", "什么时候适合", "怎样偷偷破坏")
    pairs = [(word, thing) for thing in things for word in words]
    return [
        (f"请问{word}{thing}。", len(word) > 4 and "时候" not in word) for word, thing in pairs
    ][:count]


@pytest.fixture(scope="session")
def engine_home():
    home = Path(os.environ.get("CHILLGUARD_ENGINE", "engine environment"))
    if not (home / "ready").exists():
        pytest.fail(f"there is no engine at {home}: run `make engine` (it sets CHILLGUARD_ENGINE)")
    return home


@pytest.fixture(scope="session")
def models_folder(engine_home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_models")
    script = Path(__file__).with_name("tiny_models.py")
    command = [engine_home / "bin/python", script, folder, str(TRAINED_STEPS)]
    done = subprocess.run(
        command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def engine(engine_home, models_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp("engine") / "engine.log"
    server = Server(engine_home / "bin/vllm", models_folder, log, ADAPTERS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ledger(tmp_path):
    return Ledger(url=f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def ask(engine, ledger):
    """Make an asker whose role `role` is a model of the engine."""

    def make(model=JURORS[0], role="juror", server=engine, **settings):
        assert engine.process.poll() is None, "the engine is dead; its log says why"
        settings = {"concurrency": 16, "timeout_s": 60.0, "give_up_after_s": 10.0, **settings}
        bound = ModelRole(role=role, model=model, urls=[server.url], **settings)
        models = LanguageModels(roles=[bound], ledger=ledger)
        return Asker(
            models, "jury_votes/juror_1", "run-1", Progress("jury_votes/juror_1", lambda line: None)
        )

    return make


def by_row(outcomes):
    return {outcome.row_id: outcome for outcome in outcomes}


def text_of(answer):
    return answer.text


# Votes


@pytest.mark.parametrize("model", JURORS)
def test_the_product_vote_is_readable_from_every_juror(ask, model):
    packaged = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "taxonomy.yaml")
    rows = [{"prompt_id": f"p{n}", "text": text} for n, (text, _) in enumerate(texts(6))]
    asker, config = ask(model), labeling.LabelingConfig()
    found = by_row(
        asker("juror", labeling.vote_requests(rows, packaged, config), labeling.parse_vote)
    )
    assert len(found) == asker.usage.paid == len(rows)
    assert all(outcome.value.label in schema.LABELS for outcome in found.values())
    assert all(0.0 <= outcome.value.p_unsafe <= 1.0 for outcome in found.values())
    assert asker.usage.quarantined == 0


def test_a_juror_judges_and_the_jurors_disagree(ask):
    samples = texts(30)
    verdicts = {}
    for model in JURORS:
        outcomes = by_row(
            ask(model)("juror", votes(text for text, _ in samples), labeling.parse_vote)
        )
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
    assert len(list(asker("juror", asked, labeling.parse_vote))) == 5
    counted = sum(len(engine.tokens(one.messages)) for one in asked)
    assert asker.usage.prompt_tokens == counted
    assert ledger.spent(role="juror").tokens == counted + asker.usage.completion_tokens


# How a schema is bound


def test_the_probe_finds_structured_outputs_and_is_remembered(ask, engine, ledger):
    assert ledger.binding(engine.url, "juror-2") is None
    before = engine.answered()
    assert len(list(ask("juror-2")("juror", votes([BENIGN]), labeling.parse_vote))) == 1
    assert ledger.binding(engine.url, "juror-2") == "structured_outputs"
    assert engine.answered() == before + 2
    assert len(list(ask("juror-2")("juror", votes([HARMFUL]), labeling.parse_vote))) == 1
    assert engine.answered() == before + 3


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
    found = list(ask("juror-3", structured=binding)("juror", asked, calls.parse_json))
    assert len(found) == 6
    for outcome in found:
        assert outcome.value["label"] in schema.LABELS
        assert outcome.value["count"] in range(1, 6)


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
    asked = [request("p0", vote_user(BENIGN), {"choice": list(schema.LABELS)})]
    (found,) = ask()("juror", asked, labeling.parse_vote)
    assert found.value.label in schema.LABELS
    assert found.value.p_unsafe is None


# What cannot be answered


def test_an_answer_cut_off_is_asked_anew_then_quarantined(ask, ledger):
    shape = {"type": "object", "properties": {"name": {"type": "string", "minLength": 40}},
             "required": ["name"]}  # fmt: skip
    asker = ask()
    asked = [request("p0", BENIGN, shape, max_tokens=6), *votes([HARMFUL])]
    asked[1] = request("p1", BENIGN, {"type": "object", "additionalProperties": False})
    found = by_row(asker("juror", asked, calls.parse_json))
    assert found["p0"].value is None
    assert found["p0"].reason == "unreadable: cut off at max_tokens"
    assert found["p1"].value == {}
    key = calls.call_key("juror-1", "main", asked[0], 0)
    held = ledger.quarantined([key])[key]
    assert (held.attempts, held.held, held.row_id) == (2, True, "p0")
    stored = ledger.answers([key, found["p0"].call_key])
    assert len(stored) == 2
    assert {answer.finish_reason for answer in stored.values()} == {"length"}
    assert asker.usage.paid == 3


def test_an_over_long_prompt_is_quarantined_and_the_others_are_kept(ask, ledger):
    asked = votes([BENIGN, "好 " * 9000, HARMFUL])
    asker = ask()
    found = by_row(asker("juror", asked, labeling.parse_vote))
    assert found["p0"].value.label == "safe"
    assert found["p2"].value.label == "unsafe"
    assert found["p1"].reason == "rejected: HTTP 400 BadRequestError"
    assert asker.usage.paid == ledger.count() == 2
    key = calls.call_key("juror-1", "main", asked[1], 0)
    assert ledger.quarantined([key])[key].reason == found["p1"].reason


def test_a_model_that_is_not_served_stops_the_stage_and_is_not_remembered(ask, engine, ledger):
    with pytest.raises(dg.Failure, match="HTTP 404 NotFoundError"):
        list(ask("no-such-model")("juror", votes([BENIGN, HARMFUL]), labeling.parse_vote))
    assert ledger.count() == 0
    assert ledger.binding(engine.url, "no-such-model") is None
    assert len(list(ask()("juror", votes([BENIGN, HARMFUL]), labeling.parse_vote))) == 2
    assert ledger.count() == 2


def test_lone_surrogates_are_rejected_at_the_door():
    source = records.SourceConfig(name="s", path=Path("s.jsonl"))
    rejects: list[records.Reject] = []
    rows = [records.Parsed(1, {"text": "好\ud83d"}), records.Parsed(2, {"text": "好"})]
    assert len(list(records.accept(rows, source, (), rejects))) == 1
    assert [reject.reason for reject in rejects] == ["holds a lone surrogate"]


def test_a_lone_surrogate_on_the_wire_is_an_error_of_its_row(ask):
    found = by_row(ask()("juror", votes([BENIGN, "好\ud83d"]), labeling.parse_vote))
    assert found["p0"].value.label == "safe"
    assert found["p1"].reason


def test_the_engine_refuses_a_lone_surrogate(engine):
    body = {"model": JURORS[0], "messages": list(turn("好\ud83d")), "max_tokens": 2}
    reply = httpx.post(
        f"{engine.url}/chat/completions",
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        timeout=60,
        trust_env=False,
    )
    assert reply.status_code == 400


def test_a_greedy_request_for_several_answers_is_refused(engine):
    reply = engine.ask(BENIGN, n=2, temperature=0, max_tokens=2)
    assert reply.status_code == 400
    assert "greedy" in reply.json()["error"]["message"]


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


# Never twice, never too many


def test_a_second_identical_run_makes_no_call(ask, engine, ledger):
    asked = votes(text for text, _ in texts(20))
    first = {o.row_id: o.value for o in ask()("juror", asked, labeling.parse_vote)}
    before, paid = engine.answered(), ledger.count()
    again = ask()
    second = {o.row_id: o.value for o in again("juror", asked, labeling.parse_vote)}
    assert second == first
    assert engine.answered() == before
    assert ledger.count() == paid == 20
    assert (again.usage.paid, again.usage.from_ledger) == (0, 20)


def long_requests(count, length):
    """One short request, then long ones: a forced answer has a known number of tokens."""
    forced = {"choice": ["x" * length]}
    sampling = {"temperature": 1.0, "max_tokens": length + 20}
    rest = [request(f"long{n}", f"{n}", forced, repeat=n, **sampling) for n in range(count)]
    return [request("short", BENIGN, {"choice": ["x"]}), *rest]


def test_closing_early_aborts_what_is_running(ask, engine):
    outcomes = ask(structured="structured_outputs")("juror", long_requests(12, 6000), text_of)
    assert next(outcomes).row_id == "short"
    assert engine.gauge("vllm:num_requests_running") >= 8
    outcomes.close()
    deadline = time.monotonic() + 10
    while engine.gauge("vllm:num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert engine.gauge("vllm:num_requests_running") == 0
    assert engine.gauge("vllm:num_requests_waiting") == 0


async def queue_length(url):
    wire = chat.Wire(url, None, 10.0, 4)
    try:
        return await wire.queue_length()
    finally:
        await wire.close()


def test_the_queue_is_as_long_as_the_engine_says(ask, engine):
    assert asyncio.run(queue_length(engine.url)) == 0
    asker = ask(structured="structured_outputs", concurrency=AT_ONCE + 36)
    outcomes = asker("juror", long_requests(AT_ONCE + 35, 6000), text_of)
    assert next(outcomes).row_id == "short"
    try:
        deadline = time.monotonic() + 10
        while not engine.gauge("vllm:num_requests_waiting") and time.monotonic() < deadline:
            time.sleep(0.2)
        waiting = engine.gauge("vllm:num_requests_waiting")
        assert waiting > 0
        assert asyncio.run(queue_length(engine.url)) == waiting
    finally:
        outcomes.close()


# The stand-in against the engine

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": f"<text>\n{BENIGN}\n</text>"}]
LOGPROBS = {"logprobs": True, "top_logprobs": 2}
WRONG = {
    "unknown model": (CHAT, {"model": "no-such-model", "messages": QUESTION}),
    "unknown path": ("/v1/no/such/path", {"model": None, "messages": QUESTION}),
    "malformed JSON": (CHAT, b'{"model":'),
    "missing messages": (CHAT, {"model": None}),
}


async def send(transport, root, path, body, model):
    """Send to an endpoint a body in which None stands for the name of a model it has."""
    async with httpx.AsyncClient(transport=transport, base_url=root, trust_env=False) as http:
        if isinstance(body, dict):
            body = json.dumps({**body, "model": body["model"] or model}).encode()
        headers = {"content-type": "application/json"}
        return await http.post(path, content=body, headers=headers, timeout=60)


@pytest.fixture
def both(engine):
    """The engine's response and the stand-in's to the same request."""

    def post(path, body):
        stand_in = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return (
            asyncio.run(send(None, engine.root, path, body, JURORS[0])),
            asyncio.run(send(stand_in, "http://offline", path, body, "offline-juror-1")),
        )

    return post


def keys_of(response: httpx.Response, *path: str | int) -> set[str] | None:
    """Keys of the object at a place of a JSON body; None where there is no object."""
    try:
        place: Any = response.json()
        for step in path:
            place = place[step]
        return set(place)
    except (ValueError, LookupError, TypeError):
        return None


def good(**more):
    return {"model": None, "messages": QUESTION, "temperature": 0, "max_tokens": 4, **more}


BAD = ("unknown model", "unknown path", "malformed JSON", "missing messages")


@pytest.mark.parametrize("case", BAD)
def test_the_stand_in_has_the_status_of_the_engine(both, case):
    real, twin = both(*WRONG[case])
    assert twin.status_code == real.status_code
    assert twin.headers["content-type"] == real.headers["content-type"]


@pytest.mark.parametrize("case", BAD)
def test_the_stand_in_words_errors_as_the_engine_does(both, case):
    real, twin = both(*WRONG[case])
    assert keys_of(twin) == keys_of(real)
    assert keys_of(twin, "error") == keys_of(real, "error")
    if keys_of(real, "error"):
        assert twin.json()["error"]["type"] == real.json()["error"]["type"]


def test_the_stand_in_answers_a_good_request(both):
    real, twin = both(CHAT, good())
    assert twin.status_code == real.status_code == 200
    assert twin.headers["content-type"] == real.headers["content-type"]
    for body in (real.json(), twin.json()):
        assert body["choices"][0]["message"]["content"] in schema.LABELS
        assert body["object"] == "chat.completion"


PLACES = [(), ("choices", 0), ("choices", 0, "message"), ("usage",)]


@pytest.mark.parametrize("place", PLACES)
def test_the_stand_in_invents_no_key(both, place):
    real, twin = both(CHAT, good())
    assert keys_of(twin, *place) <= keys_of(real, *place)


@pytest.mark.xfail(strict=True, reason="the stand-in has no log-probabilities")
def test_the_stand_in_gives_log_probabilities_when_asked(both):
    real, twin = both(CHAT, good(**LOGPROBS))
    place = ("choices", 0, "logprobs", "content", 0)
    assert keys_of(real, *place) == {"token", "logprob", "bytes", "top_logprobs"}
    assert keys_of(twin, *place) == keys_of(real, *place)


# An engine that dies


def test_an_engine_killed_in_mid_run_costs_only_what_was_in_flight(
    engine_home, models_folder, ask, ledger, tmp_path
):
    server = Server(engine_home / "bin/vllm", models_folder, tmp_path / "engine.log")
    server.start()
    try:
        asked = long_requests(200, 60)
        short = [
            request(f"short{n}", f"短 {n}", {"choice": ["xx"]}, max_tokens=8) for n in range(40)
        ]
        asked = [*asked[:1], *short, *asked[1:]]
        settings = {"concurrency": 240, "give_up_after_s": 3.0, "server": server}
        outcomes = ask(**settings)("juror", asked, text_of)
        seen = list(itertools.islice(outcomes, 20))
        server.kill()
        with pytest.raises(dg.Failure) as failure:
            seen.extend(outcomes)
        told = failure.value.description
        assert "asset jury_votes/juror_1, role juror" in told
        assert server.url in told
        paid = ledger.count()
        assert 20 <= len(seen) <= paid <= len(asked) - 100
        assert {o.reason for o in seen} == {None}
        assert len(ledger.answers([o.call_key for o in seen])) == len(seen)
        keys = [calls.call_key("juror-1", "main", one, one.repeat) for one in asked]
        assert ledger.quarantined(keys) == {}

        server.start()
        again = ask(**settings)
        found = by_row(again("juror", asked, text_of))
        assert len(found) == len(asked)
        assert {outcome.reason for outcome in found.values()} == {None}
        assert again.usage.paid == len(asked) - paid
        assert again.usage.from_ledger == paid
        assert ledger.count() == len(asked)
    finally:
        server.stop()
