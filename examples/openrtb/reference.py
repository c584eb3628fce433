"""The mapping of MAPPING.md once more, in plain Python: what a request must be answered, as far as it can be said without
the model. It shares no code with the servers, so that a mistake in one of them is not in both.

What only the engine knows (probabilities, who ranks first) is taken from the answer and checked for what follows from it.
"""
from __future__ import annotations

import json
import struct
from fractions import Fraction
from math import ceil, floor
from typing import Any

import consent
from reading import MOST, At, Invalid, Number, ints, lower, outcome, parse, upper


def picture_fits(part: At, picture: dict[str, Any]) -> bool:
    fits = True
    for side in ("w", "h"):
        exact, least = part.int(side, 0), part.int(side + "min", 0)
        fits = fits and (picture[side] >= least if least > 0 else exact <= 0 or picture[side] == exact)
    mimes = part.texts("mimes", 64)
    return fits and (not mimes or picture.get("mime") in mimes)


def tracks(inner: At) -> str:
    """How an impression is to be told: a member of the answer, or nothing when the request wants none that we have."""
    if inner.get("eventtrackers", list) is None:
        return "imptrackers"
    wanted = ""
    for held in inner.list("eventtrackers", 32):
        tracker = At(held)
        event, methods = tracker.int("event", 0), ints(tracker, "methods")
        if event == 1 and 1 in methods:
            wanted = "eventtrackers"
    return wanted


def answer_native(asked: Any, ad: dict[str, Any], name: str) -> Any:
    """The native answer of an ad, or None when the ad does not pass."""
    try:
        root = At(asked if isinstance(asked, dict) else parse(asked.encode("utf-8", "surrogatepass")))
        wrapped = isinstance(root.value.get("native"), dict)
        inner = At(root.value["native"]) if wrapped else root
        assets = inner.list("assets", 32)
        tracked = tracks(inner)
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
                fits = picture_fits(part, ad[which or "icon"])
                value = {"img": {n: ad[which][n] for n in ("url", "w", "h")}} if which and fits else None
            elif kind == "data":
                content, longest = {1: name, 2: ad["description"]}.get(part.int("type", 0)), part.int("len", 0)
                value = {"data": {"value": content}} if content and (longest <= 0 or longest >= len(content)) else None
            if value is not None:
                filled.append({"id": number, **value})
            elif required == 1:
                complete = False
    except Invalid:
        return None
    if not complete or not filled:
        return None
    return wrapped, filled, tracked


