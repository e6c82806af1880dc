"""The real feed, served over HTTP, also behind applications that misbehave."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import uvicorn
from pydantic import SecretStr

from readmission_feed.app import create_app
from readmission_feed.settings import FeedSettings


class Moody:
    """The feed behind an application that first misbehaves: `busy`, `torn` or `altered`."""

    def __init__(self, app: Callable, moods: list[str]) -> None:
        self.app = app
        self.moods = moods

    async def __call__(self, scope, receive, send):
        mood = self.moods.pop(0) if scope["type"] == "http" and self.moods else None
        if mood == "busy":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        async def answer(message):
            body = message.get("body", b"")
            if mood == "altered" and body:
                message = message | {"body": body[:-2] + b"X\n"}
            if mood == "torn" and body:
                # The announced length never arrives: the connection breaks in the middle of the block.
                await send(message | {"body": body[: len(body) // 2], "more_body": True})
                raise ConnectionError
            await send(message)

        await self.app(scope, receive, answer)


class Edited:
    """The feed behind a proxy that changes its responses: `edit` gets headers, body, and the first response.

    The length fits the edited body, and the feed's digest is removed unless `edit` sets another one.
    """

    def __init__(self, app: Callable, edit: Callable) -> None:
        self.app = app
        self.edit = edit
        self.first = None

    async def __call__(self, scope, receive, send):
        messages = []

        async def keep(message):
            messages.append(message)

        await self.app(scope, receive, keep)
        headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in messages)
        self.first = self.first or (headers, body)
        digest = headers.pop("content-digest", "")
        headers, body = self.edit(headers | {"kept-digest": digest}, body, self.first)
        sent = {"content-digest": "", **headers, "content-length": str(len(body))}
        pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
        await send(messages[0] | {"headers": pairs})
        await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(dataset: Path, moods: list[str] | None = None, token: str | None = None) -> Iterator[str]:
    app = create_app(FeedSettings(dataset=dataset, token=SecretStr(token) if token else None))
    with served(Moody(app, moods or [])) as url:
        yield url


@contextlib.contextmanager
def served(app: Callable, lifespan: Literal["auto", "off"] = "auto") -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan=lifespan))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
