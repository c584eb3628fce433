"""Section 9 of MAPPING.md: sends events, good and bad, and checks what becomes of them. For fire.py and servers.py.

Impression ids are made here once more, from docs/logs.md, so that there are some which expired or come from a server whose clock is ahead.
"""
from __future__ import annotations

import json
import time
from typing import Any, Iterator
from urllib.parse import quote

MASK = (1 << 64) - 1
TAG = (1 << 50) - 1
# What the servers of tests are started with. Bids lead to nobody: events are sent to the servers themselves.
EVENTS = "https://events.example"
KEY = "8d4f1c0b7e6a5938271605f4e3d2c1b0"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def siphash(key: bytes, message: bytes) -> bytes:
    """SipHash-2-4 with 128 bits."""
    k0, k1 = (int.from_bytes(key[i:i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(x: int, by: int) -> int:
        return ((x << by) | (x >> (64 - by))) & MASK

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)

    padded = message + b"\0" * (-(len(message) + 1) % 8) + bytes([len(message) & 255])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i:i + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    halves = []
    for which, bits in ((2, 0xEE), (1, 0xDD)):
        v[which] ^= bits
        rounds(4)
        halves.append((v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little"))
    return b"".join(halves)


def impression(key: str, seconds: float, unique: int) -> str:
    """An id of that time, in seconds since 1970, by the key of 32 hex digits."""
    whole = int(key, 16).to_bytes(16, "little")

    def under(purpose: bytes, number: int) -> int:
        return int.from_bytes(siphash(siphash(whole, purpose), number.to_bytes(16, "little")), "little")

    told = int(seconds // 16) << 50 | unique
    tag = under(b"adclick impression tag", told) & TAG
    return f"{((told << 50) ^ (under(b'adclick impression mask', tag) & ~TAG)) | tag:032x}"


# What is sent, and what is due: status, fate, error and where it is, where a click goes.
Case = tuple[str, str, str, Any, dict[str, str], tuple[int, str | None, str | None, str | None]]


def cases(key: str, run: int, landing: str, ad: str, advertiser: str) -> Iterator[Case]:
    """Name, event, query, body, headers, and what is due. `run` makes ids that no other run has."""
    count = 0

    def fresh(ago: float = 0) -> str:
        nonlocal count
        count += 1
        return impression(key, time.time() - ago, run << 20 | count)

    def due(status: int, fate: str | None = None, error: str | None = None, location: str | None = None) -> Any:
        return status, fate, error, location

    fine, day = due(204, "recorded"), 86_400
    for event in ("impression", "viewable", "click"):
        i = fresh()
        yield f"{event}", event, f"i={i}", None, {}, fine
        yield f"{event} again", event, f"i={i}", None, {}, due(409, "repeated")
        yield f"{event}, forged", event, f"i={int(i, 16) ^ 1:032x}", None, {}, due(403, "forged")
        yield f"{event}, expired", event, f"i={fresh(31 * day)}", None, {}, due(410, "expired")
        yield f"{event}, 29 days old", event, f"i={fresh(29 * day)}", None, {}, fine
        yield f"{event} of a clock that is ahead", event, f"i={fresh(-300)}", None, {}, due(422, "early")
        yield f"{event} of a clock that is a little ahead", event, f"i={fresh(-30)}", None, {}, fine
        yield f"{event} of nobody", event, f"i={fresh()}n", None, {}, fine
        for what, query, error in (("without its impression", "", "missing i"), ("with an empty one", "i=", "type i"),
                                   ("with a short one", f"i={i[1:]}", "type i"), ("with a long one", f"i={i}0", "type i"),
                                   ("in upper case", f"i={i[:-1]}F", "type i"), ("of 0", "i=" + "0" * 32, "range i"),
                                   ("with no digit", f"i={i[:-1]}g", "type i"), ("twice", f"i={i}&i={i}", "duplicate i"),
                                   ("with an unknown parameter", f"i={i}&x=1&a=2", "unknown a"),
                                   ("with one that cannot be told", f"i={i}&A=1", "unknown "),
                                   ("with half an escape", f"i={i}%4", "query "), ("with a bad escape", f"i={i}%zz", "query "),
                                   ("with a control character", f"i={i}%0A", "query "), ("too long", f"i={i}&x=" + "1" * 2048, "too_large ")):
            yield f"{event} {what}", event, query, None, {}, due(400, None, error)
        yield f"{event} posted, with a query", event, f"i={fresh()}", b"", {}, fine
        yield f"{event} posted, with a body", event, "", {"i": fresh()}, {}, fine
        yield f"{event} posted with both", event, f"i={i}", {"i": i}, {}, due(400, None, "conflict ")
    for event in ("win", "billed"):
        yield event, event, f"i={fresh()}&p=1.25", None, {}, due(204, "noticed")
        yield f"{event} again, no matter whose", event, f"i={'0' * 31}1n&p=%24%7BAUCTION_PRICE%7D", None, {}, due(204, "noticed")
        yield f"{event} with a long price", event, f"i={fresh()}&p={'1' * 65}", None, {}, due(400, None, "range p")
    i = fresh()
    yield "a click that is sent on", "click", f"i={i}&ad={ad}", None, {"user-agent": BROWSER}, due(302, "recorded", None, landing)
    yield "a click that is sent on again", "click", f"i={i}&ad={ad}", None, {}, due(302, "repeated", None, landing)
    yield "another click of it", "click", f"i={i}&ad={ad}&e=second", None, {}, due(302, "recorded", None, landing)
    yield "an old click is sent on", "click", f"i={fresh(40 * day)}&ad={ad}", None, {}, due(302, "expired", None, landing)
    yield "a forged click is not", "click", f"i={'1' * 32}&ad={ad}", None, {}, due(403, "forged")
    yield "a click of no ad of ours", "click", f"i={i}&ad=https%3A%2F%2Fevil.example", None, {}, due(400, None, "unknown ad")
    yield "no other way to go elsewhere", "click", f"i={i}&ad={ad}&url=https%3A%2F%2Fevil.example", None, {}, due(400, None, "unknown url")
    yield "an empty ad", "click", f"i={i}&ad=", None, {}, due(400, None, "empty ad")
    yield "a long id of a click", "click", f"i={i}&e={'e' * 65}", None, {}, due(400, None, "range e")
    for event, ms in (("dwell", "1500"), ("viewable", "0"), ("dwell", "86400000")):
        yield f"{event} of {ms} ms", event, f"i={fresh()}&ms={ms}", None, {}, fine
    for ms, error in (("-1", "range ms"), ("86400001", "range ms"), ("1.5", "type ms"), ("", "type ms"), ("+1", "type ms"),
                      ("9" * 30, "range ms"), ("1e3", "type ms")):
        yield f"dwell of {ms!r} ms", "dwell", f"i={fresh()}&ms={quote(ms)}", None, {}, due(400, None, error)
    yield "dwell without its time", "dwell", f"i={fresh()}", None, {}, due(400, None, "missing ms")
    for what, error in (("hidden", None), ("reported", None), ("answered", None), ("liked", "range what"), (None, "missing what")):
        query = f"i={fresh()}" + (f"&what={what}" if what else "")
        yield f"feedback {what}", "feedback", query, None, {}, fine if error is None else due(400, None, error)
    yield "an answer", "feedback", f"i={fresh()}&what=answered&answer=-2147483648", None, {}, fine
    yield "too large an answer", "feedback", f"i={fresh()}&what=answered&answer=2147483648", None, {}, due(400, None, "range answer")

    order = {"advertiser": advertiser, "order": f"order-{run}-1", "value": "12.50", "cur": "EUR", "type": 2}
    i = fresh()
    yield "a conversion", "conversion", "", order | {"i": i}, {}, fine
    yield "the same one", "conversion", "", order | {"i": i}, {}, due(409, "repeated")
    yield "restated", "conversion", "", order | {"i": i, "kind": "restated", "value": 11}, {}, fine
    yield "retracted", "conversion", "", order | {"i": i, "kind": "retracted"}, {}, fine
    yield "of a user", "conversion", f"advertiser={advertiser}&order=o-{run}-2&user=u1001&value=3&nouser=0", None, {}, fine
    yield "of a user that must not be kept", "conversion", f"advertiser={advertiser}&order=o-{run}-3&user=u1001&nouser=1", None, {}, fine
    yield "of a click", "conversion", "", {"advertiser": advertiser, "order": f"Bestellung-{run}-ü", "click": "second"}, {}, fine
    now = int(1e6 * time.time())
    yield "before its decision", "conversion", "", order | {"i": fresh(), "time_us": now - 300_000_000}, {}, due(422, "early")
    yield "an hour ago, of a decision before", "conversion", "", order | {"i": fresh(7200), "order": f"o-{run}-4", "time_us": now - 3_600_000_000}, {}, fine
    yield "forged", "conversion", "", order | {"i": "2" * 32}, {}, due(403, "forged")
    for what, change, error in (("of nothing", {}, "missing i"), ("of nobody's advertiser", {"advertiser": "nobody"}, "unknown advertiser"),
                                ("without one", {"advertiser": None}, "missing advertiser"), ("without an order", {"order": None}, "missing order"),
                                ("of an empty order", {"order": ""}, "empty order"), ("of a long order", {"order": "ü" * 65}, "range order"),
                                ("of a negative value", {"value": -1}, "type value"), ("with an exponent", {"value": "1e3"}, "type value"),
                                ("of an unknown currency", {"cur": "XXX"}, "unknown cur"), ("of an unknown kind", {"kind": "lost"}, "range kind"),
                                ("of a type below 0", {"type": -1}, "range type"), ("in the future", {"time_us": now + 10**9}, "range time_us"),
                                ("with a truth", {"nouser": True}, "type nouser"), ("with an object", {"order": {}}, "type order"),
                                ("with lists", {"value": [], "order": []}, "type order"), ("with a misspelt member", {"valeu": 1}, "unknown valeu"),
                                ("with unknown nothing", {"x": None}, "unknown x")):
        yield f"conversion {what}", "conversion", "", order | change, {}, due(400, None, error)
    for what, body, error in (("no JSON", b"{", "json "), ("a list", b"[]", "type "), ("no UTF-8", b'{"order":"\xff"}', "json "),
                              ("two texts", b"{}{}", "json "), ("too deep", b'{"i":' + b"[" * 40 + b"]" * 40 + b"}", "depth "),
                              ("too large", b'{"order":"' + b"x" * 4096 + b'"}', "too_large "), ("much too large", b" " * 300_000, "too_large "),
                              ("as large as allowed", b'{"i":1}'.ljust(4096), "type i"), ("an unknown name", b'{"\xc3\xa9":1}', "unknown ")):
        yield f"a body of {what}", "impression", "", body, {}, due(400, None, error)
    for name, headers in (("DNT", {"dnt": "1"}), ("GPC", {"sec-gpc": "1"}), ("a prefetch", {"sec-purpose": "prefetch;anonymous-client-ip"}),
                          ("a robot", {"user-agent": "Examplebot/2.1"}), ("a browser", {"user-agent": BROWSER}), ("a text", {"content-type": "text/plain"})):
        yield name, "impression", f"i={fresh()}", None, headers, fine


def check(server: Any, all_: Iterator[Case]) -> tuple[int, list[str]]:
    """Sends them to a server; how many, and what is wrong."""
    sent, faults = 0, []
    for name, event, query, held, headers, (status, fate, error, location) in all_:
        sent += 1
        body = json.dumps(held, ensure_ascii=False).encode() if isinstance(held, dict) else held
        if isinstance(held, dict):
            body = json.dumps({k: v for k, v in held.items() if v is not None or k == "x"}, ensure_ascii=False).encode()
        path = f"/events/{event}" + (f"?{query}" if query else "")
        got, back, answer = server.send("GET" if body is None else "POST", path, body, headers)
        found = (got, back.get("x-adclick-event"), back.get("location"), answer)
        text = answer if status in (204, 302) else json.loads(answer or b"null")
        expected: Any = b"" if status in (204, 302) else {"event": fate}
        if error is not None:
            what, _, at = error.partition(" ")
            expected = {"nbr": 2, "error": what, "at": at}
        if found[:3] != (status, fate, location) or text != expected or back.get("cache-control") != "no-store":
            faults.append(f"event {name}: {path[:200]} {(body or b'')[:100]!r}: expected {status} {fate} {expected} {location}, found {found} {back}")
    for method, path, headers, due in (("PUT", "/events/click", {}, 405), ("HEAD", "/events/click", {}, 405), ("GET", "/events/", {}, 404),
                                       ("GET", "/events", {}, 404), ("GET", "/events/nothing", {}, 404), ("GET", "/events/click/", {}, 404),
                                       ("POST", "/events/click", {"content-encoding": "gzip"}, 415)):
        sent += 1
        got, back, _ = server.send(method, path, b"{}" if method in ("PUT", "POST") else None, headers)
        if got != due or (due == 405 and "allow" not in back):
            faults.append(f"event {method} {path} {headers}: expected {due}, found {got} {back}")
    return sent, faults
