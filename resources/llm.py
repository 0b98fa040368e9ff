"""Model roles: which model answers for which role, and asking it without paying twice.

Every request is looked up in the ledger first; only what was never answered is sent, and every
answer is in the ledger before anything parses it.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import dagster as dg
import httpx

from chillguard import calls
from resources import chat
from resources.ledger import Call, Ledger

T = TypeVar("T")
_CHUNK = 2048
_COMMIT_EVERY_S = 0.05
_LOG_EVERY_S = 5.0
# Salvage attempts get repeat indices of their own, far above those a stage uses.
_SALVAGE = 1_000_000


class ModelRole(dg.Config):
    """One role: the declared model and revision, and where it is served.

    Prices are per million tokens. `salvage` is how often an unreadable answer is asked anew.
    """

    role: str
    model: str
    revision: str = "main"
    url: str = chat.OFFLINE
    api_key: str | None = None
    concurrency: int = 64
    timeout_s: float = 300.0
    price_prompt: float | None = None
    price_completion: float | None = None
    salvage: int = 1


@dataclass
class Usage:
    """What the calls of one asset came to."""

    paid: int = 0
    from_ledger: int = 0
    quarantined: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


class LanguageModels(dg.ConfigurableResource):
    """All model roles of the profile, over one ledger."""

    roles: list[ModelRole]
    ledger: dg.ResourceDependency[Ledger]

    def asker(self, context: dg.AssetExecutionContext) -> "Asker":
        """A way to ask that books its calls on the running asset."""
        return Asker(self, context.asset_key.to_user_string(), context.log)

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


class Asker(calls.Ask):
    """Asks on behalf of one asset; `usage` adds up over its calls."""

    def __init__(self, models: LanguageModels, asset: str, log: dg.DagsterLogManager) -> None:
        self.usage = Usage()
        self._models = models
        self._asset = asset
        self._log = log
        self._progress_at = time.monotonic()

    def __call__(
        self, role: str, requests: Iterable[calls.ChatRequest], parse: calls.Parser[T]
    ) -> Iterator[calls.Outcome[T]]:
        """One outcome per request, in order; requests are taken in chunks, never all at once."""
        model = self._models.role(role)
        stream = iter(requests)
        with asyncio.Runner() as runner:
            while chunk := list(itertools.islice(stream, _CHUNK)):
                yield from self._answered(runner, model, chunk, parse)
        self._log_progress(role)

    def _answered(
        self,
        runner: asyncio.Runner,
        model: ModelRole,
        chunk: Sequence[calls.ChatRequest],
        parse: calls.Parser[T],
    ) -> list[calls.Outcome[T]]:
        outcomes: dict[int, calls.Outcome[T]] = {}
        todo = list(range(len(chunk)))
        for attempt in range(model.salvage + 1):
            repeats = [chunk[i].repeat + attempt * _SALVAGE for i in todo]
            asked = [chunk[i] for i in todo]
            answers = self._answers(runner, model, asked, repeats)
            outcomes |= {
                i: _outcome(chunk[i], key, answer, parse)
                for i, (key, answer) in zip(todo, answers, strict=True)
            }
            todo = [i for i in todo if outcomes[i].reason and not _is_final(outcomes[i].reason)]
            if not todo:
                break
        for outcome in outcomes.values():
            if outcome.reason:
                self.usage.quarantined += 1
                self.usage.reasons[outcome.reason] += 1
        return [outcomes[i] for i in range(len(chunk))]

    def _answers(
        self,
        runner: asyncio.Runner,
        model: ModelRole,
        requests: Sequence[calls.ChatRequest],
        repeats: Sequence[int],
    ) -> list[tuple[str, calls.Answer | str | None]]:
        """Key and answer of each request; in place of an answer, why there is none."""
        keys = [
            calls.call_key(model.model, model.revision, request, repeat)
            for request, repeat in zip(requests, repeats, strict=True)
        ]
        known: dict[str, calls.Answer | str | None] = dict(self._models.ledger.answers(keys))
        self.usage.from_ledger += sum(key in known for key in keys)
        missing = {
            key: (request, repeat)
            for key, request, repeat in zip(keys, requests, repeats, strict=True)
            if key not in known
        }
        if missing:
            known |= runner.run(_Sender(self, model, missing).send())
        return [(key, known[key]) for key in keys]

    def booked(self, answered: Sequence[Call], role: str) -> None:
        """Commit answered calls to the ledger and count them."""
        self._models.ledger.add(answered)
        self.usage.paid += len(answered)
        for call in answered:
            self.usage.prompt_tokens += call.prompt_tokens or 0
            self.usage.completion_tokens += call.completion_tokens or 0
            self.usage.cost += call.cost or 0.0
        if time.monotonic() - self._progress_at > _LOG_EVERY_S:
            self._log_progress(role)

    def _log_progress(self, role: str) -> None:
        self._progress_at = time.monotonic()
        self._log.info(
            f"{self._asset}: {role}: {self.usage.paid:,} calls paid, "
            f"{self.usage.from_ledger:,} from the ledger"
        )

    @property
    def asset(self) -> str:
        """The asset that pays."""
        return self._asset


class _Sender:
    """Sends the requests of one chunk, and commits their answers in groups."""

    def __init__(
        self, asker: Asker, model: ModelRole, missing: dict[str, tuple[calls.ChatRequest, int]]
    ) -> None:
        self._asker = asker
        self._model = model
        self._missing = missing
        self._uncommitted: list[Call] = []
        self._found: dict[str, calls.Answer | str | None] = {}

    async def send(self) -> dict[str, calls.Answer | str | None]:
        """Answers by key, or the reason why there is none."""
        model = self._model
        queue = iter(self._missing.items())
        http = chat.client(model.url, model.api_key, model.timeout_s, model.concurrency)
        committer = asyncio.create_task(self._commit_for_ever())
        try:
            async with http, asyncio.TaskGroup() as workers:
                for _ in range(min(model.concurrency, len(self._missing))):
                    workers.create_task(self._work(http, queue))
        except* chat.Unavailable as errors:
            raise dg.Failure(
                f"asset {self._asker.asset}, role {model.role}: endpoint {model.url} does not "
                f"answer ({errors.exceptions[0]}). Everything answered so far is in the ledger: "
                "start the endpoint and run again, only the rest is asked"
            ) from None
        finally:
            committer.cancel()
            self._commit()
        return self._found

    async def _work(
        self, http: httpx.AsyncClient, queue: Iterator[tuple[str, tuple[calls.ChatRequest, int]]]
    ) -> None:
        for key, (request, repeat) in queue:
            try:
                reply = await chat.ask(http, self._model.model, request)
            except chat.Refused as error:
                self._found[key] = f"refused: {error}"
            else:
                self._found[key] = reply.answer
                self._uncommitted.append(self._call(key, repeat, reply))

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_EVERY_S)
            self._commit()

    def _commit(self) -> None:
        answered, self._uncommitted = self._uncommitted, []
        self._asker.booked(answered, self._model.role)

    def _call(self, key: str, repeat: int, reply: chat.Reply) -> Call:
        model = self._model
        cost = None
        if model.price_prompt is not None and model.price_completion is not None:
            cost = (
                model.price_prompt * (reply.prompt_tokens or 0)
                + model.price_completion * (reply.completion_tokens or 0)
            ) / 1e6
        return Call(
            key=key,
            asset=self._asker.asset,
            role=model.role,
            model=model.model,
            revision=model.revision,
            repeat_index=repeat,
            answer=reply.answer.text,
            finish_reason=reply.answer.finish_reason,
            endpoint=model.url,
            latency_ms=reply.latency_ms,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost=cost,
            fingerprint=reply.fingerprint,
        )


def _outcome(
    request: calls.ChatRequest,
    key: str,
    answer: calls.Answer | str | None,
    parse: calls.Parser[T],
) -> calls.Outcome[T]:
    if answer is None:
        return calls.Outcome(request.row_id, key, None, "taken down")
    if isinstance(answer, str):
        return calls.Outcome(request.row_id, key, None, answer)
    try:
        return calls.Outcome(request.row_id, key, parse(answer))
    except calls.Unreadable as error:
        return calls.Outcome(request.row_id, key, None, f"unreadable: {error}")


def _is_final(reason: str | None) -> bool:
    return reason is not None and not reason.startswith("unreadable")
