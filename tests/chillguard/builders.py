"""Small inputs that several test modules of the domain need."""

import functools
import json
import random

from chillguard import identity, taxonomy
from chillguard.calls import call
from chillguard.labeling import quality
from chillguard.rewriting import methods
from chillguard.tables.lineage import (
    ANCHOR_VOTES,
    ANNOTATED_PROMPTS,
    CANDIDATE_PROMPTS,
    CLEAN_PROMPTS,
    CRAWLED_POSTS,
    JURY_VOTES,
    LABELED_PROMPTS,
    POST_INDEX,
    PUBLIC_PROMPTS,
    REAL_PROMPTS,
    REJECTED_ROWS,
    RELEASE_DROPS,
    REVIEW_DECISIONS,
    REWRITTEN_PROMPTS,
    SYNTHESIZED_PROMPTS,
    TEST_SET,
    TRAIN_SET,
)
from chillguard.text import matching

TERMS = {"may_redistribute": True, "may_train": True}
# Mild words that mixed() builds sentences from.
_LIST = """
春天 公园 散步 图书馆 借书 早餐 豆浆 火车 旅行 照片 邻居 花园 浇水 钢琴 练习 电影 周末 同学
作业 老师 厨房 面条 山路 雨伞 天气 篮球 比赛 医院 牙齿 手机 充电 窗户 阳光 小猫 睡觉 河边
钓鱼 银杏 落叶 超市 苹果 打折 毕业 论文 电脑 键盘 夜市 烧烤 帐篷 星空 滑雪 围巾 唱歌 合唱
油画 展览 茶叶 杯子 地铁 换乘 快递 签收 跑步 马拉松 菜谱 红烧 植物 阳台 摄影 镜头
"""
_WORDS = _LIST.split()


def category(code, **columns):
    return {
        "code": code,
        "label_zh": f"类{code}",
        "label_en": f"Category {code}",
        "definition_zh": f"{code}的定义。",
        **columns,
    }


def document(macros=2, micros=3):
    """A taxonomy document; macro codes M1.., micro codes M1a.. ."""
    return {
        "name": "small",
        "version": "7",
        "macro": [
            category(
                f"M{m}",
                preamble_zh=f"前言{m}。" if m == 1 else None,
                micro=[category(f"M{m}{chr(97 + n)}") for n in range(micros)],
            )
            for m in range(1, macros + 1)
        ],
    }


SMALL = taxonomy.parse(document(), "small.yaml")


def mixed(seed, words=12):
    """A mild Chinese sentence, far from that of any other seed."""
    return "".join(random.Random(seed).sample(_WORDS, words)) + "怎么样？"


def prompt(key, text="今天适合去公园散步吗？", **columns):
    """A prompt row as the tables hold it; its own family unless told."""
    return {
        "prompt_id": key,
        "family_id": key,
        "origin": "rag",
        "method": "rag",
        "parent_ids": [],
        "context_post_ids": [],
        "text": text,
        "text_hash": identity.text_hash(text or ""),
        "lang": "zh",
        "is_twin": False,
        "drop_reason": None,
        "drop_evidence": None,
        **TERMS,
        **columns,
    }


def labeled(key, text="今天适合去公园散步吗？", micro=None, **columns):
    """A row of labeled_prompts: unsafe where `micro` is given."""
    return {
        **prompt(key, text),
        "match_text": matching.match_text(text),
        "label": "unsafe" if micro else "safe",
        "macro_category": micro[:2] if micro else None,
        "micro_category": micro,
        "decided_by": "jury",
        "votes": ["juror_1=safe"],
        "n_valid_votes": 1,
        "agreement": 1.0,
        **columns,
    }


def released(side, rows):
    """A train_set or test_set table."""
    table = TRAIN_SET if side == "train" else TEST_SET
    return table.build([{**row, "split": side} for row in rows])


def keyword(code, zh, en="term"):
    return {
        "keyword_id": identity.digest("keyword", code, zh),
        "micro_category": code,
        "zh": zh,
        "en": en,
        "provenance": "seed",
    }


def record(text, **columns):
    """A checked record, as chillguard.records gives it."""
    return {"source": "file", "text": text, **TERMS, **columns}


def answer(text, finish_reason="stop", logprobs=None):
    form = text if isinstance(text, str) else json.dumps(text)
    return call.Answer(form, finish_reason, logprobs)


class Ask:
    """A model by hand: per role a function from request to answer text, or None for a failure.

    Nothing is asked anew: what could be read of an unreadable answer counts at once. `asked` keeps
    what was asked, as (role, request), in the order of the answers.
    """

    def __init__(self, **roles):
        self.roles = roles
        self.step = -1
        self.asked = []

    def __call__(self, role, requests, parse, total=None):
        # Engines answer in no order: here, unless told, the last request is answered first.
        for request in [*requests][:: self.step]:
            self.asked.append((role, request))
            key = call.call_key(role, "1", request, request.repeat)
            text = self.roles[role](request)
            if text is None:
                yield call.Outcome(request.row_id, key, None, "refused")
                continue
            try:
                yield call.Outcome(request.row_id, key, parse(answer(text)))
            except call.Unreadable as error:
                reason = None if error.fallback is not None else str(error)
                yield call.Outcome(request.row_id, key, error.fallback, reason)

    def keys(self, role):
        """Call keys of what was asked, by row."""
        return {
            request.row_id: call.call_key(role, "1", request, request.repeat)
            for asked, request in self.asked
            if asked == role
        }

    def rows(self, role):
        return [request.row_id for asked, request in self.asked if asked == role]


