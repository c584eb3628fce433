package io.adclick.adserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
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
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The server as a process of its own, over HTTP. `make test-java` packs its bundles. */
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
    List<String> args = new ArrayList<>(List.of("--listen", "127.0.0.1:0", "--bundles", bundles.toString()));
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

  private HttpResponse<String> get(String path) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build();
    return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
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

  /** All cases of the mapping, judged by its reference, with broken and oversized requests among them. */
  @Test
  void answersAsTheMappingSays() throws Exception {
    start(BUNDLES, "--threads", "2");
    ProcessBuilder fire =
        new ProcessBuilder("python3", OPENRTB.resolve("fire.py").toString(), "http://127.0.0.1:" + port);
    Process run = fire.redirectErrorStream(true).start();
    String told = new String(run.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, run.waitFor(), told);
    System.out.print(told);
    stop();
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

  private static void publish(Path directory, String name) throws IOException {
    Files.writeString(directory.resolve("CURRENT.new"), name + "\n");
    Files.move(directory.resolve("CURRENT.new"), directory.resolve("CURRENT"), StandardCopyOption.ATOMIC_MOVE);
  }

  private static void copy(Path bundle, Path to) throws IOException {
    Files.createDirectory(to);
    try (var files = Files.list(bundle)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Files.copy(file, to.resolve(file.getFileName()));
      }
    }
  }

  @Test
  void followsTheBundleDirectory(@TempDir Path directory) throws Exception {
    copy(BUNDLES.resolve("a"), directory.resolve("a"));
    copy(BUNDLES.resolve("b"), directory.resolve("b"));
    publish(directory, "a");
    start(directory);
    String before = get("/healthz").body();
    assertTrue(before.startsWith("{\"status\":\"ok\",\"generation\":\""), before);
    publish(directory, "b");
    String after = before;
    for (int i = 0; i < 200 && after.equals(before); i++) {
      Thread.sleep(100);
      after = get("/healthz").body();
    }
    assertNotEquals(before, after);
    publish(directory, "nowhere");
    for (int i = 0; i < 200 && !after.contains("follow_error"); i++) {
      Thread.sleep(100);
      after = get("/healthz").body();
    }
    assertTrue(after.contains("\"follow_error\":\""), after);
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

  private static void assertEnds(int status, String told, String... args) throws Exception {
    Process run = command(args).start();
    String error = new String(run.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(status, run.waitFor(), error);
    assertTrue(error.contains(told), error);
    assertEquals(1, error.lines().count(), error);
  }

  @Test
  void saysWhyItCannotStart(@TempDir Path directory) throws Exception {
    String campaigns = OPENRTB.resolve("campaigns.json").toString();
    assertEnds(2, "usage: ");
    assertEnds(2, "usage: ", "--bundles", "x", "--campaigns", "y", "--threads", "0");
    assertEnds(1, "nowhere", "--bundles", "nowhere", "--campaigns", campaigns);
    assertEnds(1, "none.json: cannot be read", "--bundles", BUNDLES.toString(), "--campaigns", "none.json");
    Path bad = Files.writeString(directory.resolve("bad.json"), Files.readString(Path.of(campaigns)).replace("\"seat\"", "\"seet\""));
    assertEnds(1, "bad.json: the file: unknown member `seet`", "--bundles", BUNDLES.toString(), "--campaigns", bad.toString());
    start(BUNDLES);
    assertEnds(
        1, "cannot listen on 127.0.0.1:" + port, "--bundles", BUNDLES.toString(), "--campaigns", campaigns, "--listen",
        "127.0.0.1:" + port);
  }
}
