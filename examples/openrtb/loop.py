#!/usr/bin/env python3
"""From bids to a model that is trained on what came of them, and back into the servers that made the bids.

    loop.py [--only cpp,go,java] [--requests N]

1. A fleet (one server of each language) shares a directory for its log and a key, bids, and is told what came of the bids: impressions,
   clicks and conversions by known rules, besides robots, prefetched and repeated clicks and forged ids. Each event goes to another
   server than the one that bid. The servers stop.
2. adclick log inspect, join, aggregate, train: each is checked against what was sent.
3. The servers start again on the old bundle, take late clicks on the old bids, and bid all the time while the new bundle is published:
   no request is lost, and then all of them decide by the new model.

servers.py runs it, too. Needs `make cli` and what the servers need; standard library only.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

import fire
import shots
from events import BROWSER, EVENTS, KEY
from packing import ADCLICK, AS_OF, BUILD, CAMPAIGNS, HERE, SERVERS, run

FEATURES = ["device_type=category", "connection=category", "os=category", "country=category", "inventory=category", "content=multi",
            "floor=number", "format=category"]
# Clicks of 1000 impressions, by format and country: what the model is to find.
CLICKS = {("728x90", "USA"): 300, ("728x90", "DEU"): 150, ("300x250", "USA"): 80, ("300x250", "DEU"): 40, ("320x50", "USA"): 20, ("320x50", "DEU"): 10}
SIZES = [(728, 90), (300, 250), (320, 50)]


def adclick(*arguments: str) -> Any:
    """Runs the command; what it prints as JSON."""
    done = subprocess.run([ADCLICK, *arguments, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"loop: adclick {' '.join(arguments)}\n{done.stdout}{done.stderr}\nloop: the command above ended with {done.returncode}")
    return json.loads(done.stdout)


class Loop:
    def __init__(self, show: Any, start: Any, commands: dict[str, list[str]], requests: int):
        """`show.check` takes what must hold; `start` starts a server, with more flags."""
        self.show, self.requests, self.draw = show, requests, random.Random(19)
        self.at = os.path.join(BUILD, "loop")
        shutil.rmtree(self.at, ignore_errors=True)
        os.makedirs(self.at)
        self.key = os.path.join(self.at, "key")
        with open(self.key, "w", encoding="ascii") as file:
            file.write(KEY + "\n")
        self.start, self.commands = start, commands
        self.sent = dict.fromkeys(("bids", "impressions", "clicks", "conversions", "robots", "prefetched", "repeated", "forged"), 0)
        self.late: list[tuple[str, str]] = []

    def path(self, name: str) -> str:
        return os.path.join(self.at, name)

    def fleet(self) -> list[Any]:
        return [self.start(key, command, self.path("bundles"), CAMPAIGNS, 2, None, "--drain-ms", "0", "--forwarded", "1",
                           "--log", self.path("log"), "--log-key-file", self.key, "--log-slates", "1")
                for key, command in self.commands.items()]

    def event(self, server: Any, path: str, expected: tuple[int, str], agent: str = BROWSER, **headers: str) -> None:
        address = ".".join(str(self.draw.randrange(1, 255)) for _ in range(4))
        status, back, answer = server.send("GET", path, None, {"user-agent": agent, "x-forwarded-for": f"1.1.1.1, {address}"} | headers)
        self.show.check((status, back.get("x-adclick-event")) == expected, f"{server.url}{path}: expected {expected}, found {status} {back} {answer!r}")

    def bid(self, server: Any, number: int) -> list[tuple[dict[str, Any], str]]:
        """The bids of a request with three imps, and the country."""
        country = self.draw.choice(["USA", "DEU"])
        body = shots.request(id=f"loop-{number}", test=0, ext={}, user={"id": f"u{1001 + number}"},
                             imp=[{"id": str(k), "banner": {"w": w, "h": h}} for k, (w, h) in enumerate(SIZES)],
                             device={"devicetype": 2, "os": "Windows", "geo": {"country": country}})
        status, _, answer, _ = server.bid(json.dumps(body).encode())
        self.show.check(status == 200, f"{server.url}: {status} {answer[:200]!r} for a bid request")
        return [(one, country) for one in json.loads(answer)["seatbid"][0]["bid"]] if status == 200 else []

    def serve(self) -> None:
        """Bids and what comes of them."""
        processes = self.fleet()
        try:
            servers = [fire.Server(p.url) for p in processes]
            clicks: list[tuple[Any, str, str, int]] = []
            for number in range(self.requests):
                bids = self.bid(servers[number % len(servers)], number)
                self.sent["bids"] += len(bids)
                other = servers[(number + 1) % len(servers)]
                clicked = False
                for one, country in bids:
                    if self.draw.random() < 0.1:
                        continue  # never rendered
                    for name, macro in (("nurl", "win"), ("burl", "billed")):
                        if name in one and number % 50 == 0:
                            self.event(other, one[name].replace(EVENTS, ""), (204, "noticed"))
                    pixel = re.search(re.escape(EVENTS) + r'(/events/impression\?[^"]+)', one["adm"])
                    link = re.search(re.escape(EVENTS) + r'(/events/click\?[^"]+)', one["adm"])
                    self.event(other, pixel[1], (204, "recorded"))
                    self.sent["impressions"] += 1
                    if not clicked and self.draw.randrange(1000) < CLICKS[f"{one['w']}x{one['h']}", country]:
                        clicked = True
                        clicks.append((other, link[1].replace("&amp;", "&"), one["adid"], number))
                    elif number % 40 == 0:
                        self.late.append((link[1].replace("&amp;", "&"), one["adid"]))
                if number % 20 == 0:
                    self.event(other, f"/events/impression?i={self.draw.getrandbits(128):032x}", (403, "forged"))
                    self.sent["forged"] += 1
            time.sleep(0.3)  # sooner than 200 ms after the impression is no user's click
            for k, (server, path, ad, number) in enumerate(clicks):
                if k % 25 == 7:
                    self.event(server, path, (302, "recorded"), "Examplebot/2.1")
                    self.sent["robots"] += 1
                elif k % 25 == 9:
                    self.event(server, path, (302, "recorded"), **{"sec-purpose": "prefetch"})
                    self.sent["prefetched"] += 1
                else:
                    self.event(server, path, (302, "recorded"))
                    self.sent["clicks"] += 1
                    if k % 10 == 3:
                        self.event(server, path, (302, "repeated"))
                        self.sent["repeated"] += 1
                    if k % 5 == 0:
                        impression = re.search("i=([0-9a-f]{32})", path)[1]
                        order = {"advertiser": ad.split("-")[0], "order": f"order-{number}", "i": impression, "value": "20.00", "cur": "EUR"}
                        status, back, _ = server.send("POST", "/events/conversion", json.dumps(order).encode(), {"content-type": "application/json"})
                        self.show.check((status, back.get("x-adclick-event")) == (204, "recorded"), f"a conversion: {status} {back}")
                        self.sent["conversions"] += 1
            for server in servers:
                server.close()
        finally:
            for process in processes:
                self.show.check(process.end() == 0, f"{process.name}: exit code is not 0\n{''.join(process.errors)}")
        print(f"loop: {', '.join(p.name for p in processes)} made {self.sent['bids']} bids and were told of {self.sent['impressions']} impressions, "
              f"{self.sent['clicks']} clicks, {self.sent['conversions']} conversions")

    def join(self) -> dict[str, Any]:
        """Joins what is new in the log; what the whole output accounts for."""
        return adclick("join", "--logs", self.path("log"), "--out", self.path("joined"), *(f"--feature={f}" for f in FEATURES))

    def account(self) -> None:
        """What was logged and joined is what was sent, to the record."""
        sent = self.sent
        streams = {one["stream"]: one for one in adclick("log", "inspect", self.path("log"))["streams"]}
        for name, one in streams.items():
            # On a busy machine the log's thread may be late for a slate. None is lost without its number.
            bound = sent["bids"] // 10 if name == "slates" else 0
            self.show.check(one["segments"] == len(self.commands) and not one["open"] and one["missing"] <= one["told_lost"] <= bound,
                            f"loop: the log of {name}: {one}")
        clicked = sum(sent[n] for n in ("clicks", "robots", "prefetched", "repeated"))
        events = sent["impressions"] + sent["forged"] + clicked + sent["conversions"]
        records = {name: one["records"] + one["told_lost"] for name, one in streams.items()}
        self.show.check(records == {"decisions": sent["bids"], "slates": sent["bids"], "events": events}, f"loop: logged {records}, sent {sent}")
        done = self.join()
        expected = {"decision.rendered": sent["impressions"], "decision.not_rendered": sent["bids"] - sent["impressions"],
                    "impression.row": sent["impressions"], "impression.forged": sent["forged"], "slate.joined": streams["slates"]["records"],
                    "click.first": sent["clicks"] + sent["robots"], "click.conflicting": sent["repeated"], "click.invalid": sent["prefetched"],
                    "conversion.click": sent["conversions"], "rule.robot": sent["robots"], "rule.prefetch": sent["prefetched"]}
        self.show.check(done["summary"]["fates"] == expected and done["summary"]["rows"] == sent["impressions"],
                        f"loop: joined {done['summary']}, expected {expected}")
        adclick("aggregate", "--joined", self.path("joined"), "--out", self.path("tables"), "--as-of", str(int(time.time()) + 7200), "--examples")

    def train(self) -> None:
        # With the features that were known before a row's hour: the tables themselves know what came of these very impressions.
        rows = [os.path.join(at, name) for at, _, names in os.walk(self.path("tables/examples")) for name in sorted(names)]
        adclick("train", "--data", *rows, "--format", "examples", "--schema", os.path.join(HERE, "loop.toml"), "--publish",
                          *(f"--table={t}={self.path('tables')}/{t}.parquet" for t in ("users", "ads")), "--out", self.path("bundles/b"))

    def renew(self) -> None:
        """The servers on the old bundle: late clicks, then a new model, published while they bid."""
        processes = self.fleet()
        answers: list[list[tuple[int, str, dict[tuple[str, str], float]]]] = [[] for _ in processes]
        stop = threading.Event()

        def bid_on(process: Any, to: list[tuple[int, str, dict[tuple[str, str], float]]], number: int) -> None:
            server, draw = fire.Server(process.url), random.Random(number)
            while not stop.is_set():
                country = draw.choice(["USA", "DEU"])
                body = shots.request(id=f"renew-{number}-{len(to)}", ext={}, user={"id": f"u{draw.randrange(2000, 3000)}"},
                                     imp=[{"id": str(k), "banner": {"w": w, "h": h}} for k, (w, h) in enumerate(SIZES)],
                                     device={"devicetype": 2, "os": "Windows", "geo": {"country": country}})
                status, _, answer, _ = server.bid(json.dumps(body).encode())
                held = json.loads(answer or b"{}")
                pctr = {(f"{b['w']}x{b['h']}", country): b["ext"]["adclick"]["pctr"] for b in held["seatbid"][0]["bid"]} if status == 200 else {}
                to.append((status, held["ext"]["adclick"]["generation"] if status == 200 else "", pctr))
                time.sleep(0.005)
            server.close()

        try:
            before = {p.generation() for p in processes}
            servers = [fire.Server(p.url) for p in processes]
            for k, (path, _) in enumerate(self.late):
                self.event(servers[k % len(servers)], path, (302, "recorded"))
            threads = [threading.Thread(target=bid_on, args=(p, answers[k], k), daemon=True) for k, p in enumerate(processes)]
            for thread in threads:
                thread.start()
            self.train()
            limit = time.monotonic() + 60
            while any(p.generation() in before for p in processes) and time.monotonic() < limit:
                time.sleep(0.1)
            time.sleep(0.5)
            stop.set()
            for thread in threads:
                thread.join(60)
            after = {p.generation() for p in processes}
        finally:
            stop.set()
            for process in processes:
                self.show.check(process.end() == 0, f"{process.name}: exit code is not 0\n{''.join(process.errors)}")
        self.show.check(len(before) == len(after) == 1 and not before & after, f"loop: generations {before}, then {after}")
        for process, got in zip(processes, answers):
            lost = [one for one in got if one[0] != 200]
            seen = {one[1] for one in got}
            self.show.check(not lost and seen == before | after, f"loop: {process.name}: {len(lost)} of {len(got)} requests lost ({lost[:3]}), generations {seen}")
            told: dict[tuple[str, str], list[float]] = {}
            for _, generation, pctr in got:
                for cell, p in pctr.items() if generation in after else ():
                    told.setdefault(cell, []).append(p)
            mean = {cell: sum(all_) / len(all_) for cell, all_ in told.items()}
            wide, box, small = (mean.get((f"{w}x{h}", "USA"), 0.0) for w, h in SIZES)
            self.show.check(0.1 < wide < 0.6 and wide > box > small > 0, f"loop: {process.name}: pCTR {mean}, true {CLICKS}")
            print(f"loop: {process.name} answered {len(got)} requests while it went to the new model: pCTR in the USA "
                  f"{wide:.3f}, {box:.3f}, {small:.3f} (true: 0.300, 0.080, 0.020)")

    def run(self) -> None:
        run(sys.executable, os.path.join(HERE, "weights.py"), self.path("weights.safetensors"))
        run(ADCLICK, "pack", "--weights", self.path("weights.safetensors"), "--schema", os.path.join(HERE, "schema.toml"),
            *(f"--table={t}={os.path.join(HERE, t)}.csv" for t in ("users", "user_advertiser", "ads")), "--as-of", AS_OF,
            "--out", self.path("bundles/a"), "--publish")
        begin = time.monotonic()
        self.serve()
        self.account()
        self.renew()
        fates = self.join()["summary"]["fates"]
        first = self.sent["clicks"] + self.sent["robots"] + len(self.late)
        self.show.check(fates["click.first"] == first, f"loop: with the late clicks {fates}, expected {first} first clicks")
        print(f"loop: logged, joined, counted, trained, published, followed in {time.monotonic() - begin:.0f} s")


def main() -> None:
    from servers import Process, Show

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SERVERS))
    parser.add_argument("--requests", type=int, default=900)
    options = parser.parse_args()
    show = Show()
    Loop(show, Process, {key: SERVERS[key][1]() for key in options.only.split(",")}, options.requests).run()
    sys.exit(1 if show.faults else 0)


if __name__ == "__main__":
    main()
