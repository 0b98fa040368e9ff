import asyncio
import json

import httpx
import pytest

from chillguard.calls import probabilities
from chillguard.labeling import jury
from prompts import render
from resources.offline import app as module

USER = render(jury.VOTE, {"text": "请介绍一下垃圾分类的规定有哪些？"}, only=("user",))["user"]


def _post(path, body):
    async def once():
        transport = httpx.ASGITransport(app=module.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://offline") as http:
            return await http.post(path, content=body)

    return asyncio.run(once())


def _request(model, **more):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": USER}], **more})


def test_a_chat_completion_has_the_shape_of_a_real_one():
    response = _post("/v1/chat/completions", _request("offline-juror-1"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    assert (found["object"], found["model"]) == ("chat.completion", "offline-juror-1")
    assert found["system_fingerprint"] == "offline"
    [choice] = found["choices"]
    assert choice["message"] == {"role": "assistant", "content": "safe"}
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert found["usage"]["prompt_tokens"] == len(USER)
    assert found["usage"]["completion_tokens"] == 4


def test_log_probabilities_spell_the_answer_for_certain():
    request = _request("offline-juror-1", logprobs=True, top_logprobs=5)
    [choice] = _post("/v1/chat/completions", request).json()["choices"]
    tokens = choice["logprobs"]["content"]
    assert [token["token"] for token in tokens] == list(choice["message"]["content"])
    assert {token["logprob"] for token in tokens} == {0.0}
    assert probabilities.of_labels(tokens, ("safe", "unsafe")) == {"safe": 1.0, "unsafe": 0.0}


def test_a_token_of_several_bytes_names_them_all():
    user = "方法 1：口语化\n<text>\n请介绍垃圾分类。\n</text>"
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": user}]
    body = json.dumps({"model": "offline-rewriter", "messages": messages, "logprobs": True})
    [choice] = _post("/v1/chat/completions", body).json()["choices"]
    tokens = choice["logprobs"]["content"]
    spelled = bytes(byte for token in tokens for byte in token["bytes"])
    assert spelled.decode("utf-8") == choice["message"]["content"]
    assert len(tokens) < len(spelled)


@pytest.mark.parametrize("more", [{}, {"logprobs": False}, {"logprobs": None}])
def test_without_asking_there_are_no_log_probabilities(more):
    [choice] = _post("/v1/chat/completions", _request("offline-juror-1", **more)).json()["choices"]
    assert choice["logprobs"] is None


def test_a_long_body_that_comes_in_parts_is_read_whole():
    async def parts():
        body = _request("offline-juror-1").encode()
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    async def once():
        transport = httpx.ASGITransport(app=module.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://offline") as http:
            return await http.post("/v1/chat/completions", content=parts())

    assert asyncio.run(once()).status_code == 200


@pytest.mark.parametrize("model", ["offline-juror-9", "gpt", ""])
def test_an_unknown_model_is_404_and_named(model):
    response = _post("/v1/chat/completions", _request(model))
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["message"] == f"The model `{model}` does not exist."
    assert error["type"] == "NotFoundError"


@pytest.mark.parametrize("path", ["/v1/embeddings", "/", "/v1/chat/completions/more"])
def test_an_unknown_path_is_404(path):
    response = _post(path, _request("offline-juror-1"))
    assert response.status_code == 404
    assert "choices" not in response.json()


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", '{"model": "offline-juror-1"}'])
def test_a_body_that_is_no_request_is_rejected(body):
    response = _post("/v1/chat/completions", body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


@pytest.mark.parametrize(
    "model",
    [
        "offline-expander",
        "offline-synthesizer",
        "offline-rewriter",
        "offline-tie-breaker",
        "offline-categorizer",
        *(f"offline-juror-{slot}" for slot in range(1, 5)),
    ],
)
def test_every_stand_in_of_the_offline_profile_answers(model):
    user = "已有的词：词\n请再给出 1 个新词。\n方法 1：口语化\n关键词：词\n" + USER
    messages = [
        {"role": "system", "content": "- A1 甲：定义"},
        {"role": "user", "content": user},
    ]
    assert module.answer(model, messages)


def test_a_stand_in_says_the_same_again():
    first = _post("/v1/chat/completions", _request("offline-juror-2")).content
    assert _post("/v1/chat/completions", _request("offline-juror-2")).content == first
