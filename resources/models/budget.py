"""Budgets: caps on calls, tokens and money, per stage and per run, kept by all who spend.

What a request may take at most is reserved before it is sent, and settled once it is answered. The
steps and processes of a run share one table, each with a row of its own, so no cap is overshot.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg
import sqlalchemy as sa

from chillguard.calls import call
from resources import database
from resources.models.ledger import Spent
from resources.models.ledger_tables import SPENDING, TABLES

# A chat template adds marks and words of its own to each message.
_TEMPLATE_TOKENS = 16
# A token is three bytes or more on average: English words, Chinese characters.
_BYTES_A_TOKEN = 3
_UNITS = ("calls", "tokens", "cost")


class Price(dg.Config):
    """Price of a model per million tokens, in the currency of the budget."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of one call."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Cap(dg.Config):
    """Upper bounds; None = no bound."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None


def estimate(text: str) -> int:
    """Tokens of a text, where the endpoint does not tell."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)


@dataclass
class Budget:
    """What one asset may still spend in one run: the tighter of its own cap and the run's."""

    asset: str
    run_id: str
    stage_cap: Cap
    run_cap: Cap
    url: str
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    _held: dict[str, Spent] = field(default_factory=dict)
    _excess: int = 0
    _crossed: str | None = None
    _holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def is_capped(self) -> bool:
        """Whether there is any bound."""
        caps = (self.stage_cap, self.run_cap)
        return any(getattr(cap, unit) is not None for cap in caps for unit in _UNITS)

    @property
    def crossed(self) -> str | None:
        """Which cap left no room for the last request that asked for some, in words."""
        return self._crossed

    def reserve(
        self, requests: Sequence[tuple[str, call.ChatRequest]], price: Price | None = None
    ) -> int:
        """Reserve what requests, by key, may take at most, in order; returns how many have room."""
        if not self.is_capped:
            return len(requests)
        with database.engine(self.url, TABLES).connect() as connection:
            database.lock_for_writing(connection, SPENDING)
            run, stage = self._of_others(connection)
            granted = 0
            for key, request in requests:
                most = self._most(request, price)
                self._crossed = self._crossing(run, stage, most)
                if self._crossed:
                    break
                self._held[key] = most
                granted += 1
            self._write(connection)
            connection.commit()
        return granted

    def settle(self, key: str, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        """Book one paid call against what was reserved for it."""
        held = self._held.pop(key, None)
        self.calls += 1
        self.tokens += prompt_tokens + completion_tokens
        self.cost += cost
        if held:
            # A tokenizer, or a template, that takes more than was thought is believed from now on.
            self._excess += max(0, prompt_tokens + completion_tokens - held.tokens)

    def release(self, key: str) -> None:
        """Free what was reserved for a request that was never answered."""
        self._held.pop(key, None)

    def close(self) -> None:
        """Free all that is reserved, and write down what was spent."""
        self._held.clear()
        if self.is_capped:
            with database.engine(self.url, TABLES).begin() as connection:
                self._write(connection)

    def _most(self, request: call.ChatRequest, price: Price | None) -> Spent:
        """What a request may take at most: no tokenizer makes more tokens than there are bytes."""
        prompt = sum(
            len(message["content"].encode("utf-8", "replace")) + _TEMPLATE_TOKENS
            for message in request.messages
        )
        prompt, completion = prompt + self._excess, request.sampling.max_tokens
        cost = price.cost(prompt, completion) if price else 0.0
        return Spent(1, prompt + completion, cost)

    def _crossing(self, run: Spent, stage: Spent, more: Spent) -> str | None:
        own = Spent(self.calls, self.tokens, self.cost)
        held = Spent(
            len(self._held),
            sum(one.tokens for one in self._held.values()),
            sum(one.cost for one in self._held.values()),
        )
        scopes = ((f"stage {self.asset}", self.stage_cap, stage), ("run", self.run_cap, run))
        for scope, cap, others in scopes:
            for unit in _UNITS:
                most = getattr(cap, unit)
                spent = getattr(own, unit) + getattr(others, unit)
                needed = getattr(held, unit) + getattr(more, unit)
                if most is not None and spent + needed > most:
                    told = f"{scope}: {spent:,} of {most:,} {unit}"
                    return told if spent >= most else f"{told}, and {needed:,} may be needed next"
        return None

    def _of_others(self, connection: sa.Connection) -> tuple[Spent, Spent]:
        """What others of this run have spent or reserved: in all, and for the same asset."""
        columns = [sa.func.sum(SPENDING.c[unit] + SPENDING.c[f"held_{unit}"]) for unit in _UNITS]
        run = [SPENDING.c.run_id == self.run_id, SPENDING.c.holder != self._holder]
        found = []
        for where in (run, [*run, SPENDING.c.asset == self.asset]):
            sums = [
                float(one or 0)
                for one in connection.execute(sa.select(*columns).where(*where)).one()
            ]
            found.append(Spent(int(sums[0]), int(sums[1]), sums[2]))
        return found[0], found[1]

    def _write(self, connection: sa.Connection) -> None:
        row = {
            "run_id": self.run_id,
            "asset": self.asset,
            "holder": self._holder,
            "calls": self.calls,
            "tokens": self.tokens,
            "cost": self.cost,
            "held_calls": len(self._held),
            "held_tokens": sum(one.tokens for one in self._held.values()),
            "held_cost": sum(one.cost for one in self._held.values()),
        }
        database.replace(connection, SPENDING, row)