class Campaigns:
    """The file; {{events}} becomes `events`."""

    def __init__(self, path: str, events: str):
        self.events = events
        with open(path, encoding="utf-8") as file:
            self.file = json.load(file)
        self.rates = {self.file["currency"]: Fraction(1)} | {c: Fraction(r) for c, r in self.file["rates"].items()}
        self.advertisers = {a["id"]: a for a in self.file["advertisers"]}
        self.ads = {a["id"]: a for a in self.file["ads"]}
        self.vendor, self.cattax = self.file.get("gdpr_vendor", 0), self.file.get("cattax", 1)
        self.min_cpm = int(Fraction(self.file["min_cpm"]) * 10**6)

    def bid_micros(self, ad: dict[str, Any]) -> int:
        return floor(Fraction(ad["bid"]["amount"]) * 10**6 * self.rates[ad["bid"]["currency"]])

    def passes(self, ad: dict[str, Any], r: dict[str, Any], imp: dict[str, Any]) -> bool:
        """Section 5 without the rules 1 and 2."""
        advertiser = self.advertisers[ad["advertiser"]]
        if "banner" in ad:
            fits = (ad["banner"]["w"], ad["banner"]["h"]) in imp["sizes"]
        elif "video" in ad:
            v, a = imp["video"], ad["video"]
            fits = v is not None and (not v["mimes"] or a["mime"] in v["mimes"]) and v["min"] <= a["seconds"] \
                and (v["max"] == 0 or v["max"] >= a["seconds"]) and (not v["protocols"] or a["protocol"] in v["protocols"]) \
                and v["linearity"] in (0, a.get("linearity", 1)) and (not v["durations"] or a["seconds"] in v["durations"]) \
                and all(name not in a or v[name] in a[name] for name in ("placement", "plcmt"))
        else:
            fits = imp["native"] is not None and answer_native(imp["native"], ad["native"], advertiser["name"]) is not None
        domain = advertiser["domain"]
        blocked = any(b and (c == b or c.startswith(b + "-")) for b in r["bcat"] for c in ad["cat"]) \
            or any(b and ("." + domain).endswith("." + b) for b in map(lower, r["badv"]))
        blocked = blocked or ad.get("bundle") in r["bapp"] or bool(set(ad.get("attr", [])) & set(imp["battr"].get(self.shape(ad), [])))
        if r["acat"]:
            blocked = blocked or not ad["cat"] or not all(any(c == a or c.startswith(a + "-") for a in r["acat"] ) for c in ad["cat"])
        if r["languages"]:
            blocked = blocked or ad.get("language") not in r["languages"]
        target = ad.get("target", {})
        return fits and not blocked and (imp["secure"] == 0 or ad["secure"]) \
            and ("country" not in target or r["country"] in target["country"]) \
            and ("device_type" not in target or r["device_type"] in target["device_type"]) \
            and ("os" not in target or r["os"] in target["os"]) \
            and ("include" not in target or r["inventory"] in target["include"]) \
            and ("exclude" not in target or r["inventory"] not in target["exclude"])

    @staticmethod
    def shape(ad: dict[str, Any]) -> str:
        return next(name for name in ("banner", "video", "native") if name in ad)

    def repeats(self, ad: dict[str, Any], imp: dict[str, Any], won: list[tuple[dict[str, Any], str]]) -> bool:
        """Whether a winner of the imp's pod has what two ads of a pod may not share."""
        if "video" not in ad or not imp["video"]["pod"]:
            return False
        rules = set(imp["video"]["dedupe"])
        for earlier, name in won:
            other = self.ads[name]
            if earlier["video"] and earlier["video"]["pod"] == imp["video"]["pod"] and (
                    1 in rules and self.domain(ad) == self.domain(other) or 2 in rules and set(ad["cat"]) & set(other["cat"])
                    or rules & {3, 4} and ad["creative"] == other["creative"]):
                return True
        return False

    def domain(self, ad: dict[str, Any]) -> str:
        return self.advertisers[ad["advertiser"]]["domain"]

    def sold(self, ad: dict[str, Any], on: dict[str, Any]) -> bool:
        if on["deal"] is None:
            return not ad.get("only_deals", False)
        return on["deal"] in ad.get("deals", []) and (not on["domains"] or self.domain(ad) in on["domains"])

    def ways(self, imp: dict[str, Any]) -> list[dict[str, Any]]:
        """The terms on which an imp may be sold to this seat, the first first."""
        deals = [d for d in imp["deals"] if not d["seats"] or self.file["seat"] in d["seats"]]
        return deals + ([] if imp["private"] == 1 else [imp["open"]])

    def floor_exact(self, on: dict[str, Any]) -> Fraction | None:
        """The floor in micros of the own currency: in whole micros of the seller's, not rounded after that."""
        if on["floor"] == 0:
            return Fraction(0)
        if on["floorcur"] not in self.rates:
            return None
        return ceil(min(on["floor"], Fraction(10**9)) * 10**6) * self.rates[on["floorcur"]]

    def floor_micros(self, on: dict[str, Any]) -> int | None:
        exact = self.floor_exact(on)
        return None if exact is None else max(min(ceil(exact), MOST), self.min_cpm)


def f32(number: Any) -> Fraction:
    return Fraction(struct.unpack("<f", struct.pack("<f", float(number)))[0])


def decimal(micros: int) -> str:
    units, rest = divmod(micros, 10**6)
    return str(units) + (f".{rest:06}".rstrip("0") if rest else "")


def with_macros(text: str, impression: str, ad: str, events: str) -> str:
    return text.replace("{{impression}}", impression).replace("{{ad}}", ad).replace("{{events}}", events)


def price_in(at: int, worth: int, needed: int, floor_exact: Fraction, min_cpm: int, rate: Fraction) -> int | None:
    """Section 6: a price in micros of the currency of that rate; nothing when no price is both above the floor and not above
    what the ad is worth."""
    least = ceil(max(floor_exact, Fraction(min_cpm)) / rate)
    most = min(floor(worth / rate), MOST)
    if least > most:
        return None
    return most if at == 2 else least if at == 3 else min(max(floor(needed / rate), least), most)


