"""Many people at once: what they wait for an answer, what the server's memory does, and whether anyone sees another's answer.

    python benchmarks/load.py [--sessions 30] [--seconds 120] [--think 10] [--dataset mnist cifar10] [--no-training] [--json]

Sessions speak Streamlit's own protocol to a real server, without browsers. Each opens the Attack page, all at the same moment,
and then a link to an image of its own. Then each thinks for a while, about `--think` seconds, and does one thing: another
image, another ε, other models, another attack, or a picture of its own uploaded on Your image; meanwhile its page asks again
by itself for what is computed in the background. The server trains a model at the same time. An answer's time ends with the
last message of its run. Every answer is checked against what its session asked: the image's own pixels, the models, the attack
and the ε. Then one session alone changes images, and the server's processor time for each is measured. The server has the data
of `$ADVCORE_DATA`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import psutil
import requests
import websockets
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from served import server

from advcore import attacks, data
from advcore.jobs import queue
from advcore.models import checkpoints
from advcore.recipe import Recipe
from ui.words import epsilon_text

MODELS = {
    "digits": ("digits/digits_cnn-standard", "digits/digits_cnn-fgsm-0.2"),
    "mnist": (
        "mnist/lee_cnn-standard",
        "mnist/lee_cnn-fgsm-0.3",
        "mnist/srivathsav_cnn-standard",
        "mnist/srivathsav_cnn-pgd-0.3",
    ),
    "cifar10": ("cifar10/preact_resnet18-standard", "cifar10/preact_resnet18-n_fgsm-0.03137"),
}
ACTIONS = {"image": 10, "epsilon": 4, "models": 2, "attack": 2, "upload": 1}
"""What people do, and how often."""
KINDS = ("first load", "own link", *ACTIONS)
ATTACKS = ("fgsm", "pgd")
_LONG = 300.0  # seconds without an answer after which a session is called lost


@dataclass
class Answer:
    """What was done, how long its answer took in seconds, and how it differs from what was asked; empty if it does not."""

    action: str
    seconds: float
    wrong: str = ""


@dataclass
class Visitor:
    """A session: what it asked last, and what it was shown."""

    url: str
    dataset: str
    state: dict[str, str]
    chance: random.Random
    answers: list[Answer] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    session: str = ""
    watched: tuple[str, float] | None = None
    """The part of the page that asks again by itself, and after how many seconds."""

    async def connect(self) -> None:
        """Open the connection."""
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self.socket = await websockets.connect(address, subprotocols=["streamlit"], max_size=None, ping_interval=None)

    async def run(self, page: str = "", widgets: tuple[WidgetState, ...] = (), query: dict[str, str] | None = None) -> float:
        """Have the page run, as the browser asks for it; the seconds until its last message."""
        asked = self._state(page, query)
        asked.widget_states.widgets.extend(widgets)
        self.said, self.watched = [], None
        return await self._answered(asked)

    async def wait(self, seconds: float) -> None:
        """Think, while the page asks again by itself for what is computed in the background, as a browser has it do."""
        end = time.perf_counter() + seconds
        while self.watched and (left := end - time.perf_counter()) > 0:
            name, every = self.watched
            await asyncio.sleep(min(left, every))
            asked = self._state("", None)
            asked.fragment_id, asked.is_auto_rerun = name, True
            await self._answered(asked)
        await asyncio.sleep(max(0.0, end - time.perf_counter()))

    def _state(self, page: str, query: dict[str, str] | None) -> ClientState:
        asked = ClientState(query_string=urlencode(self.state if query is None else query), page_name=page)
        asked.context_info.url = f"{self.url}/{page}"
        return asked

    async def _answered(self, asked: ClientState) -> float:
        start = time.perf_counter()
        await self.socket.send(BackMsg(rerun_script=asked).SerializeToString())
        while True:
            message = ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), _LONG))
            match message.WhichOneof("type"):
                case "new_session":
                    self.session = message.new_session.initialize.session_id or self.session
                case "auto_rerun":
                    self.watched = message.auto_rerun.fragment_id, message.auto_rerun.interval
                case "delta":
                    self._see(message.delta.new_element)
                case "script_finished" if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return time.perf_counter() - start
                case "script_finished":  # the whole page is drawn again
                    self.watched = None

    def _see(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "markdown":
            self.said.append(element.markdown.body)
        elif kind == "bidi_component":
            name = element.bidi_component.component_name.rpartition("lab_")[2]
            self.shown[name] = element.bidi_component.id, element.bidi_component.json or element.bidi_component.mixed.json
        elif kind == "file_uploader":
            self.shown[kind] = element.file_uploader.id
        elif kind in ("exception", "alert"):
            self.shown.setdefault("told", []).append(str(getattr(element, kind))[:200])

    async def act(self, action: str) -> None:
        """Do one thing and check the answer."""
        self.shown.pop("told", None)
        if action == "upload":
            seconds, wrong = await self.upload()
        else:
            seconds = await self.run(widgets=self.change(action))
            wrong = self.wrong()
        self.answers.append(Answer(action, seconds, wrong))

    def change(self, action: str) -> tuple[WidgetState, ...]:
        """Choose something else; what a component reports, or nothing where the address says it."""
        chance = self.chance
        match action:
            case "image":
                identity, shown = self.shown["gallery"]
                offered = [item["index"] for item in json.loads(shown)["items"]]
                index = chance.choice([other for other in offered if str(other) != self.state["image"]])
                self.state["image"] = str(index)
                events = json.dumps([{"event": "pick", "value": index}])
                return (
                    WidgetState(id=identity, json_value="{}"),
                    WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{identity}__events", json_trigger_value=events),
                )
            case "epsilon":
                shown = json.loads(self.shown["scrubber"][1])
                self.state["epsilon"] = f"{chance.choice(shown['epsilons'][1:]):.10g}"
            case "models":
                self.state["a"], self.state["b"] = chance.sample(MODELS[self.dataset], 2)
            case "attack":
                self.state["attack"] = chance.choice([name for name in ATTACKS if name != self.state["attack"]])
        return ()

    def wrong(self) -> str:
        """How the Attack page that is shown differs from what was asked."""
        if told := self.shown.get("told"):
            return f"told {told}"
        state = self.state
        shown, index = json.loads(self.shown["scrubber"][1]), int(state["image"])
        pixels = images(self.dataset).images[index].numpy().tobytes()
        if base64.b64decode(shown["clean"]) != pixels:
            return f"another image than {index}"
        titles = [checkpoints.find(state[name]).title for name in "ab"]
        if [model["title"] for model in shown["models"]] != titles:
            return f"other models than {titles}"
        away = {at: abs(at - float(state["epsilon"])) for at in shown["epsilons"]}
        nearest = [at for at, distance in away.items() if distance < min(away.values()) + 1e-9]  # two, if it lies between them
        title = attacks.title(attacks.attack_named(state["attack"]))
        wanted = [f"{title[0].upper()}{title[1:]}, every pixel changed by at most ε = {epsilon_text(at)}," for at in nearest]
        return "" if any(words in said for words in wanted for said in self.said) else f"another attack or ε than {state}"

    async def upload(self) -> tuple[float, str]:
        """Show a picture of one's own on Your image, and return to Attack. The time ends when its answer is shown."""
        query = {"source": "upload", "dataset": self.dataset}
        await self.run("your_image", query=query)
        grey = self.chance.randrange(256)
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(grey).integers(0, 256, (300, 400, 3), np.uint8)).save(file, "PNG")
        start = time.perf_counter()
        wanted = BackMsg()
        wanted.file_urls_request.request_id = uuid.uuid4().hex
        wanted.file_urls_request.session_id = self.session
        wanted.file_urls_request.file_names.append("mine.png")
        await self.socket.send(wanted.SerializeToString())
        while (message := ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), _LONG))).WhichOneof(
            "type"
        ) != "file_urls_response":
            pass
        (place,) = message.file_urls_response.file_urls
        await asyncio.to_thread(_put, self.url, place.upload_url, file.getvalue())
        widget = WidgetState(id=self.shown["file_uploader"])
        widget.file_uploader_state_value.uploaded_file_info.add(
            file_id=place.file_id, name="mine.png", size=len(file.getvalue()), file_urls=place
        )
        self.shown = {}
        await self.run("your_image", (widget,), query)
        seconds, wrong = time.perf_counter() - start, "" if "scrubber" in self.shown else f"no answer: {self.shown.get('told')}"
        self.shown = {}
        await self.run()
        return seconds, wrong or self.wrong()


