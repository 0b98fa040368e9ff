"""A review queue through a real Label Studio and back: import, annotate by its API, export, read.

`python benchmarks/label_studio_drill.py PROGRAM QUEUE`: PROGRAM is the command `label-studio`
of an environment of its own (`pip install label-studio`), QUEUE a folder `review/<digest>` that a
run made. Prints one JSON report and exits non-zero when a decision comes back otherwise.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from chillguard import taxonomy
from chillguard.labeling import review, review_export
from chillguard.rows import records
from resources.home.review import Review

USER, PASSWORD, TOKEN = "reviewer@example.org", "a-drill-only", "0123456789abcdef" * 2 + "01234567"
DECIDED = 12
# What reviewers do by turns: a label, an unsafe one with its category, or they skip the task.
TURNS: tuple[tuple[str, str | None] | None, ...] = (("safe", None), ("unsafe", "B4"), None)


class Studio:
    """A server of its own on a free port of this machine, its data in `folder`."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1"]
        command += ["--port", str(port), "--data-dir", str(folder), "--enable-legacy-api-token"]
        command += ["--username", USER, "--password", PASSWORD, "--user-token", TOKEN]
        quiet = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false"}
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **quiet, "HOME": str(folder)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the API."""
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"null")

    def ready(self, within_s: float = 600) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                self.call("GET", "/api/version")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("Label Studio did not start; see its server.log") from None
                time.sleep(1)

    def stop(self) -> None:
        """End the server and what it started."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        self._log.close()


def annotated(studio: Studio, queue: Path) -> tuple[dict[str, tuple[str, str | None]], Any]:
    """Import the queue, decide the first tasks by turns; what was decided, and the export."""
    config = (queue / review_export.CONFIG).read_text("utf-8")
    project = studio.call("POST", "/api/projects", {"title": "drill", "label_config": config})
    at = f"/api/projects/{project['id']}"
    tasks = json.loads((queue / review_export.TASKS).read_text("utf-8"))
    made = studio.call("POST", f"{at}/import?return_task_ids=true", tasks)
    assert made["task_count"] == len(tasks), made
    decided = {}
    for number, (task, key) in enumerate(zip(tasks[:DECIDED], made["task_ids"], strict=False)):
        turn = TURNS[number % len(TURNS)]
        body = {"result": result(*turn) if turn else [], "was_cancelled": turn is None}
        studio.call("POST", f"/api/tasks/{key}/annotations/", body)
        if turn:
            decided[task["data"]["prompt_id"]] = turn
    return decided, studio.call("GET", f"{at}/export?exportType=JSON&download_all_tasks=true")


def result(label: str, category: str | None) -> list[dict[str, Any]]:
    """The result of an annotation, as the labelling interface makes it."""
    chosen = {"label": label, "category": category}
    return [
        {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}
        for name, value in chosen.items()
        if value
    ]


def main() -> None:
    """Run the drill."""
    program, queue = sys.argv[1], Path(sys.argv[2])
    folder = Path(tempfile.mkdtemp())
    studio, began = Studio(program, folder), time.monotonic()
    try:
        studio.ready()
        started = time.monotonic() - began
        decided, export = annotated(studio, queue)
        version = studio.call("GET", "/api/version")["release"]
    finally:
        studio.stop()
    file = folder / "export.json"
    file.write_text(json.dumps(export, ensure_ascii=False), "utf-8")
    known = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
    rejects: list[records.Reject] = []
    reviews = Review(folder=str(folder), decisions=str(file), reviewers={"1": USER})
    found = list(review.decisions(reviews.parsed(), known.codes, reviews.reviewers, rejects))
    read = {one.prompt_id: (one.label, one.micro_category) for one in found}
    who = {type(one["completed_by"]).__name__ for task in export for one in task["annotations"]}
    report = {
        "drill": "label_studio",
        "version": version,
        "tasks": len(export),
        "decided": len(decided),
        "read_back": len(read),
        "equal": read == decided,
        "rejected": len(rejects),
        "reviewers": sorted({one.reviewer for one in found}),
        "completed_by": sorted(who),
        "started_in_s": round(started, 1),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    shutil.rmtree(folder)
    sys.exit(read != decided or bool(rejects))


if __name__ == "__main__":
    main()
