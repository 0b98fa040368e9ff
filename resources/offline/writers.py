"""Stand-ins for the roles that write text: expander, synthesizer, rewriter; and a translator."""

import json
import re

from chillguard import taxonomy, transforms
from resources.offline import lexicon

_EXISTING = re.compile(r"已有的词：(.*)")
_WANTED = re.compile(r"请再给出 (\d+) 个")
_CODE = re.compile(r"小类：(\S+)")
_METHOD = re.compile(r"方法：(.*)")
_KEYWORDS = re.compile(r"关键词：(.*)")
_CLIP = 60
_LONGEST = 40


def expand(user: str) -> str:
    """New keywords: the category's seeds with a descriptive suffix."""
    existing = set(_found(_EXISTING, user).split("、"))
    english = {
        entry["zh"]: entry["en"]
        for entries in taxonomy.packaged("seed_keywords.yaml").values()
        for entry in entries
    }
    pairs = [
        {"zh": word + zh, "en": f"{english.get(word, word)} {en}"}
        for zh, en in lexicon.lexicon()["suffixes"]
        for word in sorted(existing)
        if word in english
        and word + zh not in existing
        and len(f"{english[word]} {en}") <= _LONGEST
    ]
    return _json({"keywords": pairs[: int(_found(_WANTED, user))]})


def synthesize(user: str) -> str:
    """One prompt per text: its first sentence in a frame drawn by text and keywords."""
    words = _found(_KEYWORDS, user)
    prompts = []
    for number, text in enumerate(lexicon.fenced(user), 1):
        chinese, english = lexicon.pick(lexicon.lexicon()["frames"], text, words)
        known = text in lexicon.translations()
        frame, clip = (english, text) if known else (chinese, _clip(text))
        prompts.append({"source": number, "prompt": frame.format(clip)})
    return _json({"prompts": prompts})


def rewrite(user: str) -> str:
    """The text by the named method: homophones, or one of the method's frames."""
    text, method = lexicon.fenced(user)[0], _found(_METHOD, user)
    if method == "谐音替换":
        return _json({"prompt": transforms.homophones(text)})
    frames = lexicon.lexicon()["rewrites"].get(method)
    if frames is None:
        return _json({"prompt": transforms.inserted_symbols(text)})
    return _json({"prompt": lexicon.pick(frames, text, method).format(text)})


def translate(text: str) -> str:
    """Chinese of a bundled English post, alone or in an English frame; otherwise nothing."""
    known = lexicon.translations()
    if text in known:
        return known[text]
    for chinese, english in lexicon.lexicon()["frames"]:
        before, after = english.split("{}")
        if text.startswith(before) and text.endswith(after):
            inner = text[len(before) : len(text) - len(after)]
            if inner in known:
                return str(chinese.format(known[inner]))
    return ""


def _clip(text: str) -> str:
    if len(text) <= _CLIP:
        return text
    end = max(text.rfind(mark, 10, _CLIP) for mark in "。！？，；")
    return text[: end + 1] if end > 0 else text[:_CLIP]


def _found(pattern: re.Pattern[str], user: str) -> str:
    match = pattern.search(user)
    return match.group(1).strip() if match else ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
