#!/usr/bin/env python3
"""Sends the cases of tests/, broken requests and, if there are any, real ones to ad servers, and checks the answers.

    fire.py [--campaigns FILE] [--data DIR] [--update] URL...

Each answer is judged by reference.py, compared with the case's expectation, and with the other servers' answers. Servers
are the same to the bit on one kernel (ADCLICK_KERNEL); amounts of tests/ hold up to rounding. --data is a directory with
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
from typing import Any, Iterator
from urllib.parse import urlsplit

import reference

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_BODY = 262_144
FIXED_TIME = 1_764_072_000_000_000  # 2025-11-25 12:00 UTC


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
    """An answer in a form in which two servers' are the same when they mean the same."""
    if status != 200:
        return status, nbr, json.loads(answer) if answer else None
    parsed = json.loads(answer, parse_float=reference.Number, parse_int=reference.Number)
    for seat in parsed["seatbid"]:
        for bid in seat["bid"]:
            own = bid["ext"]["adclick"]
            for name in ("pctr", "pcvr"):
                if name in own:
                    own[name] = str(reference.f32(own[name]))
            if bid["mtype"] == "4":
                bid["adm"] = json.loads(bid["adm"])
    return status, nbr, parsed


def expectation(status: int, nbr: str | None, answer: bytes) -> dict[str, Any]:
    if status == 204:
        return {"status": 204, "nbr": int(nbr or 0)}
    if status == 400:
        parsed = json.loads(answer)
        return {"status": 400, "error": parsed["error"], "at": parsed["at"]}
    parsed = json.loads(answer, parse_float=reference.Number)
    bids = [{"impid": b["impid"], "adid": b["adid"], "price": str(b["price"]),
             "ecpm_micros": b["ext"]["adclick"]["ecpm_micros"], "price_micros": b["ext"]["adclick"]["price_micros"]}
            for b in parsed["seatbid"][0]["bid"]]
    return {"status": 200, "cur": parsed["cur"], "bids": bids}


def near(one: Any, other: Any) -> bool:
    """Whether two amounts in micros are the same but for the order in which a kernel sums."""
    return abs(one - other) <= 1 + max(abs(one), abs(other)) / 100_000


def as_expected(found: dict[str, Any], expect: dict[str, Any]) -> bool:
    """Whether an answer is what a case expects: amounts up to rounding, everything else exactly."""
    if any(found.get(name) != held for name, held in expect.items() if name != "bids"):
        return False
    bids, due = found.get("bids", []), expect.get("bids", [])
    return "bids" not in expect or len(bids) == len(due) and all(
        (one["impid"], one["adid"]) == (want["impid"], want["adid"])
        and near(10**6 * reference.Fraction(one["price"]), 10**6 * reference.Fraction(want["price"]))
        and all(near(one[name], want[name]) for name in ("ecpm_micros", "price_micros"))
        for one, want in zip(bids, due))


def case_files() -> Iterator[tuple[str, dict[str, Any]]]:
    folder = os.path.join(HERE, "tests")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield os.path.join(folder, name), json.load(file)


def body_of(case: dict[str, Any]) -> bytes:
    if "body" in case:
        return case["body"].encode()
    return json.dumps(case["request"], ensure_ascii=False).encode()


