#!/usr/bin/env python3
"""Builds the ad servers, shows that they decide alike, then loads them: make servers.

    servers.py [--short] [--only cpp,go,java] [--seconds N] [--rounds N]
    servers.py --bundle     packs build/openrtb/bundles and no more

1. builds those that are there, and a bundle;
2. starts each on loopback and sends all the same requests (fire.py): same decisions, same prices;
3. publishes another bundle: each follows, and they agree again; one that is not there: each serves on and says so;
4. closes each while a request is on its way, starts each with what it must refuse, is slow, sends tight deadlines;
5. goes from bids to a model that is trained on what came of them, and back (loop.py);
6. loads each in turn over loopback with wrk, beside the same requests decided without HTTP.

--short (part of make test) does 1 to 5 and a second of load. Standard library, wrk, and what the servers need.
"""
from __future__ import annotations

import argparse
import json
import os
import queue
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction
from typing import Any

import fire
import loop
import reference
import shots
from events import EVENTS, KEY
from packing import ADCLICK, BUILD, CAMPAIGNS, HERE, ROOT, SERVERS, load_requests, many_ads, need, pack

# A TCF string with consent to all purposes and to the vendors 0 to 65535. (0 is nobody's id.)
ALL_VENDORS = "CQdWToAQdWToAAfACBENCWEgAP_AAAAAAAYn__wAYAAf_-AAAAA"


