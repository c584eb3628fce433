"""The mapping of MAPPING.md once more, in plain Python: what a request must be answered, as far as it can be said without
the model. It shares no code with the servers, so that a mistake in one of them is not in both.

What only the engine knows (probabilities, who ranks first) is taken from the answer and checked for what follows from it.
"""
from __future__ import annotations

import json
import re
import struct
from fractions import Fraction
from math import ceil, floor
from typing import Any

MOST = 1 << 53
INT = (-(1 << 31), (1 << 31) - 1)


class Number(str):
    """A JSON number as it is written."""

    def is_int(self) -> bool:
        return re.fullmatch(r"-?[0-9]+", self) is not None

    def exact(self) -> Fraction:
        return Fraction(str(self))


class Invalid(Exception):
    def __init__(self, error: str, at: str):
        super().__init__(error, at)
        self.error, self.at = error, at


def parse(text: bytes) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        decoded = text.decode("utf-8", "strict")
        depth = within = 0
        escaped = False
        for c in decoded:  # brackets outside of texts
            if within:
                within, escaped = (1, False) if escaped else (c != '"', c == "\\")
            elif c == '"':
                within = 1
            elif c in "[{":
                depth += 1
                if depth > 32:
                    raise Invalid("depth", "")
            elif c in "]}":
                depth -= 1
        return json.loads(decoded, parse_int=Number, parse_float=Number, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Invalid("json", "") from None


class At:
    """A value of the request and the way to it."""

    def __init__(self, value: Any, path: str = ""):
        self.value, self.path = value, path
        if not isinstance(value, dict):
            raise Invalid("type", path)

    def to(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str, kind: type) -> Any:
        found = self.value.get(name)
        if found is not None and (not isinstance(found, kind) or (kind is str and isinstance(found, Number))):
            raise Invalid("type", self.to(name))
        return found

    def child(self, name: str) -> At | None:
        found = self.get(name, dict)
        return None if found is None else At(found, self.to(name))

    def text(self, name: str) -> str:
        return self.get(name, str) or ""

    def id(self, name: str) -> str:
        found = self.get(name, str)
        if found is None:
            raise Invalid("missing", self.to(name))
        if not found:
            raise Invalid("empty", self.to(name))
        if len(found.encode("utf-8", "surrogatepass")) > 256:
            raise Invalid("range", self.to(name))
        return found

    def int(self, name: str, default: int, least: int = INT[0], most: int = INT[1]) -> int:
        found = self.get(name, Number)
        return default if found is None else whole(found, self.to(name), least, most)

    def list(self, name: str, most: int) -> list[Any]:
        found = self.get(name, list) or []
        if len(found) > most:
            raise Invalid("too_many", self.to(name))
        return found

    def texts(self, name: str, most: int, numbers: bool = False) -> list[str]:
        found = self.list(name, most)
        for i, one in enumerate(found):
            if not isinstance(one, str) or (isinstance(one, Number) and not numbers):
                raise Invalid("type", f"{self.to(name)}[{i}]")
        return [one for one in found if not isinstance(one, Number)]


def whole(number: Number, path: str, least: int = INT[0], most: int = INT[1]) -> int:
    if not number.is_int():
        raise Invalid("type", path)
    if not least <= int(number) <= most:
        raise Invalid("range", path)
    return int(number)


def upper(text: str) -> str:
    return "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text)


def lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def read(body: bytes) -> dict[str, Any]:
    """Section 3: the request, or Invalid."""
    root = At(parse(body))
    r: dict[str, Any] = {"id": root.id("id")}
    test = root.int("test", 0, 0, 1)
    r["at"] = root.int("at", 2)
    r["tmax"] = root.int("tmax", 0, 0)
    r["cur"] = root.texts("cur", 64)
    r["bcat"] = root.texts("bcat", 4096, True)
    r["badv"] = root.texts("badv", 4096)
    r["inventory"] = ""
    site = root.child("site")
    if site:
        ident, domain = site.text("id"), site.text("domain")
        site.texts("cat", 256, True)
        r["inventory"] = lower(domain) or ident
    if site and root.value.get("app") is not None:
        raise Invalid("conflict", "app")
    app = root.child("app")
    if app:
        ident, bundle = app.text("id"), app.text("bundle")
        app.texts("cat", 256, True)
        r["inventory"] = bundle or ident
    r.update(device_type=0, os="", country="")
    device = root.child("device")
    if device:
        r["device_type"] = device.int("devicetype", 0)
        r["os"] = lower(device.text("os"))
        device.int("connectiontype", 0)
        device.text("ifa")
        device.int("lmt", 0)
        device.int("dnt", 0)
        geo = device.child("geo")
        if geo:
            r["country"] = upper(geo.text("country"))
            geo.int("utcoffset", 0, -1440, 1440)
    user = root.child("user")
    if user:
        user.text("id")
        user.text("buyeruid")
    regs = root.child("regs")
    if regs:
        regs.int("coppa", 0)
    if test:
        ext = root.child("ext")
        own = ext.child("adclick") if ext else None
        if own:
            own.int("time_us", 0, 0, MOST - 1)
    imps = root.get("imp", list)
    if imps is None:
        raise Invalid("missing", "imp")
    if not imps:
        raise Invalid("empty", "imp")
    root.list("imp", 32)
    r["imp"] = []
    for i, held in enumerate(imps):
        r["imp"].append(read_imp(At(held, f"imp[{i}]"), {one["id"] for one in r["imp"]}))
    return r


def read_imp(imp: At, earlier: set[str]) -> dict[str, Any]:
    one: dict[str, Any] = {"id": imp.id("id"), "sizes": [], "video": None, "native": None}
    if one["id"] in earlier:
        raise Invalid("duplicate", imp.to("id"))
    bidfloor = imp.get("bidfloor", Number) or Number("0")
    if bidfloor.exact() < 0:
        raise Invalid("range", imp.to("bidfloor"))
    one["floor"] = bidfloor.exact()
    found = imp.get("bidfloorcur", str)
    one["floorcur"] = "USD" if found is None else upper(found)
    one["secure"] = imp.int("secure", 0, 0, 1)
    pmp = imp.child("pmp")
    one["private"] = pmp.int("private_auction", 0) if pmp else 0
    banner = imp.child("banner")
    if banner:
        for j, held in enumerate(banner.list("format", 64)):
            entry = At(held, f"{banner.path}.format[{j}]")
            one["sizes"].append((entry.int("w", 0, 0), entry.int("h", 0, 0)))
        single = (banner.int("w", 0, 0), banner.int("h", 0, 0))
        one["sizes"] = [s for s in one["sizes"] if min(s) > 0] or [s for s in [single] if min(s) > 0]
    video = imp.child("video")
    if video:
        one["video"] = {"mimes": video.texts("mimes", 64), "min": video.int("minduration", 0, 0),
                        "max": video.int("maxduration", 0, 0), "protocols": []}
        for j, held in enumerate(video.list("protocols", 64)):
            path = f"{video.path}.protocols[{j}]"
            if not isinstance(held, Number):
                raise Invalid("type", path)
            one["video"]["protocols"].append(whole(held, path))
    audio = imp.child("audio")
    native = imp.child("native")
    if native:
        request = native.get("request", str)
        if request is None:
            raise Invalid("missing", native.to("request"))
        if not request:
            raise Invalid("empty", native.to("request"))
        one["native"] = request
    if not (banner or video or audio or native):
        raise Invalid("missing", imp.path)
    return one


def answer_native(text: str, ad: dict[str, Any], name: str) -> Any:
    """The native answer of an ad, or None when the ad does not pass."""
    try:
        root = At(parse(text.encode("utf-8", "surrogatepass")))
        wrapped = isinstance(root.value.get("native"), dict)
        inner = At(root.value["native"]) if wrapped else root
        assets = inner.list("assets", 32)
        filled: list[Any] = []
        complete = True
        for held in assets:
            asset = At(held)
            if asset.get("id", Number) is None:
                return None
            number, required = asset.int("id", 0), asset.int("required", 0)
            kind = next((k for k in ("title", "img", "data", "video") if asset.value.get(k) is not None), None)
            part = asset.child(kind) if kind else None
            value: Any = None
            if kind == "title":
                longest = part.int("len", 0)
                if longest <= 0 or longest >= len(ad["title"]):
                    value = {"title": {"text": ad["title"]}}
            elif kind == "img":
                which = {1: "icon", 3: "image"}.get(part.int("type", 3))
                value = {"img": ad[which]} if which else None
            elif kind == "data":
                content = {1: name, 2: ad["description"]}.get(part.int("type", 0))
                value = {"data": {"value": content}} if content else None
            if value is not None:
                filled.append({"id": number, **value})
            elif required == 1:
                complete = False
    except Invalid:
        return None
    if not complete or not filled:
        return None
    return wrapped, filled


class Campaigns:
    def __init__(self, path: str):
        with open(path, encoding="utf-8") as file:
            self.file = json.load(file)
        self.rates = {self.file["currency"]: Fraction(1)} | {c: Fraction(r) for c, r in self.file["rates"].items()}
        self.advertisers = {a["id"]: a for a in self.file["advertisers"]}
        self.ads = {a["id"]: a for a in self.file["ads"]}
        self.min_cpm = int(Fraction(self.file["min_cpm"]) * 10**6)

    def bid_micros(self, ad: dict[str, Any]) -> int:
        return floor(Fraction(ad["bid"]["amount"]) * 10**6 * self.rates[ad["bid"]["currency"]])

    def passes(self, ad: dict[str, Any], r: dict[str, Any], imp: dict[str, Any]) -> bool:
        """Section 5 without rule 2."""
        if imp["private"] == 1:
            return False
        advertiser = self.advertisers[ad["advertiser"]]
        if "banner" in ad:
            fits = (ad["banner"]["w"], ad["banner"]["h"]) in imp["sizes"]
        elif "video" in ad:
            v, a = imp["video"], ad["video"]
            fits = v is not None and (not v["mimes"] or a["mime"] in v["mimes"]) and v["min"] <= a["seconds"] \
                and (v["max"] == 0 or v["max"] >= a["seconds"]) and (not v["protocols"] or a["protocol"] in v["protocols"])
        else:
            fits = imp["native"] is not None and answer_native(imp["native"], ad["native"], advertiser["name"]) is not None
        domain = advertiser["domain"]
        blocked = any(b and (c == b or c.startswith(b + "-")) for b in r["bcat"] for c in ad["cat"]) \
            or any(b and ("." + domain).endswith("." + b) for b in map(lower, r["badv"]))
        target = ad.get("target", {})
        return fits and not blocked and (imp["secure"] == 0 or ad["secure"]) \
            and ("country" not in target or r["country"] in target["country"]) \
            and ("device_type" not in target or r["device_type"] in target["device_type"]) \
            and ("os" not in target or r["os"] in target["os"]) \
            and ("include" not in target or r["inventory"] in target["include"]) \
            and ("exclude" not in target or r["inventory"] not in target["exclude"])

    def floor_micros(self, imp: dict[str, Any]) -> int | None:
        if imp["floorcur"] not in self.rates:
            return None
        micros = ceil(min(imp["floor"], Fraction(10**9)) * 10**6)
        return max(min(ceil(micros * self.rates[imp["floorcur"]]), MOST), self.min_cpm)


def f32(number: Any) -> Fraction:
    return Fraction(struct.unpack("<f", struct.pack("<f", float(number)))[0])


def decimal(micros: int) -> str:
    units, rest = divmod(micros, 10**6)
    return str(units) + (f".{rest:06}".rstrip("0") if rest else "")


class Judge:
    """Says what is wrong with an answer: `faults` gives a list of sentences, empty when all is well."""

    def __init__(self, campaigns: Campaigns):
        self.all = campaigns

    def faults(self, body: bytes, status: int, nbr: str | None, answer: bytes) -> list[str]:
        try:
            r = read(body)
        except Invalid as why:
            expected = {"nbr": 2, "error": why.error, "at": why.at}
            if status != 400 or json.loads(answer) != expected:
                return [f"expected 400 {expected}, found {status} {answer[:200]!r}"]
            return []
        accepted = [upper(c) for c in r["cur"]] or ["USD"]
        cur = next((c for c in accepted if c in self.all.rates), None)
        if cur is None:
            return [] if (status, nbr) == (204, "502") else [f"expected 204 with 502, found {status} {nbr}"]
        if status == 204:
            return self.no_bid(r, nbr)
        if status != 200:
            return [f"expected 200 or 204, found {status} {answer[:200]!r}"]
        return self.bids(r, cur, json.loads(answer, parse_float=Number, parse_int=Number))

    def first_reason(self, r: dict[str, Any], imp: dict[str, Any], won: set[str]) -> tuple[str | None, list[str], int]:
        """Why an imp cannot get a bid, its candidates, and its floor."""
        least = self.all.floor_micros(imp)
        if least is None:
            return "502", [], 0
        names = [i for i, ad in self.all.ads.items() if i not in won and self.all.passes(ad, r, imp)]
        return (None if names else "500"), names, least

    def must_bid(self, names: list[str], least: int) -> bool:
        """Whether one of the candidates reaches the floor whatever the model says."""
        return any(self.all.ads[n]["bid"]["kind"] == "cpm" and self.all.bid_micros(self.all.ads[n]) >= least for n in names)

    def no_bid(self, r: dict[str, Any], nbr: str | None) -> list[str]:
        out = []
        for k, imp in enumerate(r["imp"]):
            reason, names, least = self.first_reason(r, imp, set())
            if k == 0 and nbr not in ({reason} if reason else {"501"} | ({"15"} if r["tmax"] else set())):
                out.append(f"nbr: expected {reason or '501 (or 15)'}, found {nbr}")
            if nbr != "15" and reason is None and self.must_bid(names, least):
                out.append(f"imp {imp['id']}: no bid, but a bid by impressions reaches the floor {least}")
        return out

    def bids(self, r: dict[str, Any], cur: str, answer: dict[str, Any]) -> list[str]:
        out = []
        if answer["id"] != r["id"] or answer["cur"] != cur or len(answer["seatbid"]) != 1 \
                or answer["seatbid"][0]["seat"] != self.all.file["seat"]:
            out.append(f"id, cur or seatbid are not those of the request: {answer}")
        bids = {b["impid"]: b for b in answer["seatbid"][0]["bid"]}
        if [i["id"] for i in r["imp"] if i["id"] in bids] != [b["impid"] for b in answer["seatbid"][0]["bid"]]:
            out.append("bids are not in the order of the imps, one for each")
        won: set[str] = set()
        for imp in r["imp"]:
            reason, names, least = self.first_reason(r, imp, won)
            bid = bids.get(imp["id"])
            if bid is None:
                if reason is None and not r["tmax"] and self.must_bid(names, least):
                    out.append(f"imp {imp['id']}: no bid, but a bid by impressions reaches the floor {least}")
                continue
            if bid["adid"] not in names:
                out.append(f"imp {imp['id']}: ad {bid['adid']} is not one of its candidates {names}")
                continue
            won.add(bid["adid"])
            out += [f"imp {imp['id']}: {fault}" for fault in self.bid(r, imp, least, cur, bid)]
        return out

    def bid(self, r: dict[str, Any], imp: dict[str, Any], least: int, cur: str, bid: dict[str, Any]) -> list[str]:
        ad = self.all.ads[bid["adid"]]
        advertiser = self.all.advertisers[ad["advertiser"]]
        own = bid["ext"]["adclick"]
        kind, ecpm, price = own["kind"], int(own["ecpm_micros"]), int(own["price_micros"])
        pctr, pcvr = f32(own["pctr"]), f32(own.get("pcvr", "nan")) if "pcvr" in own else None
        events = {"cpm": 1, "cpc": 1000 * pctr, "cpa": 1000 * pctr * (pcvr or 0), "ocpm": 1000 * pctr * (pcvr or 0)}[kind]
        micros = self.all.bid_micros(ad)
        out = []
        if kind != ad["bid"]["kind"] or abs(ecpm - micros * events) > 1:
            out.append(f"ecpm_micros {ecpm} is not what the bid of {micros} is worth")
        if ecpm < least:
            out.append(f"ecpm_micros {ecpm} is under the floor {least}")
        if r["at"] == 2:
            due = ecpm
        else:
            due = price if kind in ("cpm", "ocpm") else ceil(price * events)
            due = min(max(due, least), ecpm)
        due = min(floor(due / self.all.rates[cur]), MOST)
        if str(bid["price"]) != decimal(due):
            out.append(f"price {bid['price']}, expected {decimal(due)}")
        fixed = {"adid": ad["id"], "crid": ad["creative"], "adomain": [advertiser["domain"]], "cat": ad["cat"] or None,
                 "mtype": "1" if "banner" in ad else "2" if "video" in ad else "4"}
        shape = ad.get("banner") or ad.get("video")
        fixed |= {"w": str(shape["w"]) if shape else None, "h": str(shape["h"]) if shape else None}
        for name in ("nurl", "burl", "adm"):
            if "native" not in ad or name != "adm":
                text = ad.get(name)
                fixed[name] = text and text.replace("{{impression}}", bid["id"]).replace("{{ad}}", ad["id"])
        out += [f"{n} is {bid.get(n)!r}, expected {v!r}" for n, v in fixed.items() if bid.get(n) != v]
        if "native" in ad:
            wrapped, assets = answer_native(imp["native"], ad["native"], advertiser["name"])
            native = {"ver": "1.2", "assets": assets, "link": {"url": ad["click_url"]}}
            if json.loads(bid["adm"]) != ({"native": native} if wrapped else native):
                out.append(f"adm is {bid['adm']}")
        return out
