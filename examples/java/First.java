// A first decision in Java: opens the bundle of examples/tables, fills a request, and prints who wins at what price.
//
//   make java ids                        builds the jars and packs the bundle
//   java -cp 'bindings/java/target/*' examples/java/First.java build/bundles

import io.adclick.Adclick;
import io.adclick.BidKind;
import io.adclick.Candidates;
import io.adclick.Check;
import io.adclick.Columns;
import io.adclick.Engine;
import io.adclick.Outcome;
import io.adclick.Reasons;
import io.adclick.Request;
import io.adclick.Scorer;
import io.adclick.Upsert;
import io.adclick.Winner;
import io.adclick.Winners;
import java.nio.file.Path;
import java.util.List;

final class First {
  record Ad(String id, String advertiser, long bidMicros) {}

  private static final List<Ad> ADS =
      List.of(new Ad("a1", "acme", 500_000), new Ad("a2", "globex", 450_000), new Ad("a3", "initech", 40_000));

  public static void main(String[] args) {
    // Once, at start: the engine, shared by all threads, and the handles of what requests carry.
    try (Engine engine = Engine.open(Path.of(args[0]))) {
      int device = engine.feature("device_type");
      int placement = engine.feature("placement");
      int depth = engine.feature("session_depth");

      // Once for each thread: a scorer, and the memory of requests and results. They are used again and again.
      try (Scorer scorer = engine.newScorer(1000)) {
        Request request = new Request(16);
        Candidates candidates = new Candidates(1000, 0);
        Winners winners = new Winners(5);
        Reasons reasons = new Reasons(1000);

        // For each request: who asks, when, where; and which ads could be shown. What is known of them is in the tables.
        request.clear().requestId(42).userKey(Adclick.hash("u1001")).timeMicros(System.currentTimeMillis() * 1000).slots(2);
        request.id(device, Adclick.hash("mobile")).id(placement, Adclick.hash("story")).number(depth, 4);
        candidates.clear();
        for (Ad ad : ADS) {
          candidates
              .add(Adclick.hash(ad.id))
              .advertiserKey(Adclick.hash(ad.advertiser))
              .bid(BidKind.CPC, ad.bidMicros)
              .reserveMicros(50_000);
        }
        // Once, at start: does the live model read what this program passes? Scoring itself only counts what it has no use for.
        Check found = engine.check(request, candidates);
        System.err.print(found.text());
        if (found.errors() > 0) {
          System.exit(1);
        }

        Outcome outcome = scorer.decide(request, candidates, winners, reasons);

        System.out.printf("generation %016x, kernel %s%n", outcome.generation(), engine.kernel());
        for (int i = 0; i < winners.size(); i++) {
          Winner winner = winners.get(i);
          System.out.printf(
              "slot %d: ad %s, pCTR %.6f, pays %.6f for a click%n",
              winner.slot(), ADS.get(winner.candidate()).id, winner.pctr(), winner.priceMicros() / 1e6);
        }
        for (int i = 0; i < reasons.size(); i++) {
          System.out.printf("ad %s: %s%n", ADS.get(i).id, reasons.get(i).label());
        }

        // What happens between bundles is written on top of the tables, off the serving threads: the user clicked.
        int users = engine.table("users");
        Upsert click = new Upsert(1, 1);
        engine.upsert(
            click.clear(users, Upsert.Mode.INCREMENT).row(request.userKey()).number(engine.column(users, "clicks_7d"), 1));
        scorer.decide(request, candidates, winners);
        System.out.printf("after a click: pCTR %.6f%n", winners.get(0).pctr());

        // What this server knows of all its candidates travels in columns: handles once, then a row for each candidate. Here it is the
        // click rate of the last hour. Nothing is known of the third ad: a number is NaN, and missing, until it is set.
        Columns rates = new Columns(1000, new int[0], new int[] {engine.feature("ad_ctr_7d")});
        rates.number(0, 0, 0.02f).number(1, 0, 0.06f);
        scorer.decide(request, candidates.columns(rates), winners);
        System.out.printf("with the last hour's rates: ad %s wins%n", ADS.get(winners.get(0).candidate()).id);
      }
    }
  }
}
