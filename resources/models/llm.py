"""Model roles: which model answers for which role, and asking it without paying twice.

Every request is looked up in the ledger first; only what was never answered is sent, and every
answer is in the ledger before anything parses it. How requests travel is `resources.models.engine`.
"""

import asyncio
import functools
import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import uvloop

from chillguard.calls import call
from resources.models import asking, chat
from resources.models.backpressure import Limiter
from resources.models.budget import Budget, Cap, Price
from resources.models.claims import Claims
from resources.models.endpoint import Endpoint
from resources.models.failures import Stopped
from resources.models.ledger import Ledger
from resources.models.model_server import ModelServer
from resources.models.progress import Progress, Usage
from resources.models.roles import ModelRole
from resources.models.stream import Stream
from resources.models.till import Account, Till, drifting

T = TypeVar("T")
_COLLECT_AT = 50_000


class LanguageModels(dg.ConfigurableResource):
    """All model roles of the profile, over one ledger, under budgets.

    `prices` are by model; `budgets` by asset key, `run` for all of a run. `server_of_trained` is
    how a model that the lineage trained is served; by default as the role's own server does. In a
    `home` only one run asks at a time.
    """

    roles: list[ModelRole]
    ledger: dg.ResourceDependency[Ledger]
    prices: dict[str, Price] = {}
    budgets: dict[str, Cap] = {}
    servers: list[ModelServer] = []
    server_of_trained: ModelServer | None = None
    home: str | None = None

    @property
    def shares_ledger(self) -> bool:
        """Whether other homes may ask with the same ledger."""
        within = f"sqlite:///{self.home}{os.sep}"
        return self.home is not None and not self.ledger.url.startswith(within)

    def asker(self, context: dg.AssetExecutionContext) -> "Asker":
        """A way to ask that books its calls on the running asset."""
        asset = context.asset_key.to_user_string()
        return Asker(self, asset, context.run.run_id, Progress(asset, context.log.info))

    def role(self, name: str) -> ModelRole:
        """The model that answers for a role; raises `dg.Failure` if the profile binds none."""
        for role in self.roles:
            if role.role == name:
                return role
        raise dg.Failure(f"the profile binds no model to role {name!r}; add it under `roles`")

    def identity(self, name: str) -> str:
        """Declared model and revision of a role."""
        role = self.role(name)
        return f"{role.model}@{role.revision}"

    def trained(self, name: str, folder: Path, weights: str) -> "LanguageModels":
        """These models, but a role is served from a folder of ours, under its own revision.

        So that an answer of the trained model is never taken for one of the model it began as.
        """
        role = self.role(name).model_copy(update={"revision": f"trained-{weights[:12]}"})
        server = self.server_of_trained or next((s for s in self.servers if s.role == name), None)
        if server is None:
            raise dg.Failure(
                f"role {name} is bound to a URL, which cannot serve the model trained in {folder}; "
                "say under `training.serve` how it is served"
            )
        own = {"role": name, "model": str(folder), "served_name": role.model}
        return type(self)(
            roles=[role if one.role == name else one for one in self.roles],
            ledger=self.ledger,
            prices=self.prices,
            budgets=self.budgets,
            servers=[s for s in self.servers if s.role != name] + [server.model_copy(update=own)],
            home=self.home,
        )

    def price(self, model: str) -> Price | None:
        """Price of a model, if the price file names it."""
        return self.prices.get(model)

    def wants_probe(self, role: ModelRole) -> bool:
        """Whether an endpoint of a role is yet to be asked how it binds a schema."""
        return any(endpoint.binding is None for endpoint in self.endpoints(role, role.urls))

    def endpoints(self, role: ModelRole, urls: Sequence[str]) -> list[Endpoint]:
        """Fresh endpoints of a role."""
        try:
            return [self._endpoint(role, url, -(-role.concurrency // len(urls))) for url in urls]
        except ValueError as error:
            raise dg.Failure(f"role {role.role}: {error}; mend `url` of the role") from None

    def _secrets(self) -> set[str]:
        """What no endpoint may bring into logs, metadata or the ledger, should it echo it."""
        keys = {role.api_key.strip() for role in self.roles if role.api_key}
        return keys.union(*(chat.secrets_of(url) for role in self.roles for url in role.urls))

    def _endpoint(self, role: ModelRole, url: str, most: int) -> Endpoint:
        binding: Any = role.structured if role.structured != "auto" else None
        if url == chat.OFFLINE:
            binding = "structured_outputs"
        elif binding is None:
            binding = self.ledger.binding(chat.without_credentials(url), role.model)
        return Endpoint(
            url=url,
            wire=chat.Wire(url, role.api_key, role.timeout_s, most, self._secrets()),
            limiter=Limiter(most, role.auto_concurrency),
            binding=binding,
            has_metrics=url != chat.OFFLINE,
        )


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Garbage collected a hundredth as often: requests in flight are young, many and no garbage."""
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECT_AT, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class Asker(call.Ask):
    """Asks on behalf of one asset; `usage` adds up over its calls."""

    def __init__(self, models: LanguageModels, asset: str, run_id: str, progress: Progress) -> None:
        caps = models.budgets
        budget = Budget(
            asset, run_id, caps.get(asset, Cap()), caps.get("run", Cap()), models.ledger.url
        )
        self._account = Account(asset, run_id, progress, budget)
        self._models = models

    @property
    def budget(self) -> Budget:
        """What the asset may still spend."""
        return self._account.budget

    @property
    def usage(self) -> Usage:
        """What the calls of the asset came to so far."""
        return self._account.progress.usage

    def __call__(
        self,
        role: str,
        requests: Iterable[call.ChatRequest],
        parse: call.Parser[T],
        total: int | None = None,
    ) -> Iterator[call.Outcome[T]]:
        """One outcome per request, as they are answered; requests are taken as there is room."""
        model = self._models.role(role)
        server = next((s for s in self._models.servers if s.role == role), None)
        self._account.progress.begin(role, total)
        with (
            ExitStack() as stack,
            _seldom_collected(),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            server.running() if server else nullcontext(None) as url,
        ):
            endpoints = self._models.endpoints(model, [url] if url else model.urls)
            till = self._till(model, stack)
            stream = Stream(till, endpoints, parse, functools.partial(self._turn, stack), runner)
            try:
                yield from stream.outcomes(iter(requests))
            except Stopped as error:
                raise dg.Failure(
                    f"asset {self._account.asset}, role {role}: {error}. Everything answered so "
                    "far is in the ledger: mend the cause and run again, only the rest is asked"
                ) from None
            finally:
                runner.run(stream.engine.close())
                self._account.budget.close()
                self._observed(model, endpoints)
                self._account.progress.end()

    def _till(self, model: ModelRole, stack: ExitStack) -> Till:
        """The till of one role; its claims are kept alive as long as it asks."""
        claims = Claims(self._models.ledger.url) if self._models.shares_ledger else None
        if claims:
            stack.enter_context(claims.renewed())
        price = self._models.price(model.model)
        return Till(self._account, self._models.ledger, model, price, claims)

    def _turn(self, stack: ExitStack) -> bool:
        """Wait until no other run asks in this home; whether there was one."""
        if self._models.home is None:
            return False
        note = self._account.progress.note
        return stack.enter_context(asking.turn(Path(self._models.home), self._account.run_id, note))

    def _observed(self, model: ModelRole, endpoints: Sequence[Endpoint]) -> None:
        """Tell of endpoints that bind no schema, and of a model that changed behind its name."""
        bindings = {e.shown: e.binding for e in endpoints if e.binding}
        for shown, binding in bindings.items() - self.usage.bindings.items():
            if binding == "prompt" and model.structured == "auto":
                self._account.progress.note(
                    f"endpoint {shown} binds no answer schema, whatever it accepts: its answers "
                    "are free text, read by the parser alone"
                )
        self.usage.bindings.update(bindings)
        found = drifting(self._models.ledger.fingerprints(model.model, model.revision))
        name = f"{model.model}@{model.revision}"
        if len(found) > 1 and name not in self.usage.fingerprints:
            self.usage.fingerprints[name] = found
            self._account.progress.note(
                f"drift: {name} has answered under {len(found)} fingerprints, last {found[-1]}; "
                "if the model itself changed, declare another `revision` to ask it anew"
            )
