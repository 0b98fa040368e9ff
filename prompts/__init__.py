"""All text that is sent to a model or printed in a release, and the function that fills it in.

One template per call, `<stage>/<call>.jinja`, made of named blocks: `system` and `user` for a
model call, `body` for a document. Nothing here decides what to ask or what an answer means.
"""

import functools
import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import jinja2

# A fence counts to a model however its brackets and letters are spelled, and if it stays open.
_GAP = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]{0,8}"
_WORD = _GAP.join(("[tｔ]", "[eｅ]", "[xｘ]", "[tｔ]"))
_FENCE = rf"(?i:[<＜﹤]{_GAP}[/／]?{_GAP}{_WORD}\b(?:[^<>＜＞﹤﹥]{{0,99}}[>＞﹥])?)"
# Marks of known chat templates: Llama `<<SYS>>`, MiniCPM `<用户>` and `<AI>`, GLM `[gMASK]`,
# InternLM `[UNUSED_TOKEN_145]`, EXAONE `[|user|]`. `<PHONE>` and the like are ours, and stay.
_TOKENS = (
    r"<{1,2}[|｜]|[|｜]>{1,2}|\[[|｜]|[|｜]\]|</?[a-z_]\w{0,23}>|<</?[A-Za-z_]{1,24}>>"
    r"|</?(?:AI|用户|User|Human|Assistant|System|Bot)>|\[/?[a-z]?[A-Z_]{2,24}\d{0,4}\]"
)
_SPECIAL = re.compile(f"{_FENCE}|{_TOKENS}")
_BRACKETS = str.maketrans("<>[]＜＞﹤﹥", "〈〉【】〈〉〈〉")
FOLDER = Path(__file__).parent


def _fenced(text: str) -> str:
    """Data inside a prompt: what could close its fence, or be a special token of a chat template
    (`<|…|>`, `<think>`, `[INST]`, full-width `<｜…｜>`), loses its brackets.

    A text that holds neither is shown as it is.
    """
    return _SPECIAL.sub(lambda found: found.group().translate(_BRACKETS), text)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["fenced"] = _fenced
    return environment


def render(name: str, values: Mapping[str, object], only: Collection[str] = ()) -> dict[str, str]:
    """Fill in `<name>.jinja`; returns the text of each block (or of `only` some), by block name.

    Raises `jinja2.UndefinedError` when the template uses a value that was not given.
    """
    template = _environment().get_template(f"{name}.jinja")
    context = template.new_context(dict(values))
    return {
        block: "".join(fill(context)).strip()
        for block, fill in template.blocks.items()
        if not only or block in only
    }


def named(name: str) -> str:
    """Name and fingerprint of a template, as a call is recorded under."""
    return f"{name}@{fingerprint(name)}"


@functools.cache
def fingerprint(name: str) -> str:
    """Sixteen hex digits of the template's own text: changes when, and only when, the file does."""
    return hashlib.sha256((FOLDER / f"{name}.jinja").read_bytes()).hexdigest()[:16]
