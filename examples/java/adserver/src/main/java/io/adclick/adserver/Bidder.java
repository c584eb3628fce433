package io.adclick.adserver;

import io.adclick.Adclick;
import io.adclick.AdclickException;
import io.adclick.Candidates;
import io.adclick.Engine;
import io.adclick.Outcome;
import io.adclick.PriceBound;
import io.adclick.Request;
import io.adclick.Scorer;
import io.adclick.Winner;
import io.adclick.Winners;
import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;

/** One thread's bidder: a bid request's text in, an answer out (../../../../../../../../openrtb/MAPPING.md, sections 4 to 7). */
final class Bidder implements AutoCloseable {
  private static final int MAX_CONTENT = 8;
  /** Inputs of a request besides the content's. */
  private static final int OTHER_VALUES = 6;

  private static final long MAX_DEADLINE = 0xFFFF_FFFFL;
  private static final List<String> USD = List.of("USD");

  /** No two processes and no two requests have the same number of a delivery. */
  private static final long PROCESS = new SecureRandom().nextLong();

  private static final AtomicLong DELIVERIES = new AtomicLong();

  /** The handles of the model's inputs, asked for once. */
  record Inputs(int deviceType, int connection, int os, int country, int inventory, int content, int floor, int format) {
    Inputs(Engine engine) {
      this(
          engine.feature("device_type"), engine.feature("connection"), engine.feature("os"), engine.feature("country"),
          engine.feature("inventory"), engine.feature("content"), engine.feature("floor"), engine.feature("format"));
    }
  }

  private final Campaigns all;
  private final Inputs inputs;
  private final long marginMicros;
  private final Scorer scorer;
  private final Request call = new Request(MAX_CONTENT + OTHER_VALUES);
  private final Candidates candidates;
  private final Winners winners = new Winners(1);
  /** The ads that the candidates are. */
  private final int[] candidateAds;

  // What belongs to the request that is answered.
  private final BitSet won = new BitSet();
  /** Winners of pods, in order. */
  private final List<String> pods = new ArrayList<>();

  private final List<Ad> podAds = new ArrayList<>();
  private final BitSet blockedCategories = new BitSet();
  private final BitSet blockedAdvertisers = new BitSet();
  private boolean userKnown;
  private boolean refused;
  /** 0 for a replay. */
  private long delivery;

  Bidder(Engine engine, Campaigns all, Inputs inputs, long marginMicros) {
    this.all = all;
    this.inputs = inputs;
    this.marginMicros = marginMicros;
    int n = all.ads.size();
    scorer = engine.newScorer(n);
    candidates = new Candidates(n, n);
    candidateAds = new int[n];
  }

  @Override
  public void close() {
    scorer.close();
  }

  /**
   * Answers a request.
   *
   * @param body its JSON text
   * @param arrived {@link System#nanoTime} of its first byte
   */
  Answer answer(ByteBuffer body, long arrived) {
    try {
      return answer(BidRequest.read(body), arrived);
    } catch (Invalid e) {
      return Answer.invalid(e);
    } catch (RuntimeException e) {
      // A mistake of ours is no reason for the exchange to see a 500.
      System.err.println("adserver: a request failed:");
      e.printStackTrace();
      return Answer.noBid(Answer.TECHNICAL);
    }
  }

  private Answer answer(BidRequest request, long arrived) {
    int notOurs = notOurs(request);
    if (notOurs != 0) {
      return Answer.noBid(notOurs);
    }
    String currency = currency(request);
    if (currency == null) {
      return Answer.noBid(Answer.UNKNOWN_CURRENCY);
    }
    block(request);
    long timeMicros = request.timeMicros >= 0 ? request.timeMicros : ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    // A test that says its time is a replay: with the same ids as before.
    delivery = request.timeMicros >= 0 ? 0 : Adclick.key(PROCESS, DELIVERIES.incrementAndGet());
    refused = request.limited || !Consent.permits(request.regs, request.person, all.vendor);
    userKnown = !refused && !request.user.isEmpty();
    Response response = new Response();
    response.user = refused ? "refused" : userKnown ? "known" : "none";
    int first = 0;
    for (int i = 0; i < request.imps.size(); i++) {
      int why = decide(request, request.imps.get(i), timeMicros, arrived, all.rate(currency), response);
      first = i == 0 ? why : first;
    }
    if (response.bids.isEmpty()) {
      return Answer.noBid(first);
    }
    return new Answer(200, 0, response.write(request, all, currency, Adclick.hash(request.id)));
  }

