package io.adclick;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/**
 * Answers the requests of tests/parity as its README says. What goes in goes through the setters and what comes out through
 * the getters, so that each of them counts.
 *
 * <pre>java io.adclick.Parity BUNDLE requests.bin outputs.bin</pre>
 */
final class Parity {
  private static final int MAX_CANDIDATES = 200;
  private static final BidKind[] KINDS = {BidKind.CPM, BidKind.CPC, BidKind.CPA, BidKind.OCPM};

  private final ByteBuffer in;
  private ByteBuffer out = little(1 << 20);
  private final Scorer scorer;
  private final int[] handles;
  private Candidates candidates = new Candidates(0, 0);
  private Request request = new Request(0);

  public static void main(String[] args) throws IOException {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(Path.of(args[1]))).order(ByteOrder.LITTLE_ENDIAN);
    try (Engine engine = Engine.open(Path.of(args[0]));
        Scorer scorer = engine.newScorer(MAX_CANDIDATES);
        FileChannel to =
            FileChannel.open(
                Path.of(args[2]), StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
      byte[] magic = new byte[8];
      in.get(magic);
      if (!Arrays.equals(magic, "ADCLKRQ2".getBytes(StandardCharsets.US_ASCII))) {
        throw new IOException(args[1] + " has no requests in it");
      }
      int count = in.getInt();
      in.getInt();
      int[] handles = new int[in.getInt()];
      for (int i = 0; i < handles.length; i++) {
        byte[] name = new byte[in.getInt()];
        in.get(name);
        handles[i] = engine.feature(new String(name, StandardCharsets.UTF_8));
      }
      Parity parity = new Parity(in, scorer, handles);
      parity.out.put("ADCLKOU1".getBytes(StandardCharsets.US_ASCII)).putInt(count).putInt(0);
      for (int i = 0; i < count; i++) {
        parity.answer();
        parity.flush(to);
      }
      if (in.hasRemaining()) {
        throw new IOException(in.remaining() + " bytes after the last request");
      }
    }
  }

  private Parity(ByteBuffer in, Scorer scorer, int[] handles) {
    this.in = in;
    this.scorer = scorer;
    this.handles = handles;
  }

  private void flush(FileChannel to) throws IOException {
    out.flip();
    while (out.hasRemaining()) {
      to.write(out);
    }
    out.clear();
  }

  private void answer() throws IOException {
    read();
    int n = candidates.size();
    Winners winners = new Winners(Math.min(Math.max(request.slots(), 1), n));
    Reasons reasons = new Reasons(n);
    Outcome outcome;
    try {
      outcome = scorer.decide(request, candidates, winners, reasons);
    } catch (AdclickException e) {
      out.putInt(e.code()).putInt(0);
      return;
    }
    room(64 + winners.size() * 120 + n * 12);
    out.putInt(0).putInt(0);
    out.putInt(56).putInt(outcome.winners()).putInt(outcome.scored()).putInt(outcome.cut());
    out.putInt(outcome.missing()).putInt(outcome.precision().code()).putLong(outcome.generation());
    out.putInt(outcome.wrongSide()).putInt(outcome.exploration().code());
    out.putDouble(outcome.propensity()).putLong(outcome.givenUpMicros());
    for (int i = 0; i < winners.size(); i++) {
      Winner winner = winners.get(i);
      out.putInt(winner.candidate()).putInt(winner.slot()).putFloat(winner.pctr()).putFloat(winner.pcvr());
      out.putLong(winner.ecpmMicros()).putLong(winner.priceMicros()).putInt(winner.priceBound().code());
      out.putInt(winner.runnerUp()).putDouble(winner.propensity());
      require((winner.impressionId() | winner.impressionIdHigh()) != 0, "an impression id");
      out.putLong(0).putLong(0); // no two decisions share an id
      out.putDouble(winner.score()).putLong(winner.bidMicros()).putLong(winner.reserveMicros());
      out.putDouble(winner.marginalPropensity()).putInt(winner.reserveSource().code()).putInt(winner.reserveRule());
      out.putInt(winner.rank()).putInt(winner.tier()).putInt(winner.flags()).putInt(0);
    }
    for (int i = 0; i < n; i++) {
      out.putInt(reasons.code(i));
    }
    Predictions predictions = new Predictions(n);
    scorer.score(request, candidates, predictions);
    for (int i = 0; i < n; i++) {
      out.putFloat(predictions.pctr(i));
    }
    for (int i = 0; i < n; i++) {
      out.putFloat(predictions.pcvr(i));
    }
  }

