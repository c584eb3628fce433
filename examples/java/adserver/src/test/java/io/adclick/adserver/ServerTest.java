package io.adclick.adserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * The server's connections, over HTTP to a process of its own. `make test-adserver-java` packs the bundle. What the mapping
 * asks for, all servers are asked by examples/openrtb/servers.py.
 */
@Timeout(240)
class ServerTest {
  private static final Path ROOT = Path.of("../../..").toAbsolutePath().normalize();
  private static final Path OPENRTB = ROOT.resolve("examples/openrtb");
  private static final Path BUNDLES =
      Path.of(System.getProperty("adserver.test.bundles", ROOT.resolve("build/java/openrtb") + "/bundles"));
  private static final Pattern READY = Pattern.compile("listening on http://127\\.0\\.0\\.1:([0-9]+)");
  private static final String BODY =
      "{\"id\":\"r\",\"imp\":[{\"id\":\"1\",\"banner\":{\"w\":300,\"h\":250}}],\"user\":{\"id\":\"u1001\"}}";

  private Process process;
  private int port;

  private static ProcessBuilder command(String... args) {
    List<String> all = new ArrayList<>();
    all.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    all.addAll(List.of("-Xmx128m", "-cp", System.getProperty("java.class.path"), Main.class.getName()));
    all.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(all);
    builder.environment().put("ADCLICK_KERNEL", "portable");
    return builder;
  }

  private void start(Path bundles, String... more) throws IOException {
    List<String> args = new ArrayList<>(List.of("--listen", "127.0.0.1:0", "--bundles", bundles.toString(), "--drain-ms", "0"));
    args.addAll(List.of("--campaigns", OPENRTB.resolve("campaigns.json").toString()));
    args.addAll(List.of(more));
    process = command(args.toArray(String[]::new)).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String line = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8)).readLine();
    Matcher ready = READY.matcher(String.valueOf(line));
    assertTrue(ready.matches(), line);
    port = Integer.parseInt(ready.group(1));
  }

  @AfterEach
  void end() throws Exception {
    if (process != null && process.isAlive()) {
      process.destroyForcibly().waitFor();
    }
  }

  private Socket connect() throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), port);
    socket.setSoTimeout(30_000);
    return socket;
  }

  private static void send(Socket socket, String text) throws IOException {
    socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
    socket.getOutputStream().flush();
  }

  private static String post(String body) {
    return "POST /openrtb2/auction HTTP/1.1\r\nhost: x\r\ncontent-length: " + body.length() + "\r\n\r\n" + body;
  }

  private static String readAll(Socket socket) throws IOException {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    InputStream in = socket.getInputStream();
    in.transferTo(all);
    return all.toString(StandardCharsets.UTF_8);
  }

  /** Reads one answer; returns its head. */
  private static String readHead(Socket socket) throws IOException {
    StringBuilder head = new StringBuilder();
    while (head.indexOf("\r\n\r\n") < 0) {
      int next = socket.getInputStream().read();
      assertTrue(next >= 0, "closed after: " + head);
      head.append((char) next);
    }
    Matcher length = Pattern.compile("content-length: ([0-9]+)").matcher(head);
    assertTrue(length.find(), head.toString());
    socket.getInputStream().readNBytes(Integer.parseInt(length.group(1)));
    return head.toString();
  }

  private void stop() throws Exception {
    process.destroy(); // SIGTERM
    assertTrue(process.waitFor(20, TimeUnit.SECONDS), "it does not end");
    assertEquals(0, process.exitValue());
  }

  @Test
  void requestsOfOneConnectionAreAnsweredInTheirOrder() throws Exception {
    start(BUNDLES);
    try (Socket socket = connect()) {
      StringBuilder many = new StringBuilder();
      for (int i = 0; i < 50; i++) {
        many.append(post(BODY.replace("\"r\"", "\"r" + (100 + i) + "\"")));
      }
      String last = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
      send(socket, many + last);
      String answers = readAll(socket);
      int at = 0;
      for (int i = 0; i < 50; i++) {
        at = answers.indexOf("{\"id\":\"r" + (100 + i) + "\"", at);
        assertTrue(at >= 0, "answer " + i + " is missing or out of order");
      }
      assertTrue(answers.contains("adserver_responses_total{result=\"bid\"} 50\n"), answers.substring(at));
    }
    stop();
  }

  @Test
  void whatIsInFlightIsAnsweredBeforeItEnds() throws Exception {
    start(BUNDLES);
    String whole = post(BODY);
    try (Socket half = connect();
        Socket idle = connect()) {
      // Until both are accepted.
      for (Socket socket : List.of(half, idle)) {
        send(socket, whole);
        assertTrue(readHead(socket).startsWith("HTTP/1.1 200 OK\r\n"));
      }
      send(half, whole.substring(0, 60));
      process.destroy();
      assertEquals("", readAll(idle));
      ConnectException refused = assertThrows(ConnectException.class, () -> connect().close());
      assertTrue(process.isAlive(), refused.toString());
      send(half, whole.substring(60));
      String answer = readAll(half);
      assertTrue(answer.startsWith("HTTP/1.1 200 OK\r\n"), answer);
      assertTrue(answer.contains("connection: close\r\n"), answer);
    }
    assertTrue(process.waitFor(20, TimeUnit.SECONDS));
    assertEquals(0, process.exitValue());
  }

  /** While it drains, new connections are served, and the health check says that they should go elsewhere. */
  @Test
  void itDrainsBeforeItEnds() throws Exception {
    start(BUNDLES, "--drain-ms", "3000");
    process.destroy();
    String health = "";
    while (!health.startsWith("HTTP/1.1 503 ")) {
      try (Socket socket = connect()) {
        send(socket, "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        health = readAll(socket);
      }
    }
    try (Socket socket = connect()) {
      send(socket, post(BODY));
      assertTrue(readHead(socket).startsWith("HTTP/1.1 200 OK\r\n"));
    }
    assertTrue(process.waitFor(20, TimeUnit.SECONDS));
    assertEquals(0, process.exitValue());
  }

  @Test
  void whoIsSlowIsCutOff() throws Exception {
    start(BUNDLES, "--head-ms", "500", "--body-ms", "500");
    String whole = post(BODY);
    int body = whole.indexOf("\r\n\r\n") + 4;
    for (int begin : new int[] {0, body}) {
      try (Socket socket = connect()) {
        send(socket, whole.substring(0, begin));
        socket.setSoTimeout(100);
        int k = begin;
        for (boolean open = true; open && k < whole.length(); k++) {
          try {
            send(socket, whole.substring(k, k + 1));
            open = socket.getInputStream().read() >= 0;
          } catch (SocketTimeoutException e) {
            continue;
          } catch (IOException e) {
            open = false;
          }
        }
        assertTrue(k < whole.length(), "it was not cut off");
      }
    }
    stop();
  }

  @Test
  void whoNeverFinishesIsCutOff() throws Exception {
    start(BUNDLES);
    try (Socket half = connect()) {
      send(half, post(BODY));
      readHead(half);
      send(half, post(BODY).substring(0, 60));
      stop();
    }
  }
}
