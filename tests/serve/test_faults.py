"""Replicas that hang, are slow, or die, and clients that go away: caused for real, by signals and closed sockets."""

import itertools
import re
import signal
import socket
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import httpx
import psutil
import pytest

from deployments.haproxy.rules import REFUSED_BY_HAPROXY

from .conftest import STARTED, wait_for

DEADLINE_S = 3.0

_HEIGHTS_PX = itertools.count(40)


@pytest.fixture(scope="module")
def config(fake_config):
    fake_config["applications"][0]["args"]["deadline_s"] = DEADLINE_S
    return fake_config


@pytest.fixture
def unique_picture(picture):
    """Pictures that no earlier test has sent: the same bytes are judged once."""
    return lambda: picture("blue", size=(64, next(_HEIGHTS_PX)))


def is_ready(service):
    try:
        return httpx.get(f"{service.root}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_full_service_is_refused_for_by_haproxy(service, unique_picture):
    (scorer,) = service.replicas("ClipScorer")
    # How many are let in depends on how fast the service was lately.
    more_than_are_let_in = 400
    limits = httpx.Limits(max_connections=more_than_are_let_in)
    # A thread may close a connection that is kept, and that another one has just begun to use: httpcore takes no lock.
    once = {"Connection": "close"}
    give_up_s = time.monotonic() + 60
    scorer.suspend()
    try:
        # A client for each picture costs so much that those inside would be answered before the service is full.
        with (
            httpx.Client(timeout=30, limits=limits, headers=once) as client,
            ThreadPoolExecutor(more_than_are_let_in) as pool,
        ):
            sent: set[Future[httpx.Response]] = set()
            refused: httpx.Response | None = None
            while refused is None:
                assert time.monotonic() < give_up_s, "never refused by HAProxy"
                missing = more_than_are_let_in - len(sent)
                sent |= {pool.submit(client.post, service.url, content=unique_picture()) for _ in range(missing)}
                answered, sent = wait(sent, timeout=1, return_when=FIRST_COMPLETED)
                for answer in (each.result() for each in answered):
                    # Those that are let in wait for the scorer until their deadline.
                    assert answer.status_code == 503
                    # Every refusal by the ingress is followed by some by HAProxy.
                    if answer.json()["message"] == REFUSED_BY_HAPROXY:
                        refused = answer
    finally:
        scorer.resume()
    assert refused.json()["reason"] == "overloaded"
    assert refused.headers["retry-after"] == "1", "it is full for 0.15 s"
    wait_for(lambda: service.scan(unique_picture()).status_code == 200)
    assert re.search(r"request \w{32}: \d+ requests before it were refused by the front end", service.log_text())


def test_a_scorer_that_hangs_makes_a_picture_unscanned_in_time(service, unique_picture):
    wait_for(lambda: is_ready(service))
    (scorer,) = service.replicas("ClipScorer")
    scorer.suspend()
    try:
        with httpx.Client(timeout=30) as client:
            body = unique_picture()
            started_s = time.monotonic()
            response = client.post(service.url, content=body)
            elapsed_s = time.monotonic() - started_s
    finally:
        scorer.resume()
    assert response.status_code == 503
    # HAProxy answers instead where the ingress is late.
    assert response.json()["reason"] in ("deadline", "unavailable")
    assert response.headers["retry-after"]
    assert response.json()["verdict"] is None
    assert elapsed_s >= DEADLINE_S, "it had until then"
    # Rule 1: the one time that is a promise of the product and not a property of the machine.
    assert elapsed_s < DEADLINE_S + 0.5


def test_a_scorer_that_is_slow_and_comes_back_in_time_gives_a_verdict(service, unique_picture):
    wait_for(lambda: is_ready(service))
    (scorer,) = service.replicas("ClipScorer")
    is_resumed = threading.Event()

    def resume():
        is_resumed.set()
        scorer.resume()

    scorer.suspend()
    slow = threading.Timer(DEADLINE_S / 4, resume)
    slow.start()
    response = service.scan(unique_picture())
    assert is_resumed.is_set(), "no answer while the scorer is stopped"
    slow.join()
    assert (response.status_code, response.json()["verdict"]) == (200, "accept")


def test_a_client_that_goes_away_leaves_nothing_behind(service, unique_picture):
    (scorer,) = service.replicas("ClipScorer")
    url = httpx.URL(service.url)
    scorer.suspend()
    try:
        for _ in range(5):
            with socket.create_connection((url.host, url.port)) as connection:
                body = unique_picture()
                head = f"POST {url.path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
    finally:
        scorer.resume()
    assert service.scan(unique_picture()).json()["verdict"] == "accept"


@pytest.mark.parametrize("deployment", ["Preprocessor", "ClipScorer"])
def test_a_replica_that_died_is_replaced_and_its_pictures_are_answered(service, unique_picture, deployment):
    wait_for(lambda: is_ready(service))
    (victim,) = service.replicas(deployment)
    victim.send_signal(signal.SIGKILL)
    response = service.scan(unique_picture())
    assert response.status_code in (200, 503)
    assert response.json()["reason"] in ("policy", "unavailable", "deadline")
    wait_for(lambda: service.replicas(deployment) and victim.pid not in [p.pid for p in service.replicas(deployment)])
    wait_for(lambda: service.scan(unique_picture()).status_code == 200)
    wait_for(lambda: f"{deployment}: all replicas run again" in service.text)
    said = service.text.partition(STARTED)[2].splitlines()[1:]
    of_it = [line for line in said if line.startswith(f"{deployment}: ")]
    assert of_it[0] == f"{deployment}: a replica died or does not answer; another one is starting"
    assert "worker died" not in service.text, "a line of ours, and not Ray's paragraphs"


def test_a_dead_decode_worker_costs_no_replica_and_every_picture_is_scanned_in_the_end(service, unique_picture):
    wait_for(lambda: is_ready(service))
    (replica,) = service.replicas("Preprocessor")
    (worker,) = replica.children()

    def scan(body):
        # While the only worker starts again, the deadline of those that wait for it may pass: they may be sent again.
        for _ in range(5):
            response = service.scan(body)
            if response.json()["reason"] not in ("deadline", "overloaded"):
                break
        return response

    with ThreadPoolExecutor(4) as clients:
        answers = clients.map(scan, [unique_picture() for _ in range(40)])
        first = next(answers)  # the load has begun
        worker.send_signal(signal.SIGKILL)
        statuses = {response.status_code for response in (first, *answers)}
    assert statuses == {200}
    assert [each.pid for each in service.replicas("Preprocessor")] == [replica.pid]
    assert [each.pid for each in replica.children()] != [worker.pid]


def test_a_dead_ingress_comes_back(service, unique_picture):
    wait_for(lambda: is_ready(service))
    (ingress,) = service.replicas("Ingress")
    ingress.send_signal(signal.SIGKILL)
    psutil.wait_procs([ingress], timeout=10)

    def answers():
        try:
            return service.scan(unique_picture()).status_code == 200
        except httpx.HTTPError:
            return False

    wait_for(answers)