  private void read() throws IOException {
    require(in.getInt() == 96, "a struct_size of 96");
    require(in.getInt() == 0, "no flags");
    long requestId = in.getLong();
    long userKey = in.getLong();
    long timeMicros = in.getLong();
    int utcOffset = in.getInt();
    int nValues = in.getInt();
    int nCandidates = in.getInt();
    int nCandidateValues = in.getInt();
    int slots = in.getInt();
    int placement = in.getInt();
    int deadline = in.getInt();
    require(in.getInt() == 0, "0 in what is reserved");
    require(in.getLong() == 0, "no sizes");
    long session = in.getLong();
    long floor = in.getLong();
    int device = in.getInt();
    Exploration exploration = Exploration.values()[in.getInt()];
    if (nValues > request.valueCapacity()) {
      request = new Request(nValues);
    }
    request.clear().requestId(requestId).userKey(userKey).timeMicros(timeMicros).utcOffsetSeconds(utcOffset);
    request.slots(slots).placement(placement).deadlineMicros(deadline).sessionId(session);
    request.floorCpmMicros(floor).device(device).exploration(exploration);
    for (int i = 0; i < nValues; i++) {
      int handle = handles[in.getInt()];
      float number = in.getFloat();
      request.weighted(handle, in.getLong(), number);
    }
    if (nCandidates > candidates.capacity() || nCandidateValues > candidates.valueCapacity()) {
      candidates = new Candidates(nCandidates, nCandidateValues);
    }
    candidates.clear();
    for (int i = 0; i < nCandidates; i++) {
      Candidate candidate = candidates.add(in.getLong()).advertiserKey(in.getLong());
      long bid = in.getLong();
      candidate.reserveMicros(in.getLong());
      int kind = in.getInt();
      candidate.bid(kind >= 0 && kind < KINDS.length ? KINDS[kind] : BidKind.UNKNOWN, bid);
      candidate.valueRange(in.getInt(), in.getInt()).modifier(in.getFloat()).quality(in.getFloat());
      candidate.flags(in.getInt()).campaignKey(in.getLong()).creativeKey(in.getLong()).categoryKey(in.getLong());
      candidate.labelKey(in.getLong()).tierKey(in.getLong()).valueMicros(in.getLong()).targetReturnPpm(in.getInt());
      candidate.adjustPpm(in.getInt()).withheldPpm(in.getInt()).throttlePpm(in.getInt()).slotMask(in.getInt());
      candidate.impressions(in.getInt());
    }
    for (int i = 0; i < nCandidateValues; i++) {
      int handle = handles[in.getInt()];
      float number = in.getFloat();
      candidates.values.add(handle, number, in.getLong());
    }
    candidates.columns(columns(nCandidates));
  }

  private Columns columns(int nCandidates) throws IOException {
    require(in.getInt() == 24, "columns of 24 bytes");
    boolean hasMissing = in.getInt() != 0;
    int nIds = in.getInt();
    int nNumbers = in.getInt();
    long missing = in.getLong();
    int[] idFeatures = features(nIds);
    long[] ids = new long[nCandidates * nIds];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = in.getLong();
    }
    int[] numberFeatures = features(nNumbers);
    if (nIds + nNumbers == 0) {
      return null;
    }
    Columns columns = new Columns(nCandidates, idFeatures, numberFeatures);
    if (hasMissing) {
      columns.missingId(missing);
    }
    for (int i = 0; i < ids.length; i++) {
      columns.id(i / nIds, i % nIds, ids[i]);
    }
    for (int i = 0; i < nCandidates * nNumbers; i++) {
      columns.number(i / nNumbers, i % nNumbers, in.getFloat());
    }
    return columns;
  }

  private int[] features(int n) {
    int[] features = new int[n];
    for (int i = 0; i < n; i++) {
      features[i] = handles[in.getInt()];
    }
    return features;
  }

  private static void require(boolean is, String what) throws IOException {
    if (!is) {
      throw new IOException("a request without " + what + ": it cannot be said in Java");
    }
  }

  private void room(int bytes) {
    if (out.remaining() < bytes) {
      out = little(out.position() + bytes).put(out.flip());
    }
  }

  private static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
