#!/usr/bin/env python3
"""Sends the cases of tests/, broken requests and, if there are any, real ones to ad servers, and checks the answers.

    fire.py [--campaigns FILE] [--events-url URL] [--log-key-file FILE] [--data DIR] [--update] URL...

Each answer is judged by reference.py, compared with the case's expectation, and with the other servers' answers. Servers
are the same to the bit on one kernel (ADCLICK_KERNEL); amounts of tests/ hold up to rounding. --events-url is what the servers were
started with, the first URL when it is not said; with their --log-key-file they are sent events, too. --data is a directory with
openrtb-adx-1000 and openrtb-samples (default: ADCLICK_DATA). --update writes the first server's prices into tests/.
Standard library only. Exit code 1 when anything is wrong.
"""
from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import re
import socket
import sys
import time
from fractions import Fraction
from functools import reduce
from typing import Any, Iterator
from urllib.parse import urlsplit

import events
import reading
import reference
from shots import MAX_BODY, body_of, broken, case_files, large, real, request, varied

HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    """A connection that is kept alive, and opened again when the server closed it."""

    def __init__(self, url: str):
        self.url = url
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None,
             chunked: bool = False) -> tuple[int, dict[str, str], bytes]:
        for attempt in (0, 1):
            fresh = self.connection is None
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
            try:
                held: Any = iter([body[i:i + 8000] for i in range(0, len(body), 8000)]) if chunked and body else body
                self.connection.request(method, path, held, headers or {}, encode_chunked=chunked)
                answer = self.connection.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
                if fresh or attempt:
                    raise
        raise AssertionError("unreachable")

    def bid(self, body: bytes, **more: Any) -> tuple[int, str | None, bytes, dict[str, str]]:
        status, headers, answer = self.send("POST", "/openrtb2/auction", body, {"content-type": "application/json"}, **more)
        return status, headers.get("x-adclick-nbr"), answer, headers

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None


def plain(status: int, nbr: str | None, answer: bytes) -> Any:
    """An answer in a form in which two servers' are the same when they mean the same. No two deliveries have the same ids."""
    if status != 200:
        return status, nbr, json.loads(answer) if answer else None
    parsed = json.loads(answer, parse_float=reading.Number, parse_int=reading.Number)
    for seat in parsed["seatbid"]:
        seat["bid"] = json.loads(reduce(lambda text, bid: text.replace(bid["id"], "ID"), seat["bid"], json.dumps(seat["bid"])))
        for bid in seat["bid"]:
            own = bid.get("ext", {"adclick": {}})["adclick"]
            for name in ("pctr", "pcvr"):
                if name in own:
                    own[name] = str(reference.f32(own[name]))
            if str(bid["mtype"]) == "4":
                bid["adm"] = json.loads(bid["adm"])
    return status, nbr, parsed


def expectation(status: int, nbr: str | None, answer: bytes) -> dict[str, Any]:
    if status == 204:
        return {"status": 204, "nbr": int(nbr or 0)}
    if status == 400:
        parsed = json.loads(answer)
        return {"status": 400, "error": parsed["error"], "at": parsed["at"]}
    parsed = json.loads(answer, parse_float=reading.Number)
    bids = []
    for b in parsed["seatbid"][0]["bid"]:
        own = b.get("ext", {"adclick": {}})["adclick"]
        bids.append({"impid": b["impid"], "adid": b["adid"], "price": str(b["price"])}
                    | {"dealid": b["dealid"] for _ in ("dealid",) if "dealid" in b}
                    | {name: own[name] for name in ("ecpm_micros", "price_micros") if name in own})
    told = parsed.get("ext", {"adclick": {}})["adclick"]
    return {"status": 200, "cur": parsed["cur"], "bids": bids} | {name: told[name] for name in ("user", "left_out") if name in told}


def near(one: Any, other: Any) -> bool:
    """Whether two amounts in micros are the same but for the order in which a kernel sums."""
    return abs(one - other) <= 1 + max(abs(one), abs(other)) / 100_000


def as_expected(found: dict[str, Any], expect: dict[str, Any]) -> bool:
    """Whether an answer is what a case expects: amounts up to rounding, everything else exactly."""
    if any(found.get(name) != held for name, held in expect.items() if name != "bids"):
        return False
    bids, due = found.get("bids", []), expect.get("bids", [])
    return "bids" not in expect or len(bids) == len(due) and all(
        (one["impid"], one["adid"], one.get("dealid")) == (want["impid"], want["adid"], want.get("dealid"))
        and near(10**6 * Fraction(one["price"]), 10**6 * Fraction(want["price"]))
        and all(near(one[name], want[name]) for name in ("ecpm_micros", "price_micros") if name in want)
        for one, want in zip(bids, due))


