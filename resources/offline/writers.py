"""Stand-ins for the roles that write text: expander, synthesizer, rewriter; and a translator."""

import json
import re

from chillguard import taxonomy
from chillguard.rewriting import transforms
from resources.offline import lexicon

_EXISTING = re.compile(r"已有的词：(.*)")
_WANTED = re.compile(r"请再给出 (\d+) 个")
_CODE = re.compile(r"小类：(\S+)")
_METHOD = re.compile(r"^方法 \d+：(.*)$", re.MULTILINE)
_PURPOSE = re.compile(r"提问的目的：(.*)")
_KEYWORDS = re.compile(r"关键词：(.*)")
_CLIP = 60
_LONGEST = 40


def expand(_: str, user: str) -> str:
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


def synthesize(system: str, user: str) -> str:
    """One prompt per text: its first sentence in a frame drawn by text and keywords."""
    words, kind = _found(_KEYWORDS, user), _found(_PURPOSE, user)
    frames = lexicon.lexicon()["twins"][kind] if kind else lexicon.lexicon()["frames"]
    prompts = []
    for text in lexicon.fenced(user):
        chinese, english = lexicon.pick(frames, text, words)
        known = text in lexicon.translations()
        frame, clip = (english, text) if known else (chinese, _clip(text))
        prompts.append(frame.format(clip))
    return _several(system, "source", prompts)


def rewrite(system: str, user: str) -> str:
    """Each text by each named method: homophones, or one of the method's frames."""
    texts = lexicon.fenced(user)
    key = "source" if len(texts) > 1 else "method"
    methods = _METHOD.findall(user)
    return _several(system, key, [_rewritten(text, m) for text in texts for m in methods])


def translate(text: str) -> str:
    """Chinese of a bundled English post, alone or in an English frame; otherwise nothing."""
    known = lexicon.translations()
    if text in known:
        return known[text]
    for chinese, english in _frames():
        before, after = english.split("{}")
        if text.startswith(before) and text.endswith(after):
            inner = text[len(before) : len(text) - len(after)]
            if inner in known:
                return str(chinese.format(known[inner]))
    return ""


def _frames() -> list[tuple[str, str]]:
    known = lexicon.lexicon()
    return [*known["frames"], *(frame for frames in known["twins"].values() for frame in frames)]


def _rewritten(text: str, method: str) -> str:
    if method == "谐音替换":
        return transforms.homophones(text)
    rewrites = lexicon.lexicon()["rewrites"]
    frames = rewrites.get(method, rewrites["others"])
    return str(lexicon.pick(frames, text, method).format(text))


def _several(system: str, key: str, prompts: list[str]) -> str:
    """Prompts in the layout that the system message asks for."""
    if "分号" in system:
        return "；".join(re.sub(r"[;；\n]+", "，", prompt) for prompt in prompts)
    return _json({"prompts": [{key: n, "prompt": p} for n, p in enumerate(prompts, 1)]})


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