def columns(table, *names):
    """The named columns as a list of tuples, or of values for one name."""
    if len(names) == 1:
        return table[names[0]].to_pylist()
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def put_methods(monkeypatch, others):
    """Put other rewriting methods in the place of those that ship."""
    in_force = tuple(others)
    monkeypatch.setattr(methods, "methods", lambda: in_force)
    for cached in ("by_id", "fitting"):
        anew = functools.cache(getattr(methods, cached).__wrapped__)
        monkeypatch.setattr(methods, cached, anew)


def numbered_answer(key, prompts):
    """An answer with prompts by their number under `key`."""
    return {"prompts": [{key: n, "prompt": text} for n, text in prompts.items()]}


def by_id(table, key="prompt_id"):
    return {row[key]: row for row in table.to_pylist()}


def post(key, native, source, text="周末去公园散步的人真不少", **given):
    """A row of crawled_posts."""
    return {
        "post_id": key,
        "native_id": native,
        "source": source,
        "text": text,
        "lang": "zh",
        "drop_reason": None,
        "drop_evidence": None,
        **TERMS,
        **given,
    }


def _reject(source, line):
    return {"source": source, "line": line, "column": "text", "reason": "text is empty"}


def lineage():
    """A small whole lineage by asset key, in order: every stage keeps some rows and loses some."""
    gone = {"drop_evidence": "why"}
    rag = {key: mixed(key) for key in ("s1", "s2", "s3", "s4", "s5")}
    texts = {**rag, **{key: mixed(key) for key in ("r1", "r2", "w1", "u1")}}

    def row(key, **given):
        origin = {"s": "rag", "r": "real", "w": "rewrite", "u": "public"}[key[0]]
        family = {"s1": "p1", "s2": "p2", "w1": "r1", "w2": "r1"}.get(key, key)
        return prompt(key, texts.get(key), **{"origin": origin, "family_id": family, **given})

    def ruled(key, micro=None, **given):
        own = row(key)
        return labeled(key, texts[key], micro, origin=own["origin"], **given) | {
            "family_id": own["family_id"]
        }

    verdicts = [(key, "unsafe" if key[0] == "s" else "safe") for key in texts]
    jurors = {
        f"jury_votes/juror_{n}": JURY_VOTES.build(
            {"prompt_id": k, "juror": f"juror_{n}", "model": f"m{n}@1", "call_key": k, "verdict": v}
            for k, v in [*verdicts[:-1], (verdicts[-1][0], "abstain")]
        )
        for n in (1, 2)
    }
    final = [ruled("s1", "M1a"), ruled("s3", "M1a"), ruled("s4", "M2b"), ruled("s5", "M2b")]
    final += [ruled("r1"), ruled("u1", may_redistribute=False)]
    lost = ruled("w1", label=None, drop_reason="unresolved", **gone)
    sides = {"s1": "train", "s3": "test", "s5": "train", "r1": "test", "u1": "train"}
    labeled_prompts = LABELED_PROMPTS.build([*final, lost])
    return {
        "crawled_posts/a": CRAWLED_POSTS.build(
            [
                post("p1", "1", "a"),
                post("p2", "2", "a"),
                post("p9", "9", "a", drop_reason="too_short", **gone),
            ]
        ),
        "crawled_posts/b": CRAWLED_POSTS.build([post("p1", "x", "b"), post("p3", "y", "b")]),
        "rejected_rows/crawled_posts/a": REJECTED_ROWS.build([_reject("a", 4)]),
        "post_index": POST_INDEX.build(
            {
                "post_id": key,
                "point_id": f"point {key}",
                "sources": ["a"],
                "text": "文",
                "embedding_model": "m@1",
                "dimension": 8,
                "retrievable": True,
                **TERMS,
            }
            for key in ("p1", "p2", "p3")
        ),
        "synthesized_prompts": SYNTHESIZED_PROMPTS.build(
            [*map(row, rag), row("s9", drop_reason="no_source", **gone)]
        ),
        "real_prompts": REAL_PROMPTS.build(
            [row("r1"), row("r2"), row("r9", drop_reason="duplicate", **gone)]
        ),
        "rejected_rows/real_prompts": REJECTED_ROWS.build([_reject("file", 2), _reject("file", 5)]),
        "annotated_prompts": ANNOTATED_PROMPTS.build([row("r1"), row("r2")]),
        "rewritten_prompts": REWRITTEN_PROMPTS.build(
            [row("w1"), row("w2", drop_reason="quarantined", **gone)]
        ),
        "public_prompts": PUBLIC_PROMPTS.build([row("u1")]),
        "candidate_prompts": CANDIDATE_PROMPTS.build(
            [
                row(key, **({"drop_reason": "not_retained", **gone} if key == "r2" else {}))
                for key in texts
            ]
        ),
        "clean_prompts": CLEAN_PROMPTS.build(
            [
                row(key, **({"drop_reason": "near_duplicate", **gone} if key == "s2" else {}))
                for key in texts
                if key != "r2"
            ]
        ),
        **jurors,
        "labeled_prompts": labeled_prompts,
        "jury_quality": quality.table(
            quality.Panel.of(labeled_prompts, {k[11:]: t for k, t in jurors.items()}),
            *(2, ANCHOR_VOTES.build([]), None, [], REVIEW_DECISIONS.build([])),
        ),
        "train_set": released("train", [r for r in final if sides.get(r["prompt_id"]) == "train"]),
        "test_set": released("test", [r for r in final if sides.get(r["prompt_id"]) == "test"]),
        "release_drops": RELEASE_DROPS.build(
            [{"prompt_id": "s4", "family_id": "s4", "drop_reason": "balance", **gone}]
        ),
    }
