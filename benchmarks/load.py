"""Load on a service over keep-alive connections: by wrk where there is one, else by a client of our own."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

CONNECTIONS = 16


class Question(NamedTuple):
    """A request: GET, or POST where there is a body of JSON."""

    url: str
    body: str = ""


class Answer(NamedTuple):
    """Status, head and body of one answer."""

    status: int
    head: bytes
    body: bytes


class Load(NamedTuple):
    """What was answered: requests a second, the 99th percentile in ms, and how many answers were no 2xx."""

    rate: float
    p99: float
    failed: int


def put_load(question: Question, seconds: float) -> Load:
    """The same question over and over again for so many seconds. Raises `OSError` where nobody listens."""
    return _wrk(question, seconds) if shutil.which("wrk") else asyncio.run(_own(question, seconds))


def _wrk(question: Question, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if question.body:
            script.write(
                f'wrk.method = "POST"\nwrk.body = [==[{question.body}]==]\n'
                'wrk.headers["Content-Type"] = "application/json"\n'
            )
            script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", "-s", script.name, question.url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    amount, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", printed)[0]
    failed = re.findall(r"Non-2xx or 3xx responses: (\d+)", printed) or ["0"]
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", printed)
    return Load(float(rate), float(amount) * {"us": 0.001, "ms": 1, "s": 1000}[unit], int(failed[0]))


async def _own(question: Question, seconds: float) -> Load:
    taken: list[float] = []
    failed = 0

    def note(_: Question, answer: Answer, took: float) -> None:
        nonlocal failed
        taken.append(took)
        failed += answer.status // 100 != 2

    start = time.perf_counter()
    until = start + seconds
    await asyncio.gather(
        *(ask_until(lambda: time.perf_counter() > until, [question], note) for _ in range(CONNECTIONS))
    )
    taken.sort()
    return Load(len(taken) / (time.perf_counter() - start), 1000 * taken[int(0.99 * len(taken))], failed)


async def ask_until(
    done: Callable[[], bool], questions: list[Question], note: Callable[[Question, Answer, float], None]
) -> int:
    """Ask the questions in turn over one connection; gives how often it broke before an answer and was made anew."""
    place, broken = urlsplit(questions[0].url), 0
    requests = [(question, _request(question)) for question in questions]
    while not done():
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
        except ConnectionError:
            broken += 1
            await asyncio.sleep(0.02)
            continue
        try:
            while not done():
                for question, request in requests:
                    start = time.perf_counter()
                    writer.write(request)
                    answer = await _read(reader)
                    note(question, answer, time.perf_counter() - start)
        except (ConnectionError, asyncio.IncompleteReadError):
            broken += 1
        finally:
            writer.close()
    return broken


def _request(question: Question) -> bytes:
    place = urlsplit(question.url)
    target = f"{place.path}?{place.query}" if place.query else place.path
    head = f"{'POST' if question.body else 'GET'} {target} HTTP/1.1\r\nHost: {place.netloc}\r\n"
    if question.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(question.body)}\r\n"
    return f"{head}\r\n{question.body}".encode()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return Answer(int(head[9:12]), head, await reader.readexactly(length))


def memory(pid: int) -> float | None:
    """Resident megabytes of a process and its children; None where there is no /proc."""
    if not Path("/proc/self/status").exists():
        return None
    return sum(_resident(one) for one in family(pid)) / 1024


def family(pid: int) -> list[int]:
    """A process and all that it started, as Linux tells."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it has just ended
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _resident(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0  # it has just ended
    return int((re.findall(r"VmRSS:\s+(\d+)", text) or ["0"])[0])
