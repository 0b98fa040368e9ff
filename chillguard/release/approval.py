"""The approval file: who allowed what to be done with a release, and when.

GPU work (`train`) and publishing (`publish`) start only from it; how, is not known here.
"""

import datetime as dt
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Purpose = Literal["train", "publish"]
FORM = "{person: ..., date: YYYY-MM-DD, release: VERSION, purposes: [train, publish]}"


class NotApproved(ValueError):
    """Work that nobody approved; the message names the file, what it lacks and what to write."""


class Approval(BaseModel):
    """A person's approval of purposes for one release."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    person: str = Field(min_length=1)
    date: dt.date
    release: str
    purposes: tuple[Purpose, ...] = Field(min_length=1)


def parse(content: bytes, path: Path, version: str | None, purpose: Purpose) -> Approval:
    """The approval of `purpose` for release `version` (None: whichever release `content` names).

    Raises `NotApproved` with one sentence for a file that is unreadable or about something else.
    """
    try:
        approval = Approval.model_validate(yaml.safe_load(content.decode("utf-8")))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise NotApproved(
            f"approval file {path} cannot be read ({type(error).__name__}); it holds {FORM}"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise NotApproved(
            f"approval file {path}: {place}: {first['msg']}; it holds {FORM}"
        ) from None
    if purpose not in approval.purposes:
        raise NotApproved(
            f"approval file {path} allows {', '.join(approval.purposes)}, not {purpose}: "
            "whoever is responsible adds it under `purposes`"
        )
    if version is not None and approval.release != version:
        raise NotApproved(
            f"approval file {path} is about release {approval.release}, not {version}: whoever is "
            "responsible approves that release"
        )
    return approval
