"""What passes between those who ask and those who send: items, what came of them, and who pays."""

from dataclasses import dataclass
from typing import Protocol

from chillguard.calls import call
from resources.models.completion import Reply
from resources.models.failures import Refused


@dataclass
class Item:
    """One request on its way; `reserved` says whether it is paid for when its turn comes."""

    key: str
    request: call.ChatRequest
    repeat: int
    attempts: int = 0
    overloads: int = 0
    reserved: bool = True


@dataclass(frozen=True)
class Answered:
    """An item that was answered: what came, from where, after how many milliseconds."""

    item: Item
    reply: Reply
    endpoint: str
    latency_ms: float


@dataclass(frozen=True)
class GivenUp:
    """An item that cannot be answered, and why; `rejected` where the endpoint would not have it."""

    item: Item
    reason: str
    rejected: Refused | None = None


class Desk(Protocol):
    """Who pays: is asked before a call that no item has been paid for, and told of each answer."""

    def may_ask(self, request: call.ChatRequest) -> bool:
        """Whether one more call, of the engine's own, may be paid for."""

    def may_send(self, item: Item) -> bool:
        """Whether an item that nothing was reserved for may be paid for."""

    def book(self, answered: Answered) -> bool:
        """Count an answer; whether more may be sent."""

    def charged(self, item: Item) -> bool:
        """Count a call that brought nothing; whether it may be sent once more."""

    def commit(self, answered: list[Answered]) -> None:
        """Store answers for good; called in a thread of its own, one group after another."""