def _put(server: str, path: str, content: bytes) -> None:
    """Upload as the browser does, with the token against forged requests that the server gives."""
    session = requests.Session()
    session.get(f"{server}/_stcore/health", timeout=_LONG)
    headers = {"X-Xsrftoken": session.cookies.get("_streamlit_xsrf", "")}
    sent = session.put(server + path, files={"file": ("mine.png", content, "image/png")}, headers=headers, timeout=_LONG)
    sent.raise_for_status()


def images(dataset: str) -> data.LabeledImages:
    """The dataset's test images, read once."""
    if dataset not in _images:
        _images[dataset] = data.load(dataset)
    return _images[dataset]


_images: dict[str, data.LabeledImages] = {}


def visitor(url: str, dataset: str, seed: int) -> Visitor:
    """A session with a state of its own."""
    chance = random.Random(seed)
    a, b = chance.sample(MODELS[dataset], 2)
    image, epsilon = chance.randrange(len(images(dataset))), chance.choice(data.dataset(dataset).epsilons[1:])
    state = {"dataset": dataset, "a": a, "b": b, "attack": "fgsm", "image": str(image), "epsilon": f"{epsilon:.10g}"}
    return Visitor(url, dataset, state, chance)


async def first_loads(visitors: list[Visitor]) -> None:
    """All open the page at the same moment; then each, again at the same moment, a link to an image of its own."""

    async def opened(one: Visitor) -> None:
        start = time.perf_counter()
        await one.connect()
        await one.run(query={"dataset": one.dataset})
        missing = "" if "scrubber" in one.shown else f"nothing is shown: {one.shown.get('told')}"
        one.answers.append(Answer("first load", time.perf_counter() - start, missing))

    async def linked(one: Visitor) -> None:
        one.answers.append(Answer("own link", await one.run(), one.wrong()))

    await asyncio.gather(*(opened(one) for one in visitors))
    await asyncio.gather(*(linked(one) for one in visitors))


