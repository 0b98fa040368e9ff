"""Model roles: what a profile may say about one, and a role as it is asked.

`RoleSettings` is the one place of a role's settings and defaults; the profile's `Role` adds where a
deployment finds the model, `ModelRole` the addresses once they are known.
"""

from typing import Literal

import dagster as dg
from pydantic import BaseModel, Field

from resources.models import chat


class RoleSettings(BaseModel):
    """The declared model and revision of a role, and how it is asked.

    `structured` is how the endpoint binds a schema: `auto` finds out. `auto_concurrency` ramps up
    instead of starting at `concurrency`. `salvage` is how often an unreadable answer is asked anew;
    `attempts` how often a failing request is sent; `give_up_after_s` how long all endpoints may be
    down, long enough for an engine to start again.
    """

    model: str
    revision: str = "main"
    structured: Literal["auto", "structured_outputs", "response_format", "prompt"] = "auto"
    concurrency: int = Field(64, ge=1)
    auto_concurrency: bool = False
    timeout_s: float = Field(300.0, gt=0)
    attempts: int = Field(6, ge=1)
    salvage: int = Field(1, ge=0)
    give_up_after_s: float = Field(300.0, gt=0)


class ModelRole(RoleSettings, dg.Config):
    """One role and where it is served; several urls share the load."""

    role: str
    urls: list[str] = [chat.OFFLINE]
    api_key: str | None = None
