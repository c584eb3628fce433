/**
 * libadclick in Java: click prediction, calibration and the ad auction inside the ad server's own process.
 *
 * <pre>{@code
 * try (Engine engine = Engine.open(Path.of("bundles"));         // shared by all threads
 *     Scorer scorer = engine.newScorer(1000)) {                 // one for each thread
 *   int device = engine.feature("device_type");                 // once, at start
 *   Request request = new Request(16);                          // these are made once and used again and again
 *   Candidates candidates = new Candidates(1000, 4000);
 *   Winners winners = new Winners(5);
 *
 *   request.clear().requestId(42).timeMicros(now).slots(2).id(device, Adclick.hash("mobile"));
 *   candidates.clear().add(Adclick.hash("a1")).advertiserKey(Adclick.hash("acme")).bid(BidKind.CPC, 500_000);
 *   Outcome outcome = scorer.decide(request, candidates, winners);
 *   for (int i = 0; i < winners.size(); i++) {
 *     serve(winners.get(i).candidate(), winners.get(i).priceMicros());
 *   }
 * }
 * }</pre>
 *
 * <h2>Memory</h2>
 * What goes into a request and comes out of it lies in direct buffers in the C structs' own layout. They are made once, with
 * their capacity, and reused: {@link io.adclick.Scorer#decide} and its sisters are one native call each and allocate
 * nothing, neither here nor in the library. Such objects have no {@code close}: their memory goes when they are unreachable.
 *
 * <h2>Threads</h2>
 * An {@link io.adclick.Engine} may be used by all threads at any time. Everything else belongs to one caller at a time
 * and may move between threads. Two threads that call one {@link io.adclick.Scorer} at once are noticed: the second gets an
 * {@link java.lang.IllegalStateException}. The buffers have no such check: a program that fills one on two threads, or
 * during a call, gets garbage, but no access outside of it.
 *
 * <h2>Failures</h2>
 * {@link io.adclick.AdclickException} has the library's status and a sentence. Something closed gives an
 * {@link java.lang.IllegalStateException}; a full buffer an {@link java.lang.IndexOutOfBoundsException}. A failed call
 * leaves its outputs as they were, and everything can be used again.
 *
 * <h2>Unsigned numbers</h2>
 * Keys, ids and generations are 64 unsigned bits in a {@code long}: print them with
 * {@link java.lang.Long#toHexString(long)} or {@link java.lang.Long#toUnsignedString(long)}.
 */
package io.adclick;