async def use(visitors: list[Visitor], seconds: float, think: float) -> None:
    """All think and act until the time is over."""
    end = time.perf_counter() + seconds

    async def uses(one: Visitor) -> None:
        while (pause := one.chance.uniform(0.5, 1.5) * think) + time.perf_counter() < end:
            await one.wait(pause)
            await one.act(one.chance.choices(list(ACTIONS), list(ACTIONS.values()))[0])

    await asyncio.gather(*(uses(one) for one in visitors))


def memory(process: psutil.Process) -> int:
    """MiB that the server and the processes that decode its uploads hold; not those of trainings."""
    held = process.memory_info().rss
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            held += child.memory_info().rss if "advcore.images.child" in child.cmdline() else 0
    return held >> 20


def processor(process: psutil.Process) -> float:
    """Seconds of processor time that the server has spent."""
    spent = process.cpu_times()
    return spent.user + spent.system


@contextlib.contextmanager
def training(runs: str, wanted: bool) -> Iterator[None]:
    """Have the queue of the server train a model meanwhile, if wanted."""
    if not wanted:
        yield
        return
    os.environ["ADVCORE_RUNS"] = runs
    job = queue.start(Recipe(dataset="digits", architecture="digits_cnn", epochs=10_000, defense="fgsm", epsilon=0.2))
    try:
        yield
    finally:
        queue.stop(job.id)
        while not queue.find(job.id).over:
            time.sleep(0.2)


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measured(options: argparse.Namespace, url: str, process: psutil.Process) -> dict[str, Any]:
    """Everything, as JSON values."""
    lone = visitor(url, options.dataset[0], 10_000)
    await first_loads([lone])  # the server's own first page
    before, load_before = memory(process), os.getloadavg()[0]
    crowd = [visitor(url, options.dataset[seed % len(options.dataset)], seed) for seed in range(options.sessions)]
    await first_loads(crowd)
    after_first = memory(process)
    spent, start = processor(process), time.perf_counter()
    await use(crowd, options.seconds / 2, options.think)
    half = memory(process)
    await use(crowd, options.seconds / 2, options.think)
    took, spent = time.perf_counter() - start, processor(process) - spent
    found: dict[str, Any] = {"sessions": options.sessions, "seconds": round(took), "load": [load_before, os.getloadavg()[0]]}
    answers = [answer for one in crowd for answer in one.answers]
    by_kind = {kind: [of.seconds for of in answers if of.action == kind] for kind in KINDS}
    by_kind["all actions"] = [of.seconds for of in answers if of.action in ACTIONS]
    for kind, times in by_kind.items():
        if times:
            found[kind] = {"n": len(times), "p50": percentile(times, 0.5), "p95": percentile(times, 0.95), "max": max(times)}
    found["processor_share"] = spent / took
    found["memory_mib"] = {"before": before, "after first loads": after_first, "half time": half, "after": memory(process)}
    found["wrong"] = [f"{of.action}: {of.wrong}" for of in answers if of.wrong]
    for one in crowd:
        await one.socket.close()
    found["new_image"] = {}
    for dataset in options.dataset:
        alone = visitor(url, dataset, 20_000)
        await first_loads([alone])
        spent, times = processor(process), []
        for index in alone.chance.sample(range(len(images(dataset))), options.images):  # hardly ever one that is still cached
            alone.state["image"] = str(index)
            times.append(await alone.run())
            found["wrong"] += filter(None, [alone.wrong()])
        found["new_image"][dataset] = {
            "processor_s": (processor(process) - spent) / len(times),
            "median_s": statistics.median(times),
        }
    return found


