"""What verify.sh asks of the servers: runs of Dagster by its GraphQL, and predictions. The standard library only.

talk.py launch URL                   # the id of a new run of full_refresh
talk.py started URL RUN SECONDS      # waits until one of its steps has begun
talk.py finished URL RUN SECONDS     # waits until it, or an automatic retry of it, has succeeded
talk.py runs URL                     # every run with its status, oldest first
talk.py predict URL                  # the prediction and the version of the model
talk.py ask URL                      # until SIGTERM; then how many were answered, how many not, longest wait
"""

import json
import signal
import sys
import time
import urllib.error
import urllib.request

TOLD = {"FAILURE", "CANCELED"}
QUESTION = "/predict?vol_moving_avg=12345&adj_close_rolling_med=25"
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = """query { runsOrError { ... on Runs { results {
    runId status rootRunId stepStats { status startTime } tags { key value } } } } }"""
JOB = {
    "selector": {
        "repositoryLocationName": "stock_assets",
        "repositoryName": "__repository__",
        "jobName": "full_refresh",
    },
    "mode": "default",
    "runConfigData": {},
}


def graphql(url: str, query: str, **variables: object) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - our own server
        return json.load(answer)["data"]


def runs(url: str) -> list[dict]:
    """Oldest first."""
    return graphql(url, RUNS)["runsOrError"]["results"][::-1]


def family(url: str, run_id: str) -> list[dict]:
    return [run for run in runs(url) if run_id in (run["runId"], run["rootRunId"])]


def launch(url: str) -> str:
    answer = graphql(url, LAUNCH, params=JOB)["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        sys.exit(f"Dagster did not launch full_refresh: {answer}")
    return answer["run"]["runId"]


def wait(url: str, run_id: str, seconds: str, wanted: str) -> str:
    """The statuses of the run and its retries. Servers may be away for a while."""
    deadline = time.monotonic() + float(seconds)
    found: list[dict] = []
    while time.monotonic() < deadline:
        try:
            found = family(url, run_id)
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(1)
            continue
        statuses = [run["status"] for run in found]
        if wanted == "started" and any(step["startTime"] for run in found for step in run["stepStats"]):
            break
        if "SUCCESS" in statuses or (wanted == "started" and TOLD & set(statuses)):
            break
        if len(found) > 1 and all(status in TOLD for status in statuses):
            sys.exit(f"run {run_id} and its retry failed")
        time.sleep(0.5)
    else:
        sys.exit(f"run {run_id} is not {wanted} after {seconds} s: {[run['status'] for run in found]}")
    return ", ".join(statuses)


def predict(url: str) -> str:
    with urllib.request.urlopen(url + QUESTION, timeout=30) as answer:  # noqa: S310 - our own server
        return f"{int(answer.read())} {answer.headers['X-Model-Version']}"


def ask(url: str) -> str:
    asking = True

    def stop(*_: object) -> None:
        nonlocal asking
        asking = False

    signal.signal(signal.SIGTERM, stop)
    answered = failed = 0
    longest, last = 0.0, time.monotonic()
    while asking:
        try:
            predict(url)
            answered, now = answered + 1, time.monotonic()
            longest, last = max(longest, now - last), now
        except (OSError, ValueError, urllib.error.URLError):
            failed += 1
        time.sleep(0.05)
    return f"{answered} {failed} {longest:.1f}"


def main(command: str, url: str, *more: str) -> str:
    if command in ("started", "finished"):
        return wait(url, *more, wanted=command)
    if command == "runs":
        return "\n".join(f"{run['runId']} {run['status']}" for run in runs(url))
    return {"launch": launch, "predict": predict, "ask": ask}[command](url)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
