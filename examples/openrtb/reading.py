"""Section 3 of MAPPING.md in plain Python: a request's text, checked in the order of its table. For reference.py."""
from __future__ import annotations

import json
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

MOST = 1 << 53
INT = (-(1 << 31), (1 << 31) - 1)
TEXT, BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL), re.compile(r"[\[\]{}]")


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
        depth = 0
        for bracket in BRACKET.findall(TEXT.sub("", decoded)):
            depth += 1 if bracket in "[{" else -1
            if depth > 32:
                raise Invalid("depth", "")
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
    r["test"] = test = root.int("test", 0, 0, 1)
    r["at"] = root.int("at", 2)
    r["tmax"] = root.int("tmax", 0, 0)
    r["cur"] = root.texts("cur", 64)
    r["bcat"] = root.texts("bcat", 4096, True)
    r["badv"] = root.texts("badv", 4096)
    r["bapp"] = root.texts("bapp", 4096)
    r["acat"] = [one for one in root.texts("acat", 4096, True) if one]
    r["cattax"] = root.int("cattax", 1)
    r["wseat"], r["bseat"] = root.texts("wseat", 4096), root.texts("bseat", 4096)
    r["languages"] = [lower(one).split("-")[0] for one in root.texts("wlang", 4096) + root.texts("wlangb", 4096) if one]
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
    if (site or app) and root.value.get("dooh") is not None:
        raise Invalid("conflict", "dooh")
    r["dooh"] = root.child("dooh") is not None
    r.update(device_type=0, os="", country="", limited=False)
    ids = [""]
    device = root.child("device")
    if device:
        r["device_type"] = device.int("devicetype", 0)
        r["os"] = lower(device.text("os"))
        device.int("connectiontype", 0)
        ids.append(device.text("ifa"))
        lmt, dnt = device.int("lmt", 0), device.int("dnt", 0)
        r["limited"] = lmt == 1 or dnt == 1
        geo = device.child("geo")
        if geo:
            r["country"] = upper(geo.text("country"))
            geo.int("utcoffset", 0, -1440, 1440)
    user = root.child("user")
    if user:
        ids += [user.text("id"), user.text("buyeruid")]
    regs = root.child("regs")
    if regs:
        r["limited"] = regs.int("coppa", 0) == 1 or r["limited"]
    r["someone"] = any(ids)
    r["signals"] = (regs.value if regs else {}, user.value if user else {})
    if test:
        ext = root.child("ext")
        own = ext.child("adclick") if ext else None
        if own:
            own.int("time_us", -1, 0, MOST - 1)
    imps = root.get("imp", list)
    if imps is None:
        raise Invalid("missing", "imp")
    if not imps:
        raise Invalid("empty", "imp")
    root.list("imp", 32)
    r["imp"], r["left_out"] = [], []
    for i, held in enumerate(imps):
        try:
            r["imp"].append(read_imp(At(held, f"imp[{i}]"), {one["id"] for one in r["imp"]}, r["at"]))
        except Invalid as why:
            r["left_out"].append(why)
    if not r["imp"]:
        raise r["left_out"][0]
    return r


@lru_cache(maxsize=4)
def outcome(body: bytes) -> dict[str, Any] | Invalid:
    """The request, or why it is none; once for all servers that get it."""
    try:
        return read(body)
    except Invalid as why:
        return why


def ints(of: At, name: str) -> list[int]:
    out = []
    for j, held in enumerate(of.list(name, 64)):
        if not isinstance(held, Number):
            raise Invalid("type", f"{of.to(name)}[{j}]")
        out.append(whole(held, f"{of.to(name)}[{j}]"))
    return out


def read_floor(of: At) -> tuple[Fraction, str]:
    bidfloor = of.get("bidfloor", Number) or Number("0")
    if bidfloor.exact() < 0:
        raise Invalid("range", of.to("bidfloor"))
    currency = of.get("bidfloorcur", str)
    return bidfloor.exact(), "USD" if currency is None else upper(currency)


def read_deal(deal: At, at: int) -> dict[str, Any]:
    one: dict[str, Any] = {"deal": deal.id("id")}
    one["floor"], one["floorcur"] = read_floor(deal)
    one["at"] = deal.int("at", at)
    one["seats"], one["domains"] = deal.texts("wseat", 4096), [lower(d) for d in deal.texts("wadomain", 4096)]
    return one


def read_imp(imp: At, earlier: set[str], at: int) -> dict[str, Any]:
    one: dict[str, Any] = {"id": imp.id("id"), "sizes": [], "video": None, "native": None, "battr": {}}
    if one["id"] in earlier:
        raise Invalid("duplicate", imp.to("id"))
    floor, currency = read_floor(imp)
    one["open"] = {"deal": None, "floor": floor, "floorcur": currency, "at": 1 if at == 3 else at}
    one["secure"] = imp.int("secure", 0, 0, 1)
    pmp = imp.child("pmp")
    one["private"] = pmp.int("private_auction", 0) if pmp else 0
    held_deals = pmp.list("deals", 256) if pmp else []
    one["deals"] = [read_deal(At(held, f"{pmp.path}.deals[{j}]"), at) for j, held in enumerate(held_deals)]
    banner = imp.child("banner")
    if banner:
        for j, held in enumerate(banner.list("format", 64)):
            entry = At(held, f"{banner.path}.format[{j}]")
            one["sizes"].append((entry.int("w", 0, 0), entry.int("h", 0, 0)))
        single = (banner.int("w", 0, 0), banner.int("h", 0, 0))
        one["sizes"] = [s for s in one["sizes"] if min(s) > 0] or [s for s in [single] if min(s) > 0]
        banner.int("pos", 0)
        one["battr"]["banner"] = ints(banner, "battr")
    video = imp.child("video")
    if video:
        one["video"] = {"mimes": video.texts("mimes", 64), "min": video.int("minduration", 0, 0),
                        "max": video.int("maxduration", 0, 0), "protocols": ints(video, "protocols"),
                        "linearity": video.int("linearity", 0), "placement": video.int("placement", 0),
                        "plcmt": video.int("plcmt", 0), "durations": ints(video, "rqddurs")}
        video.int("pos", 0)
        one["video"] |= {"pod": video.text("podid"), "dedupe": ints(video, "poddedupe")}
        one["battr"]["video"] = ints(video, "battr")
    audio = imp.child("audio")
    native = imp.child("native")
    if native:
        request = native.value.get("request")
        if request is None:
            raise Invalid("missing", native.to("request"))
        if not isinstance(request, (str, dict)) or isinstance(request, Number):
            raise Invalid("type", native.to("request"))
        if request == "":
            raise Invalid("empty", native.to("request"))
        one["native"] = request
        one["battr"]["native"] = ints(native, "battr")
    if not (banner or video or audio or native):
        raise Invalid("missing", imp.path)
    return one
