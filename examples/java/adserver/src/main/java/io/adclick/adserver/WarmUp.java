package io.adclick.adserver;

import io.adclick.Engine;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * Answers made-up requests before the first real one, so that the virtual machine has loaded and compiled the way that they
 * take. On an engine of its own: nothing of it shows in the metrics.
 */
final class WarmUp {
  private static final long NANOS = 1_000_000_000L;
  private static final int ROUNDS = 500;
  private static final int TIMEOUT_MILLIS = 10_000;
  private static final int ADS = 32;
  private static final String NATIVE =
      "{\\\"assets\\\":[{\\\"id\\\":1,\\\"title\\\":{}},{\\\"id\\\":2,\\\"img\\\":{\\\"type\\\":3}},{\\\"id\\\":3,\\\"data\\\":{\\\"type\\\":1}}]}";

  private WarmUp() {}

  /** Over HTTP to a server of its own on loopback, since most that is to be loaded is there. */
  static void run(Settings with, Campaigns all) {
    String host = InetAddress.getLoopbackAddress().getHostAddress();
    Settings own = new Settings(host, 0, with.bundles(), with.campaigns(), 1, 0, Settings.Limits.USUAL, Settings.Loop.NONE);
    byte[] requests = requests(all);
    try (Engine engine = Engine.open(with.bundles())) {
      Server server = new Server(own, engine, all);
      try {
        int port = server.start();
        long begin = System.nanoTime();
        for (int i = 0; i < ROUNDS && System.nanoTime() - begin < NANOS; i++) {
          try (Socket socket = new Socket(host, port)) {
            socket.setSoTimeout(TIMEOUT_MILLIS);
            socket.getOutputStream().write(requests);
            socket.getInputStream().transferTo(OutputStream.nullOutputStream());
          }
        }
      } catch (IOException e) {
        System.err.println("adserver: the warm-up ended early: " + e.getMessage());
      } finally {
        server.stop();
      }
    }
  }

  /** One for each of some ads, one after the other; the last one ends the connection. */
  private static byte[] requests(Campaigns all) {
    StringBuilder text = new StringBuilder();
    for (Ad ad : all.ads.subList(0, Math.min(ADS, all.ads.size()))) {
      String body = body(ad);
      text.append("POST /openrtb2/auction HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ");
      text.append(body.length()).append("\r\n\r\n").append(body);
    }
    text.append("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    return text.toString().getBytes(StandardCharsets.US_ASCII);
  }

  /** A request that the ad fits, as far as its size goes. */
  private static String body(Ad ad) {
    String place =
        switch (ad.shape) {
          case BANNER -> "\"banner\":{\"format\":[{\"w\":" + ad.w + ",\"h\":" + ad.h + "}]}";
          case VIDEO -> "\"video\":{\"minduration\":1}";
          case NATIVE -> "\"native\":{\"request\":\"" + NATIVE + "\"}";
        };
    return "{\"id\":\"warm-up\",\"at\":1,\"tmax\":1000,\"imp\":[{\"id\":\"1\",\"bidfloor\":0.01," + place + "}],"
        + "\"site\":{\"domain\":\"warm-up.example\",\"cat\":[\"IAB1\"]},\"device\":{\"devicetype\":2,\"os\":\"Linux\","
        + "\"geo\":{\"country\":\"USA\",\"utcoffset\":-300}},\"user\":{\"id\":\"warm-up\"},\"bcat\":[\"IAB25\"],"
        + "\"badv\":[\"blocked.example\"]}";
  }
}
