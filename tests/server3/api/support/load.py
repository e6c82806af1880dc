"""Clients that send requests without pauses over persistent connections, and record every response."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """One response; `sent` and `received` are times of the monotonic clock."""

    sent: float
    received: float
    status: int
    body: dict[str, Any]


@dataclass
class Load:
    """The responses. `broken` counts requests without one."""

    answers: list[Answer] = field(default_factory=list)
    broken: int = 0
    refused: int = 0


async def ask(port: int, bodies: list[bytes], stop: asyncio.Event, load: Load, *, offset: int = 0) -> None:
    """Post bodies to /predict in turn until stopped; reconnect if the server closes the connection."""
    turn = offset
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            load.refused += 1
            await asyncio.sleep(0.05)
            continue
        open_still = True
        while open_still and not stop.is_set():
            body = bodies[turn % len(bodies)]
            turn += 1
            sent = time.monotonic()
            try:
                writer.write(
                    b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(body), body)
                )
                head = await reader.readuntil(b"\r\n\r\n")
                headers = dict(
                    line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line
                )
                text = await reader.readexactly(int(headers["content-length"]))
            except (OSError, asyncio.IncompleteReadError):
                load.broken += 1
                break
            load.answers.append(Answer(sent, time.monotonic(), int(head.split()[1]), json.loads(text)))
            open_still = headers.get("connection") != "close"
        writer.close()


async def under_load(port: int, bodies: list[bytes], connections: int, meanwhile: Any) -> Load:
    """Send requests over a number of connections while `meanwhile` (a blocking call) runs in a thread."""
    load, stop = Load(), asyncio.Event()
    clients = [
        asyncio.create_task(ask(port, bodies, stop, load, offset=number)) for number in range(connections)
    ]
    try:
        await asyncio.to_thread(meanwhile)
    finally:
        stop.set()
    await asyncio.gather(*clients)
    return load