  /** Why nothing that we have may be bid on the request; 0 when something may. */
  private int notOurs(BidRequest request) {
    if (request.outOfHome) {
      return Answer.OUT_OF_HOME;
    }
    if ((!request.wseat.isEmpty() && !request.wseat.contains(all.seat)) || request.bseat.contains(all.seat)) {
      return Answer.OTHER_SEAT;
    }
    boolean categories = !request.acat.isEmpty() || request.bcat.stream().anyMatch(one -> !one.isEmpty());
    return categories && request.cattax != all.cattax ? Answer.OTHER_TAXONOMY : 0;
  }

  /** Whether a category is one of them, or under one. */
  private static boolean isUnder(String category, List<String> above) {
    for (String by : above) {
      if (!by.isEmpty() && category.startsWith(by) && (category.length() == by.length() || category.charAt(by.length()) == '-')) {
        return true;
      }
    }
    return false;
  }

  /** The response's currency; null when none that is accepted is known. */
  private String currency(BidRequest request) {
    for (String code : request.cur.isEmpty() ? USD : request.cur) {
      String known = Ascii.upper(code);
      if (all.rate(known) != 0) {
        return known;
      }
    }
    return null;
  }

  private void block(BidRequest request) {
    won.clear();
    pods.clear();
    podAds.clear();
    blockedCategories.clear();
    for (int i = 0; i < all.categories.size(); i++) {
      String category = all.categories.get(i);
      if (isUnder(category, request.bcat) || (!request.acat.isEmpty() && !isUnder(category, request.acat))) {
        blockedCategories.set(i);
      }
    }
    blockedAdvertisers.clear();
    for (String blocked : request.badv) {
      String by = Ascii.lower(blocked);
      for (int i = 0; i < all.advertisers.size(); i++) {
        String domain = all.advertisers.get(i).domain();
        int rest = domain.length() - by.length();
        if (!by.isEmpty() && domain.endsWith(by) && (rest == 0 || domain.charAt(rest - 1) == '.')) {
          blockedAdvertisers.set(i);
        }
      }
    }
  }

  /** The deals in the request's order, then the open auction, until one leads to a bid. Adds it to the response, or tells why there is none. */
  private int decide(
      BidRequest request, BidRequest.Imp imp, long timeMicros, long arrived, long rate, Response response) {
    NativeRequest asked = imp.nativeRequest == null ? null : NativeRequest.read(imp.nativeRequest);
    int why = Answer.NO_CANDIDATE;
    for (BidRequest.Terms deal : imp.deals) {
      if (deal.seats().isEmpty() || deal.seats().contains(all.seat)) {
        why = sell(request, imp, deal, asked, timeMicros, arrived, rate, response);
        if (why == 0) {
          return 0;
        }
      }
    }
    return imp.privateAuction ? why : sell(request, imp, imp.open, asked, timeMicros, arrived, rate, response);
  }

