"""What fire.py sends: the cases of tests/, requests that are large, broken or varied, and real ones."""
from __future__ import annotations

import gzip
import json
import os
import random
from typing import Any, Iterator

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_BODY = 262_144
FIXED_TIME = 1_764_072_000_000_000  # 2025-11-25 12:00 UTC


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
    deals = sorted({d for a in campaigns["ads"] for d in a.get("deals", [])})
    codes = [campaigns["currency"], *campaigns["rates"], "XXX"]

    with open(os.path.join(HERE, "tests", "consent.json"), encoding="utf-8") as file:
        signals = [{k: v for k, v in case["request"].items() if k in ("regs", "user")} for case in json.load(file)["cases"]]

    def spoilt(value: Any) -> Any:
        """Signals of consent with a letter that is another one, or missing."""
        if isinstance(value, dict):
            return {k: spoilt(v) if k != "id" else v for k, v in value.items()}
        if not isinstance(value, str) or not value or chance() < 0.5:
            return value
        at = rng.randrange(len(value))
        return value[:at] + pick(["", "A", "_", "~", ".", "B", "x"]) + value[at + pick([0, 1]):]

    def banner() -> dict[str, Any]:
        if chance() < 0.3:
            w, h = pick(sizes)
            return {"w": w, "h": h}
        return {"format": [{"w": w, "h": h} for w, h in rng.sample(sizes, rng.randint(1, 4))]}

    def video() -> dict[str, Any]:
        return {"mimes": rng.sample(["video/mp4", "video/webm", "video/3gpp"], rng.randint(0, 2)), "minduration": pick([0, 5, 10]),
                "maxduration": pick([0, 15, 30, 60]), "pos": pick([0, 1, 7]), "podid": pick(["", "p", "q"]), "poddedupe": rng.sample([1, 2, 3, 4, 9], rng.randint(0, 3)),
                "linearity": pick([0, 1, 1, 2]), "placement": pick([0, 1, 2, 3]), "plcmt": pick([0,
                1, 2, 3]),
                "rqddurs": pick([[], [], [], [6, 15]]), "battr": pick([[], [], [16]]), "protocols": rng.sample([2, 3, 5, 6, 7],
                rng.randint(0, 4))}

    def native() -> dict[str, Any]:
        kinds = [{"title": {"len": pick([0, 12, 13, 18, 20, 90])}}, {"img": {"type": pick([1, 3, 3, 501]), "wmin": pick([0, 80, 100,
            1300]), "mimes": pick([[], ["image/png"], ["image/jpeg", "image/gif"]])}},
                 {"img": {"w": pick([80, 300, 1200]), "hmin": pick([0, 627])}},
                 {"data": {"type": pick([1, 2, 2, 3]), "len": pick([0, 10, 15, 24, 90])}}, {"video": {}}]
        assets = [{"id": i, "required": pick([0, 0, 1]), **pick(kinds)} for i in range(rng.randint(1, 6))]
        inner: dict[str, Any] = {"ver": "1.2", "assets": assets}
        if chance() < 0.5:
            inner["eventtrackers"] = [{"event": pick([1, 1, 2]), "methods": rng.sample([1, 2], rng.randint(0,
                2))} for _ in range(rng.randint(0, 2))]
        whole = {"native": inner} if chance() < 0.4 else inner
        return {"request": whole if chance() < 0.2 else json.dumps(whole), "battr": pick([[], [1], [2, 3]])}

    def deal() -> dict[str, Any]:
        one: dict[str, Any] = {"id": pick([*deals, "d"]), "bidfloor": round(rng.expovariate(0.5), rng.randint(0, 9)), "bidfloorcur": pick(codes)}
        for name, chances, some in (("at", 0.5, [1, 2, 3]), ("wseat", 0.2, [["other"], [campaigns["seat"]], []]),
                                    ("wadomain", 0.2, [[a["domain"].upper()] for a in campaigns["advertisers"]])):
            if chance() < chances:
                one[name] = pick(some)
        return one

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
        if chance() < 0.2:
            one["pmp"] = {"private_auction": pick([0, 0, 1]), "deals": [deal() for _ in range(pick([1, 1, 2, 4]))]}
        if chance() < 0.1:
            one[pick(["banner", "video", "secure", "bidfloor"])] = pick(["x", -1, [1]])  # left out
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
        if chance() < 0.5:
            r |= spoilt(pick(signals))
        for name, chances, some in (("acat", 0.1, cats), ("wlang", 0.1, ["en", "de", "fr"]), ("wlangb", 0.1, ["en-GB", "de", "FR-ca"]),
                                    ("wseat", 0.1, ["other", campaigns["seat"]]), ("bseat", 0.05, ["other", campaigns["seat"]]),
                                    ("bapp", 0.1, ["com.hooli.phone", "com.example.game"])):
            if chance() < chances:
                r[name] = rng.sample(some, rng.randint(1, 2))
        if chance() < 0.1:
            r["cattax"] = pick([1, 1, 2, 7])
        if chance() < 0.4:
            r["badv"] = [a["domain"] for a in rng.sample(campaigns["advertisers"], rng.randint(1, 3))]
        yield r["id"], json.dumps(r).encode(), False


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