def table(found: dict[str, Any]) -> None:
    """Print the figures."""
    print(
        f"{found['sessions']} sessions, {found['seconds']} s; the machine's load was",
        *(f"{load:.1f}" for load in found["load"]),
    )
    for kind in (*KINDS, "all actions"):
        if row := found.get(kind):
            times = "   ".join(f"{name} {row[name]:6.2f} s" for name in ("p50", "p95", "max"))
            print(f"{kind:<14} {row['n']:5d} answers   {times}")
    for dataset, row in found["new_image"].items():
        print(f"a new image of {dataset}, alone: {row['processor_s']:.3f} s of processor time, {row['median_s']:.3f} s")
    print("memory:", ", ".join(f"{name} {size:,} MiB" for name, size in found["memory_mib"].items()))
    print(f"the server used {found['processor_share']:.2f} cores; {len(found['wrong'])} answers were not what was asked")
    for words in found["wrong"][:10]:
        print(" ", words[:300])


def main() -> int:
    """Measure and print; the exit code is 1 where an answer was not what its session asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--think", type=float, default=10, help="mean seconds between two actions")
    parser.add_argument("--dataset", nargs="+", choices=MODELS, default=["mnist", "cifar10"])
    parser.add_argument("--images", type=int, default=20, help="images that one session alone opens at the end")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as runs,
        server(ADVCORE_RUNS=runs) as (url, pid),
        training(runs, not options.no_training),
    ):
        found = asyncio.run(measured(options, url, psutil.Process(pid)))
    print(json.dumps(found)) if options.json else table(found)
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
