"""Many open pages, in a process of their own: `python -m benchmarks.viewers URL NUMBER`.

Each viewer is a socket that reads the frames and does nothing with them, as a browser's network
process would. The process says `ready` when all have their snapshot, and prints what they got when
its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp


async def view(http: aiohttp.ClientSession, url: str, seen: asyncio.Queue[int]) -> None:
    """Read one page's frames, and tell the size of each."""
    async with http.ws_connect(f"{url}/live", max_msg_size=0) as socket:
        async for message in socket:
            seen.put_nowait(len(message.data))
    seen.put_nowait(-1)


async def main(url: str, number: int) -> None:
    """Open the pages, and read until told to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    seen: asyncio.Queue[int] = asyncio.Queue()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        viewers = [loop.create_task(view(http, url, seen)) for _ in range(number)]
        snapshots = [await seen.get() for _ in range(number)]
        print("ready", flush=True)
        begun_s, frames, total, closed = time.monotonic(), 0, 0, 0
        while not ended.done():
            try:
                size = await asyncio.wait_for(seen.get(), 0.1)
            except TimeoutError:
                continue
            closed += size < 0
            frames += size >= 0
            total += max(0, size)
        seconds = time.monotonic() - begun_s
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)
    print(
        json.dumps({
            "viewers": number,
            "closed": closed,
            "snapshot_bytes": max(snapshots, default=0),
            "frames_s": round(frames / seconds / max(1, number), 2),
            "bytes_s": round(total / seconds / max(1, number)),
        })
    )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