  private int sell(
      BidRequest request, BidRequest.Imp imp, BidRequest.Terms on, NativeRequest asked, long timeMicros, long arrived, long rate,
      Response response) {
    long floorMicros = Money.floorMicros(on.floor());
    // A floor of 0 is none, whatever its currency.
    Money.Least least = new Money.Least(floorMicros, floorMicros == 0 ? Money.ONE : all.rate(on.floorCurrency()), all.minCpm);
    if (least.rate() == 0) {
      return Answer.UNKNOWN_CURRENCY;
    }
    long floor = least.inOwn();
    find(request, imp, on, asked);
    if (candidates.size() == 0) {
      return Answer.NO_CANDIDATE;
    }
    fill(request, imp, on, timeMicros, floor);
    if (request.tmax > 0) {
      long left = 1000 * request.tmax - marginMicros - (System.nanoTime() - arrived) / 1000;
      if (left <= 0) {
        return Answer.NO_TIME;
      }
      call.deadlineMicros((int) Math.min(left, MAX_DEADLINE));
    }
    Outcome outcome;
    try {
      outcome = scorer.decide(call, candidates, winners);
    } catch (AdclickException | IllegalStateException e) {
      System.err.println("adserver: the engine refused a request: " + e.getMessage());
      return Answer.TECHNICAL;
    }
    response.generation = outcome.generation();
    response.scored += outcome.scored();
    response.cut += outcome.cut();
    response.missing += outcome.missing();
    if (winners.size() == 0 || winners.get(0).ecpmMicros() < floor) {
      return Answer.UNDER_FLOOR;
    }
    Winner winner = winners.get(0);
    int index = candidateAds[winner.candidate()];
    Ad ad = all.ads.get(index);
    // 3: what the deal says is the price. Where the floor alone decided, it is the price, not rounded to what a click costs.
    boolean floorAlone = on.at() == 3 || (on.at() != 2 && winner.priceBound() == PriceBound.RESERVE);
    long needed = floorAlone ? 0 : on.at() == 2 ? winner.ecpmMicros() : Money.expectedCpm(ad.kind, winner);
    long price = least.price(winner.ecpmMicros(), needed, rate);
    if (price < 0) {
      return Answer.UNDER_FLOOR;
    }
    won.set(index);
    if (imp.video != null && !imp.video.pod().isEmpty()) {
      pods.add(imp.video.pod());
      podAds.add(ad);
    }
    response.bids.add(
        new Response.Bid(
            imp, ad, asked, price, winner.impressionIdHigh(), winner.impressionId(), winner.ecpmMicros(), winner.priceMicros(), winner.pctr(),
            winner.pcvr(), on.deal(), refused));
    return 0;
  }

  private void fill(BidRequest request, BidRequest.Imp imp, BidRequest.Terms on, long timeMicros, long floor) {
    LongStream ids = LongStream.of(Adclick.hash(request.id), Adclick.hash(imp.id));
    ids = on.deal().isEmpty() ? ids : LongStream.concat(ids, LongStream.of(Adclick.hash(on.deal())));
    ids = delivery == 0 ? ids : LongStream.concat(ids, LongStream.of(delivery));
    call.clear()
        .requestId(Adclick.key(ids.toArray()))
        .floorCpmMicros(floor)
        .placement((int) Math.max(0, imp.position))
        .device((int) Math.max(0, request.deviceType))
        .userKey(userKnown ? Adclick.hash(request.user) : 0)
        .keepNoUser(refused)
        .timeMicros(timeMicros)
        .utcOffsetSeconds((int) (60 * request.utcOffsetMinutes))
        .slots(1);
    id(inputs.deviceType, request.deviceType);
    id(inputs.connection, request.connection);
    text(inputs.os, request.os);
    text(inputs.country, request.country);
    text(inputs.inventory, request.inventory);
    for (int i = 0; i < Math.min(request.content.size(), MAX_CONTENT); i++) {
      call.id(inputs.content, Adclick.hash(request.content.get(i)));
    }
    call.number(inputs.floor, (float) (floor / 1e6));
  }

  private void id(int input, long number) {
    if (number >= 1) {
      call.id(input, number);
    }
  }

  private void text(int input, String text) {
    if (!text.isEmpty()) {
      call.id(input, Adclick.hash(text));
    }
  }