def left_open(body: bytes) -> bool:
    """Whether MAPPING.md leaves the answer to the library."""
    text = body.decode("utf-8", "replace")
    long = re.search(r"[0-9.+\-eE]{101}", text) is not None
    far = any(abs(int(e)) > 300 for e in re.findall(r"[0-9][eE]([+-]?[0-9]{1,12})", text))
    surrogates = re.search(r"\\u[dD][89a-fA-F]", text) is not None
    return long or far or surrogates or text.startswith("\ufeff")


def both_faults(body: bytes) -> bool:
    """Too deep and no JSON: the mapping leaves open which one is told."""
    why = reading.outcome(body)
    if not isinstance(why, reading.Invalid) or why.error != "depth":
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return True
    return False


class Run:
    def __init__(self, servers: list[Server], campaigns: reference.Campaigns):
        self.servers, self.judge = servers, reference.Judge(campaigns)
        self.sent, self.faults, self.answers = 0, 0, {200: 0, 204: 0, 400: 0}

    def wrong(self, what: str) -> None:
        self.faults += 1
        if self.faults <= 20:
            print("FAULT", what)

    def fire(self, name: str, body: bytes, expect: dict[str, Any] | None = None, chunked: bool = False) -> Any:
        """Sends a body to all servers and checks what comes back; returns the first server's answer."""
        first: Any = None
        is_open, either = left_open(body), both_faults(body) if len(body) <= MAX_BODY else False
        for server in self.servers:
            self.sent += 1
            status, nbr, answer, headers = server.bid(body, chunked=chunked)
            self.answers[status] = self.answers.get(status, 0) + 1
            at = f"{server.url} {name}: "
            if status not in (200, 204, 400) or (status != 204 and headers.get("content-type") != "application/json"):
                self.wrong(at + f"status {status}, content-type {headers.get('content-type')}")
                continue
            if is_open:
                continue
            if len(body) > MAX_BODY:
                expect = {"status": 400, "error": "too_large", "at": ""}
            elif either and status == 400 and json.loads(answer)["error"] in ("json", "depth"):
                continue
            else:
                for fault in self.judge.faults(body, status, nbr, answer):
                    self.wrong(at + fault)
            found = expectation(status, nbr, answer)
            if expect is not None and not as_expected(found, expect):
                self.wrong(at + f"expected {expect}, found {found}")
            if first is None:
                first = (status, nbr, answer)
            elif plain(*first) != plain(status, nbr, answer):
                self.wrong(at + f"differs from {self.servers[0].url}: {plain(status, nbr, answer)} and {plain(*first)}")
        return first

    def group(self, name: str, cases: Iterator[tuple[str, bytes, bool]]) -> None:
        before, faults = self.sent, self.faults
        self.answers = {200: 0, 204: 0, 400: 0}
        for case, body, chunked in cases:
            self.fire(case, body, chunked=chunked)
        self.tell(name, before, faults)

    def tell(self, name: str, before: int, faults: int) -> None:
        a = self.answers
        print(f"{name}: {self.sent - before} requests ({a[200]} bids, {a[204]} no-bids, {a[400]} invalid), {self.faults - faults} faults")

    def cases(self, update: bool) -> None:
        before, faults = self.sent, self.faults
        for path, file in case_files():
            for case in file["cases"]:
                bid = case["expect"]["status"] == 200
                bid = bid and "bids" in case["expect"]
                first = self.fire(case["name"], body_of(case), {"status": 200} if update and bid else case["expect"])
                if update and bid and first and first[0] == 200:
                    found = expectation(*first)
                    case["expect"] = {name: found[name] for name in found if name in ("status", "cur", "bids") or name in case["expect"]}
            if update:
                write_cases(path, file)
        self.tell("cases of tests/", before, faults)

    def interleaved(self) -> None:
        """Many connections at once, each body in two parts: nothing of one request may reach another."""
        before, faults = self.sent, self.faults
        bodies = [json.dumps(request(id=f"interleaved-{k}", imp=[{"id": f"i{k}", "banner": {"w": 728, "h": 90}}],
                                     user={"id": f"u{1001 + k}"})).encode() for k in range(40)]
        for server in self.servers:
            alone = [plain(*server.bid(body)[:3]) for body in bodies]
            lines = [http.client.HTTPConnection(server.host, server.port, timeout=60) for _ in bodies]
            for line, body in zip(lines, bodies):
                line.putrequest("POST", "/openrtb2/auction")
                line.putheader("content-length", str(len(body)))
                line.endheaders(body[:len(body) // 2])
            for line, body in zip(lines, bodies):
                line.send(body[len(body) // 2:])
            for k, line in enumerate(lines):
                self.sent += 2
                answer = line.getresponse()
                together = plain(answer.status, answer.getheader("x-adclick-nbr"), answer.read())
                if together != alone[k]:
                    self.wrong(f"{server.url} interleaved {k}: {together}, alone {alone[k]}")
                line.close()
        print(f"interleaved: {self.sent - before} requests, {self.faults - faults} faults")

    def encodings(self, server: Server, body: bytes) -> None:
        """Bodies that are compressed, and bodies that say so."""
        whole = gzip.compress(body)
        long = random.Random(5).randbytes(200_000).hex().encode()[:MAX_BODY + 1 - len(body)] + b" " * len(body)
        for name, sent, error in (
                ("a body", whole, None), ("as x-gzip", whole, None), ("with its name",
                whole[:3] + b"\x08" + whole[4:10] + b"r.json\0" + whole[10:], None),
                ("stored, not deflated", gzip.compress(body, 0), None), ("as long as allowed", gzip.compress(body.ljust(MAX_BODY)), None),
                ("one byte too long", gzip.compress(body.ljust(MAX_BODY + 1)), "too_large"), ("too long as it is sent",
                gzip.compress(long * 2), "too_large"),
                ("a bomb", gzip.compress(b" " * 100_000_000, 9), "too_large"), ("no gzip", body, "encoding"), ("nothing", b"", "encoding"),
                ("cut short", whole[:-9], "encoding"), ("cut in its tail", whole[:-3], "encoding"), ("its head alone", whole[:10],
                "encoding"),
                ("another sum", whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:], "encoding"), ("another length", whole[:-1] + b"\x01",
                "encoding"),
                ("damaged", whole[:40] + b"\xff\xff\xff\xff" + whole[44:], "encoding"), ("another method",
                whole[:2] + b"\x07" + whole[3:], "encoding")):
            self.sent += 1
            encoding = "x-gzip" if name == "as x-gzip" else "GZIP"
            status, headers, answer = server.send("POST", "/openrtb2/auction", sent, {"content-encoding": encoding})
            if error is None:
                plainly = server.bid(body)
                if plain(status, headers.get("x-adclick-nbr"), answer) != plain(*plainly[:3]):
                    self.wrong(f"{server.url} gzip, {name}: {status} {answer[:200]!r}")
            elif status != 400 or json.loads(answer) != {"nbr": 2, "error": error, "at": ""}:
                self.wrong(f"{server.url} gzip, {name}: expected {error}, found {status} {answer[:200]!r}")

    def ids(self, server: Server) -> None:
        """No two deliveries share an id, not even replays."""
        imps = [{"id": str(k), "banner": {"w": 300, "h": 250}} for k in range(4)]
        found: list[str] = []
        for body in [json.dumps(request(imp=imps, test=0)).encode()] * 3 + [json.dumps(request(imp=imps)).encode()] * 2:
            self.sent += 1
            found += [bid["id"] for bid in json.loads(server.bid(body)[2])["seatbid"][0]["bid"]]
        if len(found) != 20 or len(set(found)) != 20 or any(len(one) != 32 for one in found):
            self.wrong(f"{server.url}: ids of deliveries: {found}")

    def events(self, key: str) -> None:
        """Events, good and bad; and ids of a server's own bids, which the others take for good as they share its key."""
        before, faults = self.sent, self.faults
        ad = next(iter(self.judge.all.ads.values()))
        body = json.dumps(request(test=0, ext={}, imp=[{"id": str(k), "banner": {"w": 300, "h": 250}} for k in range(4)])).encode()
        for number, server in enumerate(self.servers):
            run = int(time.time()) % (1 << 20) << 4 | number
            sent, wrong = events.check(server, events.cases(key, run, ad["landing_url"], ad["id"], ad["advertiser"]))
            self.sent += sent
            for fault in wrong:
                self.wrong(f"{server.url} {fault}")
            other = self.servers[(number + 1) % len(self.servers)]
            for bid in json.loads(server.bid(body)[2])["seatbid"][0]["bid"]:
                # As the page has it: the first address in the markup that is an impression's.
                at = re.search(re.escape(self.judge.all.events) + r'(/impression\?[^"\\\]]*)', bid["adm"])
                status, back, _ = other.send("GET", "/events" + at[1] if at else "/events/none")
                self.sent += 1
                if (status, back.get("x-adclick-event")) != (204, "recorded"):
                    self.wrong(f"{other.url}: an impression of {server.url}'s bid: {status} {back}")
        print(f"events: {self.sent - before} requests, {self.faults - faults} faults")

    def surface(self) -> None:
        """What else the servers answer, and what they do with what is no HTTP."""
        body = json.dumps(request()).encode()
        for server in self.servers:
            for method, path, headers, expected in (
                    ("GET", "/healthz", {}, 200), ("HEAD", "/healthz", {}, 200), ("HEAD", "/metrics", {}, 200), ("HEAD",
                    "/openrtb2/auction", {}, 405), ("GET", "/metrics", {}, 200), ("GET", "/nothing", {}, 404),
                    ("POST", "/nothing", {}, 404), ("GET", "/openrtb2/auction", {}, 405), ("PUT", "/openrtb2/auction", {}, 405),
                    ("DELETE", "/healthz", {}, 405), ("POST", "/metrics", {}, 405),
                    ("POST", "/openrtb2/auction", {"content-encoding": "br"}, 415),
                    ("POST", "/openrtb2/auction", {"content-encoding": "identity", "content-type": "text/plain"}, 200)):
                self.sent += 1
                status, got, answer = server.send(method, path, body if method in ("POST", "PUT") else None, headers)
                if status != expected:
                    self.wrong(f"{server.url} {method} {path} {headers}: expected {expected}, found {status}")
                if status == 405 and "allow" not in got:
                    self.wrong(f"{server.url} {method} {path}: 405 without allow")
                if method == "HEAD" and status == 200 and (answer or int(got["content-length"]) == 0):
                    self.wrong(f"{server.url} HEAD {path}: {got} {answer[:40]!r}")
                if method == "GET" and path == "/healthz" and status == 200 and json.loads(answer)["status"] != "ok":
                    self.wrong(f"{server.url} /healthz: {answer!r}")
                if method == "GET" and path == "/metrics" and status == 200:
                    for name in ('adserver_responses_total{result="bid"} ', "\nadclick_requests_total"):
                        if name.encode() not in answer:
                            self.wrong(f"{server.url} /metrics: no {name.strip()}")
            self.encodings(server, body)
            self.ids(server)
            for head, expected in ((b"GET /healthz HTTP/1.1\r\n", 400), (b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n", 400),
                                   (b"GET /healthz HTTP/1.0\r\n", 200)):
                self.sent += 1
                with socket.create_connection((server.host, server.port), timeout=10) as raw:
                    raw.sendall(head + b"\r\n")
                    answer = raw.recv(4096)
                if f" {expected} ".encode() not in answer[:16]:
                    self.wrong(f"{server.url} {head!r}: expected {expected}, found {answer[:60]!r}")
            for junk in (b"\x00" * 64, b"GET\r\n\r\n", b"POST /openrtb2/auction HTTP/1.1\r\ncontent-length: x\r\n\r\n",
                         b"POST /openrtb2/auction HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{", b"A" * 100_000,
                         b"POST /openrtb2/auction HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"):
                self.sent += 1
                with socket.create_connection((server.host, server.port), timeout=10) as raw:
                    try:
                        raw.sendall(junk)
                        raw.shutdown(socket.SHUT_WR)
                        answer = raw.recv(4096)
                    except OSError:
                        answer = b""
                    if answer.startswith((b"HTTP/1.1 5", b"HTTP/1.1 2")):
                        self.wrong(f"{server.url} {junk[:40]!r}: {answer[:60]!r}")
            status, _, answer, _ = server.bid(body)
            if status != 200:
                self.wrong(f"{server.url}: {status} after broken connections")


def write_cases(path: str, file: dict[str, Any]) -> None:
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in file["cases"])
    with open(path, "w", encoding="utf-8") as out:
        out.write('{"cases": [\n' + lines + "\n]}\n")


def run(urls: list[str], campaigns: str, data: str | None, update: bool = False, count: int = 2000, leads: str | None = None,
        key: str | None = None) -> int:
    """Everything; returns the number of faults. `leads` is the servers' --events-url, and `key` that of their impression ids."""
    fire = Run([Server(url) for url in urls], reference.Campaigns(campaigns, (leads or urls[0].rstrip("/")) + "/events"))
    fire.cases(update)
    if update:
        return fire.faults
    fire.surface()
    if key:
        fire.events(key)
    fire.interleaved()
    fire.group("varied", varied(2, count, fire.judge.all.file))
    fire.group("large and deep", large())
    fire.group("broken", broken(1, count))
    if data and os.path.isdir(data):
        fire.group("real requests", real(data))
    else:
        print("real requests: skipped, ADCLICK_DATA names no directory with them")
    for server in fire.servers:
        server.close()
    print(f"{fire.sent} requests, {fire.faults} faults")
    return fire.faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="+")
    parser.add_argument("--campaigns", default=os.path.join(HERE, "campaigns.json"))
    parser.add_argument("--data", default=os.environ.get("ADCLICK_DATA"))
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--events-url")
    parser.add_argument("--log-key-file", type=argparse.FileType(encoding="ascii"))
    options = parser.parse_args()
    secret = options.log_key_file.read().strip() if options.log_key_file else None
    sys.exit(1 if run(options.url, options.campaigns, options.data, options.update, leads=options.events_url, key=secret) else 0)
