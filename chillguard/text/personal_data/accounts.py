"""Accounts by which a person is reached: mail addresses, chat accounts, mentions.

Mail and chat accounts are also found as people spell them so that no filter sees them.
"""

import functools
import re
from collections.abc import Iterator

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.reading import NUMERALS, Found, matches

_OWNER = r"(?<![A-Za-z0-9_+-])(?<![A-Za-z0-9]\.)(?P<owner>[A-Za-z0-9][\w.+-]{0,63})"
_MAIL = re.compile(
    rf"{_OWNER}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,5}}\.[A-Za-z][\w-]{{1,62}}", re.ASCII
)
_DOT = r"(?: ?(?:\.|。|点|dot|[\[({【](?:\.|点|dot)[\])}】]) ?)"
_AT = r"(?: ?(?:@|艾特|爱特|圈a|[\[({【<] ?(?:at?|@|艾特|#|圈a?) ?[\])}】>]) ?)"
_HASH = r"(?: ?#|\*) ?"
_HAN = "\u4e00-\u9fff"
# Shorter mentions are none, longer ones are sentences.
_MENTION = re.compile(rf"(?<![A-Za-z0-9_.])@(?P<name>[A-Za-z0-9_{_HAN}·-]{{2,30}}+)")
_LONGEST_NAME = 12
# Verbs of English before ` at ` are shorter.
_LONG_OWNER = 6
_NUMERAL = "0-9" + "".join(NUMERALS).removesuffix("oO")


def mails(plain: str) -> Iterator[Found]:
    """Mail addresses as they are written to be used."""
    return matches(_MAIL, plain, "<EMAIL>")


def hidden_mails(plain: str) -> Iterator[Found]:
    """Mail addresses with words for their signs."""
    return matches(_hidden_mail(), plain, "<EMAIL>", _is_mail)


@functools.cache
def _hidden_mail() -> re.Pattern[str]:
    provider = cues.any_of("mail_providers")
    ending = cues.any_of("domain_endings")
    label = r"[A-Za-z0-9][A-Za-z0-9-]{1,30}"
    return re.compile(
        rf"{_OWNER}(?:{_AT}{label}{_DOT}(?:{label}{_DOT})?"
        rf"|(?:{_HASH}|(?P<word> at )){provider}{_DOT}){ending}(?:{_DOT}cn)?(?![A-Za-z0-9])",
        re.ASCII | re.I,
    )


def _is_mail(match: re.Match[str]) -> bool:
    """A bare word before ` at ` may be a verb; an owner has a digit or is spelt out in the rest."""
    if not match["word"]:
        return True
    owner = match["owner"]
    is_name = len(owner) >= _LONG_OWNER or bool(re.search(r"[\d._+-]", owner))
    return is_name or not re.search(r"\w\.\w", match.group())


def chats(plain: str) -> Iterator[Found]:
    """Accounts of chat services behind a cue, or numbers before one in brackets."""
    yield from matches(_chat(), plain, "<SOCIAL_ID>")


def chats_before(plain: str) -> Iterator[Found]:
    """Numbers of chat services that stand before their cue."""
    yield from matches(_chat_before(), plain, "<SOCIAL_ID>")


def _service() -> str:
    spelt = r"(?:微|薇|威|维|徽|葳|wei|v|w)[ ._·-]?(?:信|❤|芯|xin|x)|q[ ._·-]?q"
    alone = r"(?:加|➕) ?我? ?(?:v|w|q|薇|威|微|卫星|扣)|\+ ?(?:[vwq](?![a-z]{2})|薇|威|微|扣)"
    alone += r"|(?:[vq]|薇)(?= ?:)|q(?= ?群)"
    return rf"(?:(?<![A-Za-z])(?:{spelt}|{cues.any_of('social_cues')})|(?<![A-Za-z]){alone})"


@functools.cache
def _chat() -> re.Pattern[str]:
    title = r"(?: ?(?:号码|账号|帐号|号|群|id))?"
    link = r" ?(?:(?:就)?是|为|加|[:=])? ?"
    number = rf"[1-9{_NUMERAL[3:]}](?:[ *_-]{{0,2}}[{_NUMERAL}]){{4,10}}"
    number += rf"(?![{_NUMERAL}年月日元块万亿])"
    letters = r"(?=[a-z_-]{0,19}[\d_-])[a-z][a-z\d_-]{5,19}"
    told = r"(?:号码|账号|帐号|号|id)? ?(?:是|为|[:=]) ?"
    return re.compile(
        rf"{_service()}(?:{told}(?=[a-z])|{title}{link}(?={number}|{letters}))"
        rf"(?P<value>{number}|[a-z][a-z\d_-]{{4,19}})(?![a-z\d])",
        re.I,
    )


@functools.cache
def _chat_before() -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z\d.])(?P<value>[1-9]\d{{4,10}}) ?\({_service()}\)", re.I)


def mentions(plain: str) -> Iterator[Found]:
    """Handles behind an at sign: the handle, and not the sentence that stands behind it."""
    for match in _MENTION.finditer(plain):
        size = _size_of_handle(match["name"], plain[match.end() : match.end() + 1])
        start = match.start("name")
        if size > 1 and not _is_no_person(plain, match, size):
            yield match.start(), start + size, "<HANDLE>"


def _size_of_handle(name: str, behind: str) -> int:
    """How many characters of a run are the handle; 0 if it cannot be told."""
    latin = re.match(r"[A-Za-z0-9_-]+", name)
    if latin and latin.end() > 1:
        return latin.end()
    sentence = _sentence().search(name, 2)
    if sentence:
        return sentence.start()
    told = not behind or behind in " :\n@)]】"
    return len(name) if len(name) <= (_LONGEST_NAME if told else _LONGEST_NAME // 2) else 0


@functools.cache
def _sentence() -> re.Pattern[str]:
    return re.compile(cues.any_of("after_handles"))


def _is_no_person(plain: str, match: re.Match[str], size: int) -> bool:
    """Everybody, a decorator or annotation of code, the scope of a package."""
    name, end = match["name"][:size], match.start("name") + size
    if name.lower() in cues.words()["no_handles"]:
        return True
    return name.isascii() and (
        plain[end : end + 1] in ("(", "/")
        or bool(re.match(r"\.\w", plain[end : end + 2]))
        or bool(
            re.match(
                r"\s*\n\s*(?:def|class|async|public|private|protected|@)\b", plain[end : end + 24]
            )
        )
    )