  private static boolean isSold(Ad ad, BidRequest.Terms on) {
    return on.deal().isEmpty()
        ? !ad.onlyDeals
        : ad.deals.contains(on.deal()) && (on.domains().isEmpty() || on.domains().contains(ad.advertiser.domain()));
  }

  /** Whether a winner of the same pod has of the ad what two of a pod may not share. */
  private boolean repeats(Ad ad, BidRequest.Video video) {
    for (int i = 0; !video.pod().isEmpty() && i < pods.size(); i++) {
      Ad other = podAds.get(i);
      if (pods.get(i).equals(video.pod())
          && Arrays.stream(video.dedupe()).anyMatch(rule ->
              (rule == 1 && ad.advertiser.domain().equals(other.advertiser.domain()))
                  || (rule == 2 && ad.cat.stream().anyMatch(other.cat::contains))
                  || ((rule == 3 || rule == 4) && ad.creative.equals(other.creative)))) {
        return true;
      }
    }
    return false;
  }

  private void find(BidRequest request, BidRequest.Imp imp, BidRequest.Terms on, NativeRequest asked) {
    candidates.clear();
    for (int i = 0; i < all.ads.size(); i++) {
      Ad ad = all.ads.get(i);
      if (won.get(i) || !isSold(ad, on) || !passes(ad, request, imp, asked)) {
        continue;
      }
      candidateAds[candidates.size()] = i;
      candidates
          .add(ad.key)
          .advertiserKey(ad.advertiserKey)
          .creativeKey(ad.creativeKey)
          .categoryKey(ad.categoryKey)
          .bid(ad.kind, ad.bidMicros)
          .id(inputs.format, ad.format);
    }
  }

  private boolean passes(Ad ad, BidRequest request, BidRequest.Imp imp, NativeRequest asked) {
    boolean fits =
        switch (ad.shape) {
          case BANNER -> hasSize(imp.sizes, ad) && behaves(ad, imp.bannerAttributes);
          case VIDEO -> imp.video != null && takes(imp.video, ad) && !repeats(ad, imp.video) && behaves(ad, imp.videoAttributes);
          case NATIVE -> asked != null && asked.filledBy(ad) && behaves(ad, imp.nativeAttributes);
        };
    if (!fits || blockedAdvertisers.get(ad.advertiserIndex) || (imp.secure && !ad.secure)) {
      return false;
    }
    if ((!ad.bundle.isEmpty() && request.bapp.contains(ad.bundle))
        || (ad.categories.length == 0 && !request.acat.isEmpty())
        || (!request.languages.isEmpty() && !request.languages.contains(ad.language))) {
      return false;
    }
    for (int category : ad.categories) {
      if (blockedCategories.get(category)) {
        return false;
      }
    }
    return ad.target.takes(request);
  }

  private static boolean behaves(Ad ad, long[] blocked) {
    return Arrays.stream(blocked).noneMatch(ad.attributes::contains);
  }

  private static boolean hasSize(long[] sizes, Ad ad) {
    for (int i = 0; i < sizes.length; i += 2) {
      if (sizes[i] == ad.w && sizes[i + 1] == ad.h) {
        return true;
      }
    }
    return false;
  }

  private static boolean takes(BidRequest.Video video, Ad ad) {
    return (video.mimes().isEmpty() || video.mimes().contains(ad.mime))
        && video.minSeconds() <= ad.seconds
        && (video.maxSeconds() == 0 || video.maxSeconds() >= ad.seconds)
        && (video.protocols().length == 0 || Arrays.stream(video.protocols()).anyMatch(p -> p == ad.protocol))
        && (video.linearity() == 0 || video.linearity() == ad.linearity)
        && (video.durations().length == 0 || Arrays.stream(video.durations()).anyMatch(d -> d == ad.seconds))
        && (ad.placement == null || ad.placement.contains(video.placement()))
        && (ad.plcmt == null || ad.plcmt.contains(video.plcmt()));
  }
}