class Process:
    """A server that was started here, and that nobody but this ends."""

    def __init__(self, key: str, command: list[str], bundles: str, campaigns: str, threads: int, kernel: str | None, *more: str):
        self.key, self.name = key, SERVERS[key][0]
        environment = dict(os.environ)
        if kernel:
            environment["ADCLICK_KERNEL"] = kernel
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--bundles", bundles, "--campaigns", campaigns, "--threads", str(threads),
             "--events-url", EVENTS, *(more or ("--drain-ms", "0"))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        threading.Thread(target=self._read, args=(self.process.stdout, self.lines.put), daemon=True).start()
        self.listening_to_errors = threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append), daemon=True)
        self.listening_to_errors.start()
        try:
            line = self.lines.get(timeout=60)
        except queue.Empty:
            line = ""
        if not line.startswith("listening on "):
            self.process.kill()
            self.listening_to_errors.join(5)
            sys.exit(f"servers: {self.name} did not start: {line}{''.join(self.errors)}")
        self.url = line.removeprefix("listening on ").strip()

    @staticmethod
    def _read(stream: Any, put: Any) -> None:
        for line in stream:
            put(line)

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, all threads."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def health(self) -> dict[str, str]:
        server = fire.Server(self.url)
        found = json.loads(server.send("GET", "/healthz")[2])
        server.close()
        return found

    def generation(self) -> str:
        return self.health()["generation"]

    def end(self) -> int:
        """Asks it to end, again if it was asked before; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def log_of(key: str) -> str:
    return os.path.join(BUILD, f"log-{key}")


def replace(path: str, text: str) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


class Show:
    def __init__(self) -> None:
        self.faults = 0

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults += 1
            print("FAULT", what)

    def roundings(self, cpp: bool) -> None:
        """The reference's prices, and those of the C++ code: at the floor or above, and never above the worth."""
        draw, bids = random.Random(6), 0
        rates = [Fraction(1)] + [Fraction(draw.randint(1, 1 << draw.randint(1, 42)), 10**9) for _ in range(19)]
        for _ in range(100_000):
            floor = draw.randint(1, 1 << draw.randint(1, 44)) * draw.choice(rates)
            least, rate = draw.randint(1, 1 << 20), draw.choice(rates)
            # About the floor, where rounding decides, in one case of two.
            worth = draw.choice((draw.randint(1, 1 << draw.randint(1, 47)), max(1, int(floor) + draw.randint(-2, 2))))
            price = reference.price_in(draw.choice((1, 2)), worth, draw.randint(1, worth), floor, least, rate)
            bids += price is not None
            self.check(price is None or max(floor, least) <= price * rate <= worth,
                       f"a price of {price} at {rate}: floor {floor}, worth {worth}")
        self.check(1000 < bids < 100_000, f"{bids} bids on random floors")
        print(f"floors: 100000 in {len(rates)} currencies, {bids} bids")
        if cpp:
            done = subprocess.run([os.path.join(ROOT, "build", "adserver", "money_test")], capture_output=True, text=True)
            self.check(done.returncode == 0, f"C++: {done.stdout}{done.stderr}")
            print(f"C++ {done.stdout.strip()}")
            done = subprocess.run([os.path.join(ROOT, "build", "adserver", "events_test")], capture_output=True, text=True)
            self.check(done.returncode == 0, f"C++: {done.stdout}{done.stderr}")

    def follow(self, processes: list[Process]) -> None:
        """A new table goes live in all of them."""
        before = {p.generation() for p in processes}
        self.check(len(before) == 1, f"the servers serve different generations: {before}")
        renewed = os.path.join(BUILD, "ads-renewed.csv")
        with open(os.path.join(HERE, "ads.csv"), encoding="utf-8") as old, open(renewed, "w", encoding="utf-8") as new:
            for k, line in enumerate(old):
                fields = line.split(",")
                new.write(line if k == 0 else ",".join([fields[0], "0.0333", *fields[2:]]))
        pack("b", renewed, weights=False)
        limit = time.monotonic() + 60
        while any(p.generation() in before for p in processes) and time.monotonic() < limit:
            time.sleep(0.1)
        after = {p.generation() for p in processes}
        self.check(len(after) == 1 and not after & before, f"not all servers went to the new bundle: {before}, {after}")
        shot = fire.Run([fire.Server(p.url) for p in processes], reference.Campaigns(CAMPAIGNS, EVENTS + "/events"))
        for _, file in shots.case_files():
            for case in file["cases"]:
                shot.fire(case["name"], shots.body_of(case))
        self.faults += shot.faults
        print(f"another bundle: {', '.join(p.name for p in processes)} went from {before.pop()} to {after.pop()}; "
              f"{shot.sent} requests, {shot.faults} faults")

    def missing_bundle(self, processes: list[Process]) -> None:
        """CURRENT names a bundle that is not there: what is live serves on, and the health check says why."""
        current = os.path.join(BUILD, "bundles", "CURRENT")
        with open(current, encoding="utf-8") as file:
            good = file.read()
        live = processes[0].generation()
        replace(current, "not-there\n")
        limit = time.monotonic() + 60
        while not all("follow_error" in p.health() for p in processes) and time.monotonic() < limit:
            time.sleep(0.1)
        for process in processes:
            found = process.health()
            self.check("not-there" in found.get("follow_error", "") and found["generation"] == live, f"{process.name}: health {found}")
            server = fire.Server(process.url)
            status, _, answer, _ = server.bid(json.dumps(shots.request()).encode())
            self.check(status == 200, f"{process.name}: {status} {answer!r} while CURRENT names no bundle")
            server.close()
        replace(current, good)
        print("a bundle that is not there: the one before serves on, /healthz says why")

    def refusals(self, key: str, command: list[str]) -> None:
        """What a server must not start with: exit code 1 and a line that says why, or 2 for the command line."""
        name = SERVERS[key][0]
        bundles, broken = os.path.join(BUILD, "bundles"), os.path.join(BUILD, "campaigns-broken.json")
        with open(CAMPAIGNS, encoding="utf-8") as file:
            good = json.load(file)
        first, others = good["ads"][0], good["ads"][1:]

        def with_first(**members: Any) -> dict[str, Any]:
            return good | {"ads": [first | members, *others]}

        bid = first["bid"]
        files = {"no JSON": None, "a list": [], "a vendor of 0": good | {"gdpr_vendor": 0},
            "a vendor out of range": good | {"gdpr_vendor": 65536},
                 "a taxonomy as a text": good | {"cattax": "1"}, "a language in upper case": with_first(language="EN"),
                 "an empty bundle": with_first(bundle=""), "attributes as a number": with_first(attr=6),
                 "an attribute of 0": with_first(attr=[0]),
                 "a video that is neither linear nor not": with_first(banner=None, video=others[-4]["video"] | {"linearity": 3}),
                 "a placement as a number": with_first(banner=None, video=others[-4]["video"] | {"placement": 1}),
                 "a banner with a native's url": with_first(impression_url="https://ads.example/i"),
                 "a misspelt member": good | {"curency": "USD"}, "no ads": good | {"ads": []},
                 "a currency in lower case": good | {"currency": "usd"}, "a rate of 0": good | {"rates": good["rates"] | {"EUR": "0.0"}},
                 "the own currency with a rate": good | {"rates": good["rates"] | {"USD": "1"}},
                 "min_cpm of 0": good | {"min_cpm": "0"}, "an amount as a number": with_first(bid=bid | {"amount": 1.5}),
                 "an amount with an exponent": with_first(bid=bid | {"amount": "1e3"}),
                 "an amount of 0": with_first(bid=bid | {"amount": "0.00"}),
                 "seven digits": with_first(bid=bid | {"amount": "1.0000001"}),
                 "an unknown currency": with_first(bid=bid | {"currency": "XXX"}),
                 "an unknown kind": with_first(bid=bid | {"kind": "cpx"}),
                 "too large a bid": with_first(bid=bid | {"amount": "100000.000001"}),
                 "an unknown advertiser": with_first(advertiser="nobody"), "an id twice": good | {"ads": [first, *others, first]},
                 "an id with a space": with_first(id="a b"), "two shapes": with_first(video=others[-4].get("video", {})),
                 "no shape": with_first(banner=None), "a size of 0": with_first(banner={"w": 0, "h": 250}),
                 "secure as a text": with_first(secure="yes"), "an unknown target": with_first(target={"city": ["x"]}),
                 "a landing page that is none": with_first(landing_url="javascript:alert(1)"),
                 "a landing page in two lines": with_first(landing_url="https://a.example/\r\nset-cookie: a"),
                 "deals as a text": with_first(deals="d"), "an empty deal": with_first(deals=[""]), "only_deals as a number": with_first(only_deals=1),
                 "targets as a text": with_first(target={"country": "USA"}), "no adm": with_first(adm=None)}
        cases = []
        for what, held in files.items():
            path = f"{broken}-{len(cases)}"
            with open(path, "w", encoding="utf-8") as file:
                file.write("{" if held is None else json.dumps(held))
            cases.append((1, what, ["--bundles", bundles, "--campaigns", path, "--listen", "127.0.0.1:0"], os.path.basename(path)))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            plain = ["--bundles", bundles, "--campaigns", CAMPAIGNS]
            secret, bad = os.path.join(BUILD, "key"), os.path.join(BUILD, "key-bad")
            replace(bad, KEY[1:] + "\n")
            blocked = os.path.join(CAMPAIGNS, "log")
            cases += [(1, "a key that is too short", [*plain, "--log-key-file", bad], "key-bad"),
                      (1, "no file with a key", [*plain, "--log-key-file", "nowhere.key"], "nowhere.key"),
                      (1, "a log under a file", [*plain, "--log", blocked, "--log-key-file", secret], "log"),
                      (2, "a log without a key", [*plain, "--log", os.path.join(BUILD, "never")], ""),
                      (2, "a share above 1", [*plain, "--log-slates", "1.5"], ""), (2, "a share of no number", [*plain, "--log-slates", "x"], ""),
                      (2, "nine proxies", [*plain, "--forwarded", "9"], ""), (2, "events elsewhere", [*plain, "--events-url", "ftp://x"], ""),
                      (2, "events with a query", [*plain, "--events-url", "https://x/?a"], ""),
                      (1, "no bundle", ["--bundles", os.path.join(BUILD, "nowhere"), "--campaigns", CAMPAIGNS], "nowhere"),
                      (1, "no campaigns", ["--bundles", bundles, "--campaigns", "nowhere.json"], "nowhere.json"),
                      (1, "a port that is taken", [*plain, "--listen", f"127.0.0.1:{port}"], ""),
                      (2, "no arguments", [], ""), (2, "an unknown flag", [*plain, "--threds", "2"], ""),
                      (2, "threads of no number", [*plain, "--threads", "x"], ""), (2, "a drain below 0", [*plain, "--drain-ms", "-1"], ""),
                      (2, "no time for a head", [*plain, "--head-ms", "0"], ""), (2, "no time for a body", [*plain, "--body-ms", "0"], ""),
                      (2, "no connections", [*plain, "--connections", "0"], ""), (2, "no campaigns said", ["--bundles", bundles], "")]
            for code, what, arguments, named in cases:
                try:
                    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
                except subprocess.TimeoutExpired:
                    self.check(False, f"{name} starts with {what}")
                    continue
                self.check(done.returncode == code and named in done.stderr and done.stderr != "" and "listening" not in done.stdout,
                           f"{name} with {what}: exit code {done.returncode}, expected {code} and a reason: {done.stderr[:300]!r}")
        print(f"starting: {name} refuses {len(cases)} wrong files and command lines")

    def deadlines(self, process: Process, candidates: int) -> None:
        """Tight deadlines: candidates are cut and counted, or there is no time left."""
        server = fire.Server(process.url)
        cut = none = 0
        for _ in range(150):  # a virtual machine compiles meanwhile
            status, _, answer, _ = server.bid(json.dumps(shots.request(tmax=0, imp=[{"id": "1", "banner": {"w": 728, "h": 90}}])).encode())
            self.check(status == 200 and json.loads(answer)["ext"]["adclick"]["cut"] == 0, f"{process.name}: {status} without tmax")
        for tmax in [21, 22, 23, 25] * 10:
            body = json.dumps(shots.request(tmax=tmax, imp=[{"id": "1", "banner": {"w": 728, "h": 90}}])).encode()
            status, nbr, answer, _ = server.bid(body)
            if status == 200:
                own = json.loads(answer)["ext"]["adclick"]
                cut += own["cut"]
                self.check(own["scored"] + own["cut"] == candidates, f"{process.name}: {own} of {candidates} candidates")
            else:
                none += 1
                self.check((status, nbr) == (204, "15"), f"{process.name}: {status} {nbr} {answer!r} for a tight deadline")
        server.close()
        print(f"deadlines: {process.name} cut {cut} of {40 * candidates} candidates in 40 requests, {none} had no time left")

    def logs(self, processes: list[Process]) -> None:
        """What the servers decided and were told is in their logs, closed and whole, and the same in all of them."""
        found = {}
        for process in processes:
            streams = {one["stream"]: one for one in loop.adclick("log", "inspect", log_of(process.key))["streams"]}
            for name, one in streams.items():
                self.check(not one["open"] and one["missing"] <= one["told_lost"] and (name == "slates" or not one["told_lost"]),
                           f"{process.name}: its log of {name}: {one}")
            found[process.name] = {name: one["records"] for name, one in streams.items() if name != "slates"}
        self.check(len({json.dumps(one, sort_keys=True) for one in found.values()}) == 1, f"logs of the same requests and events differ: {found}")
        print(f"logs: {found}")

    def draining(self, process: Process) -> None:
        """A server that is asked to end says so first, and serves on for its drain period."""
        server, body = fire.Server(process.url), json.dumps(shots.request()).encode()
        self.check(server.bid(body)[0] == 200, f"{process.name}: no bid before it is asked to end")
        process.process.send_signal(signal.SIGTERM)
        said, bids, refused = None, 0, False
        limit = time.monotonic() + 20
        while not refused and time.monotonic() < limit:
            try:
                one = fire.Server(process.url)  # a new connection each time
                status, _, answer = one.send("GET", "/healthz")
                said = said or (answer if status == 503 else None)
                bids += said is not None and one.bid(body)[0] == 200
                one.close()
            except OSError:
                refused = True
            time.sleep(0.02)
        server.close()
        self.check(json.loads(said or b"{}").get("status") == "stopping", f"{process.name}: while it drains /healthz says {said!r}")
        self.check(bids > 3 and refused, f"{process.name}: {bids} bids while it drained, refused after it: {refused}")
        code = process.end()
        self.check(code == 0, f"{process.name}: exit code {code} after it drained\n{''.join(process.errors)}")
        print(f"drain: {process.name} said 503 and gave bids on new connections until it ended with {code}")

    def no_vendor(self, process: Process) -> None:
        """A bidder without an id in the Global Vendor List: where GDPR applies nobody can have consented to it."""
        for gdpr, expected in ((1, "refused"), (0, "known")):
            body = json.dumps(shots.request(regs={"gdpr": gdpr}, user={"id": "u1001", "consent": ALL_VENDORS})).encode()
            server = fire.Server(process.url)
            answer = json.loads(server.bid(body)[2])
            server.close()
            self.check(answer["ext"]["adclick"]["user"] == expected, f"{process.name} without a vendor: {answer}")

    def slow_clients(self, process: Process) -> None:
        """Who sends byte by byte is cut off, in the head and in the body; connections beyond the limit are closed."""
        host, port = process.url.removeprefix("http://").split(":")
        body = json.dumps(shots.request()).encode()
        head = f"POST /openrtb2/auction HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        for what, begin, drip in (("head", b"", head), ("body", head, body)):
            with socket.create_connection((host, int(port)), timeout=20) as slow:
                slow.sendall(begin)
                cut = False
                for k in range(len(drip)):
                    try:
                        slow.sendall(drip[k:k + 1])
                        slow.settimeout(0.1)
                        cut = not slow.recv(4096).startswith(b"HTTP/1.1 2")
                    except TimeoutError:
                        continue
                    except OSError:
                        cut = True
                    break
                self.check(cut and k < len(drip) - 1, f"{process.name}: a slow {what} is not cut off")
        held = []
        limit = time.monotonic() + 20
        closed = False
        while not closed and time.monotonic() < limit:
            held.append(socket.create_connection((host, int(port)), timeout=5))
            try:
                held[-1].settimeout(0.2)
                closed = held[-1].recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                closed = True
        self.check(closed and len(held) == 5, f"{process.name}: {len(held)} connections, closed: {closed}; it may have 4")
        for one in held:
            one.close()
        for _ in range(100):
            try:
                server = fire.Server(process.url)
                good = server.bid(body)[0] == 200
                server.close()
                break
            except OSError:
                good = False
                time.sleep(0.05)
        self.check(good, f"{process.name}: no bid after the connections are gone")
        print(f"slow clients: {process.name} cut off a slow head and a slow body, and a connection too many")

    def shutdown(self, process: Process) -> None:
        """A request that is on its way when the server is asked to end gets its answer."""
        body = json.dumps(shots.request()).encode()
        host, port = process.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(f"POST /openrtb2/auction HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[:50])
            time.sleep(0.3)
            process.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            slow.sendall(body[50:])
            answer = b""
            while chunk := slow.recv(65536):
                answer += chunk
        refused = True
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            refused = False
        except OSError:
            pass
        code = process.end()
        self.check(answer.startswith(b"HTTP/1.1 200") and b'"seatbid"' in answer, f"{process.name}: in flight: {answer[:80]!r}")
        self.check(refused, f"{process.name}: takes connections while it ends")
        self.check(code == 0, f"{process.name}: exit code {code}\n{''.join(process.errors)}")
        print(f"shutdown: {process.name} finished its request and ended with {code}")


def load(show: Show, commands: dict[str, list[str]], bundles: str, campaigns: str, seconds: int, rounds: int) -> None:
    """Each server in turn, several rounds; the medians side by side with the same requests in the process."""
    requests = load_requests()
    threads = os.cpu_count() or 1
    found: dict[str, list[dict[str, float]]] = {key: [] for key in commands}
    inside: list[dict[str, float]] = []
    for _ in range(rounds):
        if "cpp" in commands:  # built with the C++ server
            done = subprocess.run([os.path.join(ROOT, "build", "adserver", "inprocess"), bundles, campaigns, requests,
                                   str(seconds)], capture_output=True, text=True, check=True)
            inside.append(json.loads(done.stdout))
        for key, command in commands.items():
            process = Process(key, command, bundles, campaigns, threads, None)
            try:
                for _ in ("to warm up", "to count"):
                    before = process.cpu_seconds()
                    wrk = subprocess.run(["wrk", "-t", "1", "-c", "16", "-d", f"{seconds}s", "--latency",
                                          "-s", os.path.join(HERE, "load.lua"), process.url + "/openrtb2/auction", "--", requests],
                                         capture_output=True, text=True, timeout=seconds + 60, check=True)
                told = json.loads(wrk.stdout.splitlines()[-1])
                told["cpu_us"] = 1e6 * (process.cpu_seconds() - before) / max(1, told["requests"])
                show.check(told["status"] == 0 and told["socket"] == 0 and told["requests"] > 0, f"{process.name} under load: {told}")
                found[key].append(told)
            finally:
                code = process.end()
            show.check(code == 0, f"{process.name}: exit code {code} after load\n{''.join(process.errors)}")
    print(f"\nload: {rounds} x {seconds} s each after {seconds} s to warm up, about 160 candidates a request, wrk with 16 connections on the same "
          f"{threads} CPUs; medians{'' if rounds > 1 else ' (short: shows that they hold, measures little)'}")
    print(f"{'':<26}{'requests/s':>12}{'p50 us':>10}{'p99 us':>10}{'CPU us':>10}")

    def median(of: list[float]) -> float:
        return statistics.median(of)

    if inside:
        print(f"{'in process, one thread':<26}{median([r['per_second'] for r in inside]):>12.0f}"
              f"{median([r['p50_us'] for r in inside]):>10.1f}{median([r['p99_us'] for r in inside]):>10.1f}{median([r['cpu_us'] for r in inside]):>10.1f}")
    for key, all_ in found.items():
        print(f"{SERVERS[key][0] + ' over HTTP':<26}{median([r['requests'] / r['seconds'] for r in all_]):>12.0f}"
              f"{median([r['p50_us'] for r in all_]):>10.0f}{median([r['p99_us'] for r in all_]):>10.0f}{median([r['cpu_us'] for r in all_]):>10.1f}")
    print("CPU us: CPU time of the server's process for each request; it tells most on a machine that does other work")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default=",".join(SERVERS))
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # So that who ends this ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("servers: asked to end"))
    if not os.path.exists(ADCLICK):
        sys.exit("servers: target/release/adclick is missing: make cli")
    os.makedirs(os.path.join(BUILD, "bundles"), exist_ok=True)
    pack("a", os.path.join(HERE, "ads.csv"))
    if options.bundle:
        return
    need("wrk", "install wrk")

    commands = {}
    for key in options.only.split(","):
        name, build = SERVERS[key]
        if os.path.isdir(os.path.join(ROOT, "examples", key, "adserver")):
            begin = time.monotonic()
            commands[key] = build()
            print(f"built the {name} server ({time.monotonic() - begin:.0f} s)", flush=True)
    bundles = os.path.join(BUILD, "bundles")

    show = Show()
    show.roundings("cpp" in commands)
    processes: list[Process] = []
    try:
        replace(os.path.join(BUILD, "key"), KEY + "\n")
        for key, command in commands.items():
            shutil.rmtree(log_of(key), ignore_errors=True)
            processes.append(Process(key, command, bundles, CAMPAIGNS, 2, "portable", "--drain-ms", "0", "--log", log_of(key),
                                     "--log-key-file", os.path.join(BUILD, "key")))
        print("one kernel (portable), the same requests to", ", ".join(f"{p.name} at {p.url}" for p in processes), flush=True)
        show.faults += fire.run([p.url for p in processes], CAMPAIGNS, os.environ.get("ADCLICK_DATA"), count=300 if options.short else 5000,
                                leads=EVENTS, key=KEY)
        show.follow(processes)
        show.missing_bundle(processes)
        for process in processes:
            show.shutdown(process)
        show.logs(processes)
    finally:
        for process in processes:
            process.end()

    for key, command in commands.items():
        show.draining(Process(key, command, bundles, CAMPAIGNS, 1, None, "--drain-ms", "1500"))
        with open(CAMPAIGNS, encoding="utf-8") as file:
            replace(os.path.join(BUILD, "campaigns-no-vendor.json"), file.read().replace('"gdpr_vendor": 1999,', ""))
        process = Process(key, command, bundles, os.path.join(BUILD, "campaigns-no-vendor.json"), 1, None, "--drain-ms", "0",
                          "--head-ms", "1000", "--body-ms", "1000", "--connections", "4")
        try:
            show.no_vendor(process)
            show.slow_clients(process)
        finally:
            show.check(process.end() == 0, f"{process.name}: exit code is not 0\n{''.join(process.errors)}")
        show.refusals(key, command)
    loop.Loop(show, Process, commands, 900).run()
    campaigns, bundle = many_ads("wide", 2400, (728, 90))
    with open(campaigns, encoding="utf-8") as file:
        candidates = len(json.load(file)["ads"])
    for key, command in commands.items():
        process = Process(key, command, bundle, campaigns, 1, None)
        try:
            show.deadlines(process, candidates)
        finally:
            show.check(process.end() == 0, f"{process.name}: exit code is not 0\n{''.join(process.errors)}")
    campaigns, bundle = many_ads("many", 40)
    load(show, commands, bundle, campaigns, 1 if options.short else options.seconds, 1 if options.short else options.rounds)
    print(f"\n{show.faults} faults")
    sys.exit(1 if show.faults else 0)


if __name__ == "__main__":
    main()
