"""Budgets: caps on calls, tokens and money, per stage and per run."""

from dataclasses import dataclass

import dagster as dg

from resources.models.ledger import Ledger, Spent


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


@dataclass
class Budget:
    """What one asset may still spend in one run: the tighter of its own cap and the run's."""

    asset: str
    stage_cap: Cap
    run_cap: Cap
    before: Spent
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    @classmethod
    def of(cls, asset: str, run_id: str, stage: Cap, run: Cap, ledger: Ledger) -> "Budget":
        """The budget of an asset, counting what this run has spent already.

        The asset itself has where its step is made again.
        """
        mine = ledger.spent(run_id=run_id, asset=asset)
        whole = ledger.spent(run_id=run_id)
        before = Spent(whole.calls - mine.calls, whole.tokens - mine.tokens, whole.cost - mine.cost)
        return cls(asset, stage, run, before, mine.calls, mine.tokens, mine.cost)

    @property
    def calls_left(self) -> int | None:
        """Calls that may still be started; None = as many as needed."""
        left = [
            cap.calls - spent
            for cap, spent in (
                (self.stage_cap, self.calls),
                (self.run_cap, self.before.calls + self.calls),
            )
            if cap.calls is not None
        ]
        return min(left, default=None)

    def spent(self, tokens: int, cost: float) -> None:
        """Book one answered call."""
        self.calls += 1
        self.tokens += tokens
        self.cost += cost

    def crossed(self) -> str | None:
        """Which cap is used up, in words; None while money may be spent."""
        scopes = (
            (f"stage {self.asset}", self.stage_cap, Spent(self.calls, self.tokens, self.cost)),
            (
                "run",
                self.run_cap,
                Spent(
                    self.before.calls + self.calls,
                    self.before.tokens + self.tokens,
                    self.before.cost + self.cost,
                ),
            ),
        )
        for scope, cap, spent in scopes:
            for unit in ("calls", "tokens", "cost"):
                most = getattr(cap, unit)
                if most is not None and getattr(spent, unit) >= most:
                    return f"{scope}: {getattr(spent, unit):,} of {most:,} {unit}"
        return None
