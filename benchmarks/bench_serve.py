"""A service under load: throughput against offline captioning, latency, right answers, memory, its end.

    python benchmarks/bench_serve.py [FOLDER ...] [--clients 64] [--seconds 60] [--requests 10000]

`showtell serve` runs in a process of its own; clients on the same machine send one photo a request, each the
next as soon as it has its answer. Every caption is compared with that of `Captioner.caption_stream` for the
same photo. Offline captioning of the same photos is timed before and after, in another process, while the
service is idle. Then `--requests` more are sent to see whether its memory grows. At the end it gets SIGTERM
in the middle of the load: what it took has to be answered. Some photos are enlarged to 12 megapixels.
Without a folder, photos are made of those in scikit-image. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from common import SUFFIXES, machine, make_photos
from PIL import Image

from showtell.captioning.captioner import Captioner
from showtell.utils.shipped import DEFAULT_MODEL

LARGE = (4000, 3000)


def offline(model: str, paths: list[Path]) -> tuple[list[str], float]:
    """Captions of files, and seconds."""
    captioner = Captioner.load(model)
    list(captioner.caption_stream(paths[:32], open_source=lambda path: path))  # the first are slower
    start = time.perf_counter()
    done = list(captioner.caption_stream(paths, open_source=lambda path: path))
    return [item.captions[0].text for item in done], time.perf_counter() - start


@dataclass
class Outcome:
    """What clients saw.

    Attributes:
        seconds: of each captioned request.
        statuses: how many requests had which status; 0 for a broken connection.
        wrong: names of photos whose caption was not the offline one.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)


class Load:
    """Clients that each send the next photo when they have the answer to the last."""

    def __init__(self, address: str, photos: list[tuple[str, bytes, str]]) -> None:
        self.address, self.photos = address, photos

    async def run(self, clients: int, *, seconds: float = 1e9, requests: int = 10**9) -> Outcome:
        """Until the time is over, or so many requests were sent."""
        outcome, end, numbers = Outcome(), time.perf_counter() + seconds, iter(range(requests))
        connector = aiohttp.TCPConnector(limit=clients)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def client() -> None:
                while time.perf_counter() < end and (number := next(numbers, None)) is not None:
                    if not await self.ask(session, number, outcome):
                        return

            await asyncio.gather(*(client() for _ in range(clients)))
        return outcome

    async def ask(self, session: aiohttp.ClientSession, number: int, outcome: Outcome) -> bool:
        """Send a photo; whether the service is still there."""
        name, data, expected = self.photos[number % len(self.photos)]
        form = aiohttp.FormData()
        form.add_field("images", data, filename="photo.jpg", content_type="image/jpeg")
        start = time.perf_counter()
        try:
            async with session.post(f"{self.address}/v1/captions", data=form) as response:
                answer = await response.json()
                outcome.statuses[response.status] += 1
        except aiohttp.ClientConnectorError:
            return False  # it takes no more connections
        except aiohttp.ClientError:
            outcome.statuses[0] += 1
            return False
        if response.status == 503:
            await asyncio.sleep(0.1)
        elif response.status == 200:
            outcome.seconds.append(time.perf_counter() - start)
            if answer["results"][0]["captions"][0]["text"] != expected:
                outcome.wrong.append(name)
        return True


def start_service(model: str) -> tuple[subprocess.Popen[str], str]:
    """The process, and its address."""
    command = [sys.executable, "-m", "showtell.cli", "serve", "--port", "0", "--model", model]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"ready at (\S+)", line):
            return process, found[1]
    raise SystemExit("the service did not start")


def resident(process: subprocess.Popen[str]) -> float:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 2**10


def find_photos(folders: list[Path], made: Path, each: int) -> list[Path]:
    """Photos of the folders, some of them enlarged."""
    paths = [
        path
        for folder in folders
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)[:each]
    ] or make_photos(made, each)
    for number, path in enumerate(paths[:: max(1, len(paths) // 8)][:8]):
        large = made / f"large-{number}.jpg"
        Image.open(path).convert("RGB").resize(LARGE).save(large, quality=85)
        paths.append(large)
    random = np.random.default_rng(0)
    return [paths[place] for place in random.permutation(len(paths))]


def report_load(outcome: Outcome, seconds: float, rates: list[float]) -> None:
    """Throughput against offline, and latency."""
    rate = len(outcome.seconds) / seconds
    half, late = np.quantile(outcome.seconds, (0.5, 0.99))
    print("| | |\n| --- | --- |")
    print(f"| offline, before and after, images/s | {rates[0]:.1f}, {rates[1]:.1f} |")
    print(f"| service, images/s | {rate:.1f} |")
    print(f"| ratio to the offline mean | {rate / statistics.mean(rates):.3f} |")
    print(f"| latency p50 / p99, s | {half:.2f} / {late:.2f} |")
    print(f"| requests by status | {dict(outcome.statuses)} |")
    print(f"| captions other than offline | {len(outcome.wrong)} {outcome.wrong[:3] or ''} |")


async def end_under_load(load: Load, process: subprocess.Popen[str], clients: int) -> tuple[Outcome, float]:
    """What clients see when it gets SIGTERM in the middle, and seconds until it is gone."""
    running = asyncio.create_task(load.run(clients, seconds=60))
    await asyncio.sleep(5)
    start = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        await asyncio.sleep(0.05)
    return await running, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A service under load.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of photos; by default some are made")
    parser.add_argument("--images", type=int, default=160, help="photos of each folder at most")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=0, help="more requests, to see whether memory grows")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder of the model, or its name in models/")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        paths = find_photos(args.folders, Path(made), args.images)
        contents = [path.read_bytes() for path in paths]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            captions, first = pool.apply(offline, (args.model, paths))
        process, address = start_service(args.model)
        load = Load(address, list(zip([p.name for p in paths], contents, captions, strict=True)))
        asyncio.run(load.run(args.clients, requests=len(paths)))
        start = time.perf_counter()
        outcome = asyncio.run(load.run(args.clients, seconds=args.seconds))
        took = time.perf_counter() - start
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            _, second = pool.apply(offline, (args.model, paths))
        print(f"{len(paths)} photos, {args.clients} clients, {took:.0f} s, model {args.model}")
        print(f"{machine()}\nload of the machine at the end: {os.getloadavg()[0]:.1f}\n")
        report_load(outcome, took, [len(paths) / first, len(paths) / second])
        if args.requests:
            memory = [resident(process)]
            for _ in range(10):
                more = asyncio.run(load.run(args.clients, requests=args.requests // 10))
                memory.append(resident(process))
                outcome.wrong += more.wrong
            shown = ", ".join(f"{value:.0f}" for value in memory)
            print(f"\nmemory, MiB, over {args.requests} more requests: {shown}; wrong: {len(outcome.wrong)}")
        last, seconds = asyncio.run(end_under_load(load, process, args.clients))
        print(f"\nSIGTERM under load: gone after {seconds:.1f} s, exit code {process.returncode};", end=" ")
        print(f"requests by status: {dict(last.statuses)}; wrong: {len(last.wrong)}")


if __name__ == "__main__":
    main()
