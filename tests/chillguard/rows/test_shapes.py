import json

import pytest

from chillguard.rows import records

TURNS = [("system", "你是助手"), ("user", "第一问"), ("assistant", "第一答")]
MESSAGES = [{"role": role, "content": text} for role, text in TURNS]
NAMES = {"system": "system", "user": "human", "assistant": "gpt"}
SHAREGPT = [{"from": NAMES[role], "value": text} for role, text in TURNS]
AGAIN = {"role": "user", "content": "第二问"}


def _accept(rows, **source):
    config = records.SourceConfig(name="own", path="own.jsonl", **source)
    rejects = []
    parsed = [records.Parsed(line, row) for line, row in enumerate(rows, 1)]
    good = [*records.accept(parsed, config, ["A1"], rejects)]
    return [(row["text"], row.get("response")) for row in good], [r.reason for r in rejects]


@pytest.mark.parametrize(
    ("shape", "row", "said"),
    [
        ("messages", {"messages": MESSAGES}, ("第一问", "第一答")),
        ("messages", {"messages": json.dumps(MESSAGES)}, ("第一问", "第一答")),
        ("messages", {"messages": [*MESSAGES, AGAIN]}, ("第二问", None)),
        (
            "messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "看图"}, {"type": "image_url"}],
                    }
                ]
            },
            ("看图", None),
        ),
        ("sharegpt", {"conversations": SHAREGPT}, ("第一问", "第一答")),
        ("prompt_response", {"prompt": "问", "response": "答"}, ("问", "答")),
        ("prompt_response", {"prompt": "问", "response": None}, ("问", None)),
        ("rows", {"text": "问"}, ("问", None)),
    ],
)
def test_the_last_turn_of_the_user_is_the_prompt_and_the_answer_to_it_is_kept(shape, row, said):
    assert _accept([row], shape=shape) == ([said], [])


def test_a_conversation_may_stand_in_any_column():
    assert _accept([{"chat": MESSAGES}], shape="messages", columns={"text": "chat"})[0] == [
        ("第一问", "第一答")
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "there is no text"),
        ("隐私的话", "needs a list of turns, not a text"),
        ({"role": "user"}, "needs a list of turns, not dict"),
        ([], "no turn of a user"),
        (MESSAGES[:1], "no turn of a user"),
        ([{"content": "隐私的话"}], "a turn without `role`"),
        (["隐私的话"], "a turn without `role`"),
        ([{"role": "user", "content": {"a": "隐私的话"}}], "a turn whose `content` is dict"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "there is no text"),
        ([{"role": "user", "content": " "}], "text is empty"),
        ([{"role": "user", "content": "\ud800"}], "holds a lone surrogate"),
        ([AGAIN, {"role": "assistant", "content": "\ud800"}], "holds a lone surrogate"),
    ],
)
def test_a_row_that_is_no_conversation_is_rejected_without_quoting_it(value, reason):
    good, rejects = _accept([{"messages": MESSAGES}, {"messages": value}], shape="messages")
    assert len(good) == 1
    assert rejects[0].endswith(reason)
    assert "隐私" not in rejects[0]


def _task(*choices, **more):
    results = [
        {"result": [{"from_name": "verdict", "value": {"choices": [choice]}}]} for choice in choices
    ]
    return {"id": 7, "data": {"text": "一句话"}, "annotations": results, **more}


@pytest.mark.parametrize(
    ("row", "label"),
    [
        (_task("unsafe"), "unsafe"),
        (_task("unsafe", "unsafe"), "unsafe"),
        (_task("unsafe", "safe"), None),
        ({"id": 7, "text": "一句话", "verdict": "safe"}, "safe"),
    ],
)
def test_a_task_of_label_studio_is_its_data_and_what_all_annotators_chose(row, label):
    columns = {"text": "text", "label": "verdict", "id": "id"}
    source = records.SourceConfig(
        name="own", path="own.json", shape="label_studio", columns=columns
    )
    [record] = records.accept([records.Parsed(1, row)], source, (), [])
    assert (record["text"], record["id"], record.get("label")) == ("一句话", "7", label)


def test_a_cancelled_annotation_does_not_count():
    row = _task("unsafe")
    row["annotations"][0]["was_cancelled"] = True
    with pytest.raises(records.RecordError, match="no row has a column 'verdict'"):
        _accept([row], shape="label_studio", columns={"label": "verdict"})