def request(**members: Any) -> dict[str, Any]:
    """A request that gets a bid, with other members over it."""
    base = {"id": "r1", "test": 1, "ext": {"adclick": {"time_us": FIXED_TIME}},
            "imp": [{"id": "1", "bidfloor": 0.25, "banner": {"format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]}}],
            "site": {"domain": "news.example", "cat": ["IAB12"]},
            "device": {"devicetype": 2, "os": "Windows", "geo": {"country": "USA", "utcoffset": -300}},
            "user": {"id": "u1001"}, "tmax": 5000}
    return base | members


def large() -> Iterator[tuple[str, bytes, bool]]:
    """Requests that are too large for a file: name, body, whether it is sent in chunks."""
    imp = request()["imp"][0]
    text = json.dumps(request())
    yield "10 MB of brackets", b"[" * 10_000_000, False
    yield "10 MB of one text", b'{"id":"' + b"x" * 10_000_000 + b'"}', False
    yield "10 MB in chunks", text.encode() + b" " * 10_000_000, True
    yield "as long as allowed", text.encode().ljust(MAX_BODY), False
    yield "as long as allowed, in chunks", text.encode().ljust(MAX_BODY), True
    yield "one byte too long", text.encode().ljust(MAX_BODY + 1), False
    yield "one byte too long, in chunks", text.encode().ljust(MAX_BODY + 1), True
    for depth in (31, 32, 33, 1000, 100_000):
        yield f"unknown member, {depth} deep in all", text[:-1].encode() + b',"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}", False
    yield "brackets in texts do not nest", json.dumps(request(x="[{" * 1000 + '\\"')).encode(), False
    yield "32 imps", json.dumps(request(imp=[imp | {"id": str(i)} for i in range(32)])).encode(), False
    yield "33 imps", json.dumps(request(imp=[imp | {"id": str(i)} for i in range(33)])).encode(), False
    yield "33 imps, the first one bad", json.dumps(request(imp=[{}] + [imp | {"id": str(i)} for i in range(32)])).encode(), False
    for n in (4096, 4097):
        yield f"{n} blocked categories", json.dumps(request(bcat=["IAB7-39"] * n)).encode(), False
        yield f"{n} blocked domains", json.dumps(request(badv=["x.example"] * n)).encode(), False
    for n in (256, 257):
        yield f"{n} categories of a site", json.dumps(request(site={"cat": ["IAB1"] * n})).encode(), False
        yield f"an id of {n} bytes", json.dumps(request(id="é" * 128 + "x" * (n - 256)), ensure_ascii=False).encode(), False
    for n in (64, 65):
        yield f"{n} formats", json.dumps(request(imp=[imp | {"banner": {"format": [{"w": 1, "h": 1}] * (n - 1) + [{"w": 300, "h": 250}]}}])).encode(), False
        yield f"{n} currencies", json.dumps(request(cur=["XXX"] * (n - 1) + ["EUR"])).encode(), False
        yield f"{n} mimes", json.dumps(request(imp=[{"id": "1", "video": {"mimes": ["a/b"] * (n - 1) + ["video/mp4"]}}])).encode(), False
    yield "50,000 unknown members", json.dumps(request() | {f"m{i}": 1 for i in range(10_000)}).encode(), False
    yield "a wide list of nothing", text[:-1].encode() + b',"x":[' + b"0," * 100_000 + b"0]}", False


def broken(seed: int, count: int) -> Iterator[tuple[str, bytes, bool]]:
    """Every truncation of a request, and requests with seeded damage."""
    whole = json.dumps(request(), separators=(",", ":")).encode()
    for n in range(len(whole)):
        yield f"cut after {n} bytes", whole[:n], False
    seeds = [body_of(case) for _, file in case_files() for case in file["cases"]]
    seeds = [one for one in seeds if 2 < len(one) < 4000]
    rng = random.Random(seed)
    pieces = [b"null", b"-1", b"1e2", b"{}", b"[]", b'""', b"true", b"0", b'"x"', b",", b"]", b"}", b"\\", b"\x00", b"\xff", b"3.5",
              b"99999999999", b'"\\u00e9"', b"[[", b":", b"-0", b"[1]", b'{"id":1}']
    for k in range(count):
        body = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body) + 1)
            to = min(len(body), at + rng.choice((0, 1, 1, 2, 5, 20)))
            body[at:to] = rng.choice(pieces)
        yield f"damage {seed}/{k}", bytes(body), False


def varied(seed: int, count: int, campaigns: dict[str, Any]) -> Iterator[tuple[str, bytes, bool]]:
    """Valid requests of all kinds, from a seed."""
    rng = random.Random(seed)
    pick, chance = rng.choice, rng.random
    sizes = [(a["banner"]["w"], a["banner"]["h"]) for a in campaigns["ads"] if "banner" in a] + [(1, 1), (468, 60)]
    cats = sorted({c for a in campaigns["ads"] for c in a["cat"]}) + ["IAB1", "IAB20", "IAB7-39"]
    codes = [campaigns["currency"], *campaigns["rates"], "XXX"]

    def banner() -> dict[str, Any]:
        if chance() < 0.3:
            w, h = pick(sizes)
            return {"w": w, "h": h}
        return {"format": [{"w": w, "h": h} for w, h in rng.sample(sizes, rng.randint(1, 4))]}

    def video() -> dict[str, Any]:
        return {"mimes": rng.sample(["video/mp4", "video/webm", "video/3gpp"], rng.randint(0, 2)), "minduration": pick([0, 5, 10]),
                "maxduration": pick([0, 15, 30, 60]), "protocols": rng.sample([2, 3, 5, 6, 7], rng.randint(0, 4))}

    def native() -> dict[str, Any]:
        kinds = [{"title": {"len": pick([0, 12, 13, 18, 20, 90])}}, {"img": {"type": pick([1, 3, 3, 501])}}, {"img": {}},
                 {"data": {"type": pick([1, 2, 2, 3])}}, {"video": {}}]
        assets = [{"id": i, "required": pick([0, 0, 1]), **pick(kinds)} for i in range(rng.randint(1, 6))]
        inner = {"ver": "1.2", "assets": assets}
        return {"request": json.dumps({"native": inner} if chance() < 0.4 else inner)}

    def imp(number: int) -> dict[str, Any]:
        one: dict[str, Any] = {"id": f"imp {number}", "secure": pick([0, 0, 1])}
        kinds = {"banner": banner, "video": video, "native": native}
        for kind in rng.sample(list(kinds), pick([1, 1, 1, 2, 3])):
            one[kind] = kinds[kind]()
        if chance() < 0.7:
            one["bidfloor"] = round(rng.expovariate(0.5), rng.randint(0, 9))
        if chance() < 0.3:
            one["bidfloorcur"] = pick(codes)
        if chance() < 0.1:
            one["pmp"] = {"private_auction": pick([0, 1]), "deals": [{"id": "d"}]}
        return one

    for k in range(count):
        r = request(id=f"varied {seed}/{k}", imp=[imp(n) for n in range(pick([1, 1, 2, 5]))], at=pick([1, 1, 2, 3]),
                    ext={"adclick": {"time_us": FIXED_TIME + rng.randrange(10**12)}}, user={"id": f"u{rng.randrange(1000, 1060)}"},
                    device={"devicetype": rng.randrange(8), "os": pick(["iOS", "android", "Windows", "TizenOS", ""]),
                            "connectiontype": rng.randrange(7), "dnt": pick([0, 0, 0, 1]),
                            "geo": {"country": pick(["USA", "CAN", "deu", "JPN"]), "utcoffset": 15 * rng.randrange(-48, 56)}})
        if chance() < 0.4:
            del r["site"]
            r["app"] = {"bundle": pick(["com.example.game", "com.example.kids", "com.example.chat"]), "cat": rng.sample(cats, 3)}
        elif chance() < 0.7:
            r["site"] = {"domain": pick(["news.example", "Sport.example", "blocked.example", "mail.example"])}
        if chance() < 0.3:
            r["cur"] = rng.sample(codes, rng.randint(1, 3))
        if chance() < 0.4:
            r["bcat"] = rng.sample(cats, rng.randint(1, 3))
        if chance() < 0.4:
            r["badv"] = [a["domain"] for a in rng.sample(campaigns["advertisers"], rng.randint(1, 3))]
        yield r["id"], json.dumps(r).encode(), False


def left_open(body: bytes) -> bool:
    """Whether MAPPING.md leaves the answer to the library."""
    text = body.decode("utf-8", "replace")
    long = re.search(r"[0-9.+\-eE]{101}", text) is not None
    far = any(abs(int(e)) > 300 for e in re.findall(r"[0-9][eE]([+-]?[0-9]{1,12})", text))
    surrogates = re.search(r"\\u[dD][89a-fA-F]", text) is not None
    return long or far or surrogates or text.startswith("\ufeff")


def both_faults(body: bytes) -> bool:
    """Too deep and no JSON: the mapping leaves open which one is told."""
    try:
        reference.parse(body)
    except reference.Invalid as why:
        if why.error != "depth":
            return False
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return True
    return False


def real(data: str) -> Iterator[tuple[str, bytes, bool]]:
    """Requests of exchanges and test suites, with a fixed time so that servers can be compared."""
    path = os.path.join(data, "openrtb-adx-1000", "requests.jsonl.gz")
    if os.path.exists(path):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for k, line in enumerate(file):
                one = json.loads(line)
                yield f"adx {k}", json.dumps(one | {"test": 1, "ext": {"adclick": {"time_us": FIXED_TIME}}}).encode(), False
    path = os.path.join(data, "openrtb-samples", "samples.jsonl.gz")
    if os.path.exists(path):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                one = json.loads(line)
                if one["kind"] == "request":
                    yield f"sample {one['name']}", fixed_time(one["body"]), False


def fixed_time(body: str) -> bytes:
    try:
        parsed = json.loads(body)
        parsed["test"], parsed["ext"] = 1, {"adclick": {"time_us": FIXED_TIME}}
        parsed.pop("tmax", None)
        return json.dumps(parsed).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return body.encode("utf-8", "surrogatepass")


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
                first = self.fire(case["name"], body_of(case), {"status": 200} if update and bid else case["expect"])
                if update and bid and first and first[0] == 200:
                    case["expect"] = expectation(*first)
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

    def surface(self) -> None:
        """What else the servers answer, and what they do with what is no HTTP."""
        body = json.dumps(request()).encode()
        for server in self.servers:
            for method, path, headers, expected in (
                    ("GET", "/healthz", {}, 200), ("GET", "/metrics", {}, 200), ("GET", "/nothing", {}, 404),
                    ("POST", "/nothing", {}, 404), ("GET", "/openrtb2/auction", {}, 405), ("PUT", "/openrtb2/auction", {}, 405),
                    ("DELETE", "/healthz", {}, 405), ("POST", "/metrics", {}, 405),
                    ("POST", "/openrtb2/auction", {"content-encoding": "gzip"}, 415),
                    ("POST", "/openrtb2/auction", {"content-encoding": "identity", "content-type": "text/plain"}, 200)):
                self.sent += 1
                status, got, answer = server.send(method, path, body if method in ("POST", "PUT") else None, headers)
                if status != expected:
                    self.wrong(f"{server.url} {method} {path} {headers}: expected {expected}, found {status}")
                if status == 405 and "allow" not in got:
                    self.wrong(f"{server.url} {method} {path}: 405 without allow")
                if path == "/healthz" and status == 200 and json.loads(answer)["status"] != "ok":
                    self.wrong(f"{server.url} /healthz: {answer!r}")
                if path == "/metrics" and status == 200:
                    for name in ('adserver_responses_total{result="bid"} ', "\nadclick_requests_total"):
                        if name.encode() not in answer:
                            self.wrong(f"{server.url} /metrics: no {name.strip()}")
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


def run(urls: list[str], campaigns: str, data: str | None, update: bool = False, count: int = 2000) -> int:
    """Everything; returns the number of faults."""
    fire = Run([Server(url) for url in urls], reference.Campaigns(campaigns))
    fire.cases(update)
    if update:
        return fire.faults
    fire.surface()
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
    options = parser.parse_args()
    sys.exit(1 if run(options.url, options.campaigns, options.data, options.update) else 0)
