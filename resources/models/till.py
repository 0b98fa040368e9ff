"""The till of one `ask`: what calls are booked on, reserved from, and how they are stored.

Which requests there are, and what an answer means, is `resources.models.stream`.
"""

import re
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from chillguard.calls import call
from chillguard.calls.answer import plain
from resources.models.budget import Budget, Price, estimate
from resources.models.chat import PROBE
from resources.models.claims import Claims
from resources.models.completion import Reply
from resources.models.desk import Answered, Item
from resources.models.ledger import Call, Ledger
from resources.models.progress import Progress
from resources.models.roles import ModelRole

# vLLM's fingerprint goes on with its parallelism and a digest of all its arguments.
_OF_ARGUMENTS = re.compile(r"\A(vllm-[^-]+)-.+\Z")


@dataclass(frozen=True)
class Account:
    """On whose behalf is asked: the asset, its run, and where its calls are booked and told."""

    asset: str
    run_id: str
    progress: Progress
    budget: Budget


@dataclass
class Till:
    """Books, reserves and stores the calls of one ask: the engine's `Desk`.

    `claims` is None where the ledger belongs to one home alone.
    """

    account: Account
    ledger: Ledger
    model: ModelRole
    price: Price | None
    claims: Claims | None = None
    claimed: set[str] = field(default_factory=set)
    _owned: list[str] = field(default_factory=list)
    _fingerprints: set[str | None] = field(default_factory=set)

    @property
    def budget(self) -> Budget:
        """What may still be spent."""
        return self.account.budget

    def reserve(self, items: Sequence[Item]) -> int:
        """Reserve what items may take at most; returns how many have room."""
        return self.budget.reserve([(item.key, item.request) for item in items], self.price)

    def may_ask(self, request: call.ChatRequest) -> bool:
        """Whether one more call of the engine's own may be paid for."""
        key = f"own {uuid.uuid4().hex}"
        if not self.budget.reserve([(key, request)], self.price):
            return False
        self._owned.append(key)
        return True

    def may_send(self, item: Item) -> bool:
        """Whether an item that nothing was reserved for may be paid for."""
        item.reserved = bool(self.reserve([item]))
        return item.reserved

    def book(self, answered: Answered) -> bool:
        """Count an answer; whether more may be sent."""
        item, reply = answered.item, answered.reply
        prompt, completion = _tokens(item.request, reply)
        usage = self.account.progress.usage
        usage.thinking += plain(reply.answer).thinking
        if _is_estimated(reply):
            usage.tokens_estimated += 1
            self.account.progress.note_once(
                "the endpoint tells no usage: tokens are estimated, three bytes each"
            )
        self._pay(item, prompt, completion)
        return True

    def charged(self, item: Item) -> bool:
        """Count a call that brought nothing; whether it may be sent once more."""
        prompt = sum(estimate(message["content"]) for message in item.request.messages)
        self._pay(item, prompt, 0)
        return bool(self.reserve([item]))

    def given_up(self, item: Item) -> None:
        """An item is not sent any more: free what was held for it."""
        self.budget.release(item.key)
        self.unclaim([item.key])

    def unclaim(self, keys: Collection[str]) -> None:
        """Let others ask these keys."""
        mine = [key for key in keys if key in self.claimed]
        if self.claims and mine:
            self.claimed.difference_update(mine)
            self.claims.release(mine)

    def commit(self, answered: list[Answered]) -> None:
        """Store answers for good."""
        self.ledger.add([self._call(one) for one in answered])
        self.unclaim([one.item.key for one in answered])
        new = {_model_of(one.reply.fingerprint) for one in answered} - self._fingerprints
        if new:
            model = self.model
            self.ledger.observe(model.model, model.revision, sorted(filter(None, new)))
            self._fingerprints |= new

    def _pay(self, item: Item, prompt: int, completion: int) -> None:
        cost = self.price.cost(prompt, completion) if self.price else None
        self.account.progress.usage.paid_for(prompt, completion, cost)
        key = self._owned.pop() if item.request is PROBE and self._owned else item.key
        self.budget.settle(key, prompt, completion, cost or 0.0)

    def _call(self, answered: Answered) -> Call:
        reply, model = answered.reply, self.model
        prompt, completion = _tokens(answered.item.request, reply)
        return Call(
            key=answered.item.key,
            asset=self.account.asset,
            role=model.role,
            run_id=self.account.run_id,
            row_id=answered.item.request.row_id,
            template=answered.item.request.template,
            model=model.model,
            revision=model.revision,
            repeat_index=answered.item.repeat,
            answer=reply.answer.text,
            finish_reason=reply.answer.finish_reason,
            endpoint=answered.endpoint,
            latency_ms=answered.latency_ms,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=self.price.cost(prompt, completion) if self.price else None,
            fingerprint=reply.fingerprint,
            logprobs=reply.answer.logprobs,
            tokens_estimated=_is_estimated(reply) or None,
            thinking=reply.answer.thinking or None,
        )


def drifting(fingerprints: Iterable[str]) -> list[str]:
    """Fingerprints in order, each once, without what an engine adds of its arguments."""
    return list(dict.fromkeys(filter(None, map(_model_of, fingerprints))))


def _model_of(fingerprint: str | None) -> str | None:
    found = _OF_ARGUMENTS.match(fingerprint) if fingerprint else None
    return found.group(1) if found else fingerprint


def _is_estimated(reply: Reply) -> bool:
    return reply.prompt_tokens is None or reply.completion_tokens is None


def _tokens(request: call.ChatRequest, reply: Reply) -> tuple[int, int]:
    """Tokens as told, or else estimated."""
    prompt, completion = reply.prompt_tokens, reply.completion_tokens
    if prompt is None:
        prompt = sum(estimate(message["content"]) for message in request.messages)
    if completion is None:
        completion = estimate(reply.answer.text) + reply.answer.thinking
    return prompt, completion
