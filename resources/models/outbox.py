"""Answers on their way into the ledger: committed in groups, beside the event loop.

A commit that fails is kept and tried again: paid answers are given up only when the database has
refused them for as long as an endpoint may be down. What an answer means is not known here.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import sqlalchemy as sa

from resources.models.failures import Stopped

T = TypeVar("T")
_COMMIT_WITHIN_S = 0.04
# A commit that takes longer waits for a lock or a disk.
_SLOW_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class Outbox(Generic[T]):
    """Hands groups to `commit`, in a thread, one after another, and then to `done`.

    `failed` is told of what no waiting mends. Used in one event loop.
    """

    def __init__(
        self,
        commit: Callable[[list[T]], None],
        done: Callable[[list[T]], None],
        failed: Callable[[BaseException], None],
        give_up_after_s: float,
    ) -> None:
        self._commit = commit
        self._done = done
        self._failed = failed
        self._give_up_after_s = give_up_after_s
        self._waiting: list[T] = []
        self._in_hand: list[T] = []
        self._began_at = 0.0
        self._failing_since: float | None = None
        self._due: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_hand)

    @property
    def is_stuck(self) -> bool:
        """Whether the database takes nothing now: nothing more is to be paid for meanwhile."""
        slow = bool(self._in_hand) and time.monotonic() - self._began_at > _SLOW_S
        return slow or self._failing_since is not None

    def add(self, one: T) -> None:
        """Take one answer; it is committed within a moment."""
        self._waiting.append(one)
        if self._due is None and self._task is None:
            self._due = asyncio.get_running_loop().call_later(_COMMIT_WITHIN_S, self.flush)

    def flush(self) -> None:
        """Commit what is here now."""
        if self._due:
            self._due.cancel()
            self._due = None
        if self._waiting and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def drain(self) -> None:
        """Commit everything; returns when nothing is left, or nothing can be done about it."""
        self.flush()
        while self._task:
            await asyncio.shield(self._task)
            self.flush()

    async def _work(self) -> None:
        pause = _FIRST_PAUSE_S
        try:
            while self._waiting:
                self._in_hand, self._waiting = self._waiting, []
                self._began_at = time.monotonic()
                try:
                    await asyncio.to_thread(self._commit, self._in_hand)
                except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as no:
                    self._back(no)
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_PAUSE_S, pause * 2)
                    continue
                self._failing_since = None
                committed, self._in_hand = self._in_hand, []
                self._done(committed)
        except BaseException as error:
            self._in_hand, self._waiting = [], []
            self._failed(error)
        finally:
            self._task = None

    def _back(self, error: Exception) -> None:
        """Keep what could not be committed; raises `Stopped` when that has lasted too long."""
        self._waiting, self._in_hand = self._in_hand + self._waiting, []
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > self._give_up_after_s:
            reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
            raise Stopped(
                f"the ledger has taken nothing for {now - self._failing_since:,.0f} s ({reason}), "
                f"and {len(self._waiting):,} answers are lost; mend the database"
            ) from None
