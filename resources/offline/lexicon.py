"""What the stand-ins know: marker words, frames and sample translations, read once."""

import functools
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chillguard import identity

SAMPLES = Path(str(resources.files("resources").joinpath("offline", "samples")))
_TEXT = re.compile(r"<text[^>]*>\n(.*?)\n</text>", re.DOTALL)


@functools.cache
def lexicon() -> dict[str, Any]:
    """The parsed `lexicon.yaml`."""
    text = resources.files("resources").joinpath("offline", "lexicon.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@functools.cache
def translations() -> dict[str, str]:
    """Chinese by English text, for the bundled English posts."""
    lines = (SAMPLES / "posts_en.jsonl").read_text("utf-8").splitlines()
    return {row["text"]: row["text_zh"] for row in map(json.loads, lines)}


def fenced(content: str) -> list[str]:
    """The texts between the `<text>` tags of a prompt."""
    return _TEXT.findall(content)


def pick(options: list[Any], *parts: str) -> Any:
    """One of the options, by the hash of the parts."""
    return options[int.from_bytes(identity.hash_order(*parts)[:4], "big") % len(options)]
