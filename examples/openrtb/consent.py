"""Whether a request lets its user be known: MAPPING.md, section 4, once more in plain Python, from the published formats.
The three servers have decoders of their own; that all four agree is what the cases show."""
from __future__ import annotations

import re
from typing import Any

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PURPOSES = (1, 3, 4, 7)
# Where the opt-outs of a US section's core segment begin, by the section's number.
OPT_OUTS = {7: (18, 20, 22), 8: (12, 14), **{n: (12, 14) for n in (9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23)},
            11: (14, 16), 18: (14, 16), **{n: (16, 18) for n in (24, 25, 26, 27)}}


class Unreadable(Exception):
    pass


class Bits:
    """The bits of a text in base64url without padding, read in order."""

    def __init__(self, text: str):
        if not text or any(c not in ALPHABET for c in text):
            raise Unreadable
        self.bits = "".join(f"{ALPHABET.index(c):06b}" for c in text)
        self.at = 0

    def int(self, width: int) -> int:
        part = self.bits[self.at:self.at + width]
        if len(part) < width:
            raise Unreadable
        self.at += width
        return int(part, 2)

    def fibonacci(self) -> int:
        """A sum of Fibonacci numbers, the smallest first, that ends with two ones."""
        total, one, two, before = 0, 1, 2, 0
        while True:
            bit = self.int(1)
            if bit and before:
                return total
            total += one if bit else 0
            one, two, before = two, one + two, bit
            if one > 1000:
                raise Unreadable


def ranges_have(bits: Bits, vendor: int) -> bool:
    found = False
    for _ in range(bits.int(12)):
        is_range, first = bits.int(1), bits.int(16)
        last = bits.int(16) if is_range else first
        found = found or first <= vendor <= last
    return found


def vendors_have(bits: Bits, vendor: int) -> bool:
    most = bits.int(16)
    if bits.int(1):
        return ranges_have(bits, vendor)
    listed = [bits.int(1) for _ in range(most)]
    return 0 < vendor <= most and listed[vendor - 1] == 1


def tcf(text: str, vendor: int) -> bool:
    """A TCF string, version 2: consent to each purpose and to the vendor, and no publisher's restriction against it."""
    bits = Bits(text.split(".")[0])
    if bits.int(6) != 2:
        raise Unreadable
    bits.int(146)  # dates, the consent screen, languages, versions, special features
    purposes = bits.int(24)
    bits.int(24 + 1 + 12)  # legitimate interest, whether purpose 1 was asked for, the publisher's country
    permits = vendors_have(bits, vendor) and vendor > 0 and all(purposes >> (24 - p) & 1 for p in PURPOSES)
    vendors_have(bits, vendor)  # legitimate interest
    for _ in range(bits.int(12)):
        purpose, kind = bits.int(6), bits.int(2)
        if ranges_have(bits, vendor) and purpose in PURPOSES and kind != 1:
            permits = False
    return permits


def us_privacy(text: str) -> bool:
    if not re.fullmatch(r"1[YN\-yn]{3}", text):
        raise Unreadable
    return text[2] not in "Yy"


def us_section(number: int, text: str) -> bool:
    core, *others = text.split(".")
    bits = Bits(core)
    if bits.int(6) not in ((1, 2) if number == 7 else (1,)):
        raise Unreadable
    permits = True
    for begin in OPT_OUTS[number]:
        bits.at = begin
        permits = bits.int(2) in (0, 2) and permits
    for other in others:
        bits = Bits(other)
        if bits.int(2) == 1 and bits.int(1):  # the browser's global privacy control
            permits = False
    return permits


def gpp_sections(text: str) -> dict[int, str]:
    header, *sections = text.split("~")
    bits = Bits(header.split(".")[0])
    if bits.int(6) != 3 or bits.int(6) != 1:
        raise Unreadable
    numbers: list[int] = []
    last = 0
    for _ in range(bits.int(12)):
        is_range = bits.int(1)
        first = last + bits.fibonacci()
        last = first + bits.fibonacci() if is_range else first
        if last > 255:
            raise Unreadable
        numbers += range(first, last + 1)
    if len(numbers) != len(sections):
        raise Unreadable
    return dict(zip(numbers, sections))


def section(number: int, text: str, vendor: int) -> bool:
    if number == 2:
        return tcf(text, vendor)
    if number == 6:
        return us_privacy(text)
    if number in OPT_OUTS:
        return us_section(number, text)
    raise Unreadable


def here_or_ext(object_: dict[str, Any], name: str) -> Any:
    """A member, or that of `ext`, where older requests have it."""
    found = object_.get(name)
    if found is None:
        ext = object_.get("ext")
        found = ext.get(name) if isinstance(ext, dict) else None
    return found


def permits(regs: dict[str, Any], user: dict[str, Any], vendor: int) -> bool:
    """Whether the signals of a request let its user be known. What cannot be read does not."""
    try:
        return read(regs, user, vendor)
    except Unreadable:
        return False


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or is_number(value):
        raise Unreadable
    return value


def section_numbers(listed: Any) -> list[int]:
    if listed is None:
        return []
    if not isinstance(listed, list) or len(listed) > 64:
        raise Unreadable
    for one in listed:
        if not is_number(one) or not re.fullmatch(r"-?[0-9]+", one) or not -(1 << 31) <= int(one) < 1 << 31:
            raise Unreadable
    return [int(one) for one in listed]


def is_number(value: Any) -> bool:
    """Numbers of a request are texts of a class of their own."""
    return isinstance(value, str) and type(value) is not str


def read(regs: dict[str, Any], user: dict[str, Any], vendor: int) -> bool:
    if regs.get("ext") is not None and not isinstance(regs["ext"], dict):
        raise Unreadable
    gpp, listed = text_of(here_or_ext(regs, "gpp")), here_or_ext(regs, "gpp_sid")
    applies = section_numbers(listed)
    found = True
    gdpr = here_or_ext(regs, "gdpr")
    if gdpr is not None and not (is_number(gdpr) and gdpr in ("0", "-0")):
        consent = text_of(here_or_ext(user, "consent"))
        if not consent and gpp:
            consent = gpp_sections(gpp).get(2, "")
        found = tcf(consent, vendor) and found
    privacy = text_of(here_or_ext(regs, "us_privacy"))
    if privacy:
        found = us_privacy(privacy) and found
    if applies and not any(applies):
        return found  # 0: no section applies
    if gpp or applies:
        sections = gpp_sections(gpp)
        for number in applies or list(sections):
            if number != 0:
                found = section(number, sections.get(number, ""), vendor) and found
    return found