class Judge:
    """Says what is wrong with an answer: `faults` gives a list of sentences, empty when all is well."""

    def __init__(self, campaigns: Campaigns):
        self.all = campaigns

    def faults(self, body: bytes, status: int, nbr: str | None, answer: bytes) -> list[str]:
        r = outcome(body)
        if isinstance(r, Invalid):
            expected = {"nbr": 2, "error": r.error, "at": r.at}
            if status != 400 or json.loads(answer) != expected:
                return [f"expected 400 {expected}, found {status} {answer[:200]!r}"]
            return []
        accepted = [upper(c) for c in r["cur"]] or ["USD"]
        cur = next((c for c in accepted if c in self.all.rates), None)
        seat = self.all.file["seat"]
        whole = "505" if r["dooh"] else "503" if (r["wseat"] and seat not in r["wseat"]) or seat in r["bseat"] \
            else "504" if (r["acat"] or any(r["bcat"])) and r["cattax"] != self.all.cattax else "502" if cur is None else None
        if whole:
            return [] if (status, nbr) == (204, whole) else [f"expected 204 with {whole}, found {status} {nbr}"]
        if status == 204:
            return self.no_bid(r, nbr, cur)
        if status != 200:
            return [f"expected 200 or 204, found {status} {answer[:200]!r}"]
        return self.bids(r, cur, json.loads(answer, parse_float=Number, parse_int=Number))

    def first_reason(self, r: dict[str, Any], imp: dict[str, Any], on: dict[str, Any],
                     won: list[tuple[dict[str, Any], str]]) -> tuple[str | None, list[str], int]:
        """Why an imp cannot get a bid on some terms, its candidates, and its floor."""
        least = self.all.floor_micros(on)
        if least is None:
            return "502", [], 0
        gone = {name for _, name in won}
        names = [i for i, ad in self.all.ads.items() if i not in gone and self.all.sold(ad, on) and self.all.passes(ad, r, imp)
                 and not self.all.repeats(ad, imp, won)]
        return (None if names else "500"), names, least

    def must_bid(self, names: list[str], least: int, on: dict[str, Any], cur: str) -> bool:
        """Whether one of the candidates reaches the floor whatever the model says."""
        worths = [self.all.bid_micros(self.all.ads[n]) for n in names if self.all.ads[n]["bid"]["kind"] == "cpm"]
        return any(worth >= least and price_in(2, worth, 0, self.all.floor_exact(on), self.all.min_cpm, self.all.rates[cur]) is not None
                   for worth in worths)

    def no_bid(self, r: dict[str, Any], nbr: str | None, cur: str) -> list[str]:
        out = []
        for k, imp in enumerate(r["imp"]):
            reason: str | None = "500"
            for on in self.all.ways(imp):
                reason, names, least = self.first_reason(r, imp, on, [])
                if nbr != "15" and reason is None and self.must_bid(names, least, on, cur):
                    out.append(f"imp {imp['id']}: no bid, but a bid by impressions reaches the floor {least}")
            if k == 0 and nbr not in ({reason} if reason else {"501"} | ({"15"} if r["tmax"] else set())):
                out.append(f"nbr: expected {reason or '501 (or 15)'}, found {nbr}")
        return out

    def bids(self, r: dict[str, Any], cur: str, answer: dict[str, Any]) -> list[str]:
        out = []
        if answer["id"] != r["id"] or answer["cur"] != cur or len(answer["seatbid"]) != 1 \
                or answer["seatbid"][0]["seat"] != self.all.file["seat"]:
            out.append(f"id, cur or seatbid are not those of the request: {answer}")
        refused = r["limited"] or not consent.permits(*r["signals"], self.all.vendor)
        if r["test"] != ("ext" in answer):
            out.append(f"ext is for tests: {answer}")
        elif r["test"]:
            own = answer["ext"]["adclick"]
            user = "refused" if refused else "known" if r["someone"] else "none"
            if own["user"] != user or own["left_out"] != str(len(r["left_out"])):
                out.append(f"expected a user {user} and {len(r['left_out'])} imps left out, found {own}")
        bids = {b["impid"]: b for b in answer["seatbid"][0]["bid"]}
        if [i["id"] for i in r["imp"] if i["id"] in bids] != [b["impid"] for b in answer["seatbid"][0]["bid"]]:
            out.append("bids are not in the order of the imps, one for each")
        won: list[tuple[dict[str, Any], str]] = []
        for imp in r["imp"]:
            bid = bids.get(imp["id"])
            sold = False
            for on in self.all.ways(imp):
                reason, names, least = self.first_reason(r, imp, on, won)
                sold = bid is not None and bid.get("dealid") == on["deal"] and bid["adid"] in names
                if sold:
                    won.append((imp, bid["adid"]))
                    told = bid["id"] + ("n" if refused else "")
                    out += [f"imp {imp['id']}: {fault}" for fault in self.bid(r, imp, on, least, cur, bid, told)]
                    break
                if reason is None and not r["tmax"] and self.must_bid(names, least, on, cur):
                    out.append(f"imp {imp['id']}: no bid on {on['deal'] or 'open terms'}, but a bid by impressions reaches the floor {least}")
            if bid is not None and not sold:
                out.append(f"imp {imp['id']}: ad {bid['adid']} (deal {bid.get('dealid')}) is not one of its candidates on any terms")
        return out

    def worth(self, at: int, ad: dict[str, Any], exact: Fraction, least: int, cur: str, bid: dict[str, Any]) -> list[str]:
        """What a bid tells of itself in a test, and the price that follows from it."""
        own = bid["ext"]["adclick"]
        kind, ecpm, paid = own["kind"], int(own["ecpm_micros"]), int(own["price_micros"])
        pctr, pcvr = f32(own["pctr"]), f32(own.get("pcvr", "nan")) if "pcvr" in own else None
        events = {"cpm": 1, "cpc": 1000 * pctr, "cpa": 1000 * pctr * (pcvr or 0), "ocpm": 1000 * pctr * (pcvr or 0)}[kind]
        micros = self.all.bid_micros(ad)
        out = []
        if kind != ad["bid"]["kind"] or abs(ecpm - micros * events) > 1:
            out.append(f"ecpm_micros {ecpm} is not what the bid of {micros} is worth")
        if ecpm < least:
            out.append(f"ecpm_micros {ecpm} is under the floor {least}")
        rate = self.all.rates[cur]
        if 10**6 * bid["price"].exact() * rate > ecpm:
            out.append(f"price {bid['price']} {cur} is above the {ecpm} micros that the ad is worth")
        due = price_in(at, ecpm, min(paid if kind in ("cpm", "ocpm") else ceil(paid * events), MOST), exact, self.all.min_cpm, rate)
        # Where the floor alone decided, it is the price: which is when the event costs what the floor asks, in whole micros.
        asked = Fraction(least) if kind in ("cpm", "ocpm") else least / Fraction(events)
        alone = abs(paid - asked) <= 1
        dues = [due] + ([price_in(at, ecpm, 0, exact, self.all.min_cpm, rate)] if alone else [])
        if due is None or str(bid["price"]) not in [decimal(d) for d in dues if d is not None]:
            out.append(f"price {bid['price']}, expected one of {dues}")
        return out

    def bid(self, r: dict[str, Any], imp: dict[str, Any], on: dict[str, Any], least: int, cur: str, bid: dict[str, Any],
            told: str) -> list[str]:
        ad = self.all.ads[bid["adid"]]
        advertiser = self.all.advertisers[ad["advertiser"]]
        out = []
        price, exact = 10**6 * bid["price"].exact(), self.all.floor_exact(on)
        if price * self.all.rates[cur] < max(exact, self.all.min_cpm):
            out.append(f"price {bid['price']} {cur} is under the floor of {exact} micros in the own currency")
        if r["test"] != ("ext" in bid):
            out.append(f"ext is for tests: {bid}")
        elif r["test"]:
            out += self.worth(on["at"], ad, exact, least, cur, bid)
        fixed = {"adid": ad["id"], "crid": ad["creative"], "adomain": [advertiser["domain"]], "cat": ad["cat"] or None,
                 "language": ad.get("language"), "bundle": ad.get("bundle"),
                 "attr": [str(a) for a in ad.get("attr", [])] or None,
                 "cattax": str(self.all.cattax) if self.all.cattax != 1 and ad["cat"] else None,
                 "mtype": "1" if "banner" in ad else "2" if "video" in ad else "4"}
        shape = ad.get("banner") or ad.get("video")
        fixed |= {"w": str(shape["w"]) if shape else None, "h": str(shape["h"]) if shape else None}
        for name in ("nurl", "burl", "adm"):
            if "native" not in ad or name != "adm":
                text = ad.get(name)
                fixed[name] = text and with_macros(text, told, ad["id"], self.all.events)
        out += [f"{n} is {bid.get(n)!r}, expected {v!r}" for n, v in fixed.items() if bid.get(n) != v]
        if "native" in ad:
            wrapped, assets, tracked = answer_native(imp["native"], ad["native"], advertiser["name"])
            native = {"ver": "1.2", "assets": assets, "link": {"url": with_macros(ad["click_url"], told, ad["id"], self.all.events)}}
            if tracked and "impression_url" in ad:
                url = with_macros(ad["impression_url"], told, ad["id"], self.all.events)
                native[tracked] = [url] if tracked == "imptrackers" else [{"event": 1, "method": 1, "url": url}]
            if json.loads(bid["adm"]) != ({"native": native} if wrapped else native):
                out.append(f"adm is {bid['adm']}")
        return out
