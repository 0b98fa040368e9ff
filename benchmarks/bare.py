"""The job done by a bare HTTP client: no ledger, no retries. Kinds: aiohttp, transport, shards."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx_aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from job import MODEL, Clock, Job, read, report

_IN_SHARD = 8
_WITHIN_S = 300.0

Post = Callable[[bytes], Awaitable[bytes]]


async def _aiohttp(job: Job, stack: AsyncExitStack) -> list[Post]:
    connector = aiohttp.TCPConnector(limit=job.c)
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=connector, timeout=timeout)
    )
    headers = {"content-type": "application/json"}

    async def post(body: bytes) -> bytes:
        async with session.post(_address(job), data=body, headers=headers) as response:
            response.raise_for_status()
            return await response.read()

    return [post] * job.c


def _httpx(job: Job, client: httpx.AsyncClient) -> Post:
    headers = {"content-type": "application/json"}

    async def post(body: bytes) -> bytes:
        response = await client.post(_address(job), content=body, headers=headers)
        return response.raise_for_status().content

    return post


async def _transport(job: Job, stack: AsyncExitStack) -> list[Post]:
    limits = httpx.Limits(max_connections=job.c, max_keepalive_connections=job.c)
    transport = httpx_aiohttp.AiohttpTransport(limits=limits, trust_env=False)
    client = httpx.AsyncClient(transport=transport, timeout=_WITHIN_S, trust_env=False)
    return [_httpx(job, await stack.enter_async_context(client))] * job.c


async def _shards(job: Job, stack: AsyncExitStack) -> list[Post]:
    limits = httpx.Limits(max_connections=_IN_SHARD, max_keepalive_connections=_IN_SHARD)
    posts: list[Post] = []
    while len(posts) < job.c:
        client = httpx.AsyncClient(limits=limits, timeout=_WITHIN_S, trust_env=False)
        posts += [_httpx(job, await stack.enter_async_context(client))] * _IN_SHARD
    return posts[: job.c]


def _address(job: Job) -> str:
    return f"{job.url}/chat/completions"


_KINDS = {"aiohttp": _aiohttp, "transport": _transport, "shards": _shards}


def _body(job: Job, text: str) -> bytes:
    messages = [{"role": "system", "content": job.system}, {"role": "user", "content": text}]
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": 16}
    body |= {"temperature": 0.0, "top_p": 1.0}
    return json.dumps(body).encode()


async def _work(job: Job, texts: Iterator[str], post: Post, answers: list[str]) -> None:
    for text in texts:
        document = json.loads(await post(_body(job, text)))
        answers.append(document["choices"][0]["message"]["content"])


async def _all(job: Job) -> list[str]:
    texts, answers = iter(job.texts()), list[str]()
    async with AsyncExitStack() as stack:
        posts = await _KINDS[job.kind](job, stack)
        await asyncio.gather(*(_work(job, texts, post, answers) for post in posts))
    return answers


def main() -> None:
    """Do the job on the command line."""
    job = read()
    clock = Clock()
    answers = uvloop.run(_all(job))
    report(job, clock.read(), answers)


if __name__ == "__main__":
    main()
