package io.adclick.adserver;

import io.adclick.AdclickException;
import io.adclick.Engine;
import io.adclick.EngineOptions;
import io.adclick.LogOptions;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HexFormat;

/**
 * An ad server: OpenRTB bid requests in, bid responses out, decided in this process.
 *
 * <pre>java -jar adserver.jar --bundles DIR --campaigns FILE</pre>
 *
 * and the flags of MAPPING.md.
 */
final class Main {
  private static final String USAGE =
      "usage: adserver --bundles DIR --campaigns FILE [--listen HOST:PORT] [--threads N] [--margin-ms N]\n"
          + "                [--drain-ms N] [--head-ms N] [--body-ms N] [--connections N] [--forwarded N]\n"
          + "                [--events-url URL] [--log DIR --log-key-file FILE [--log-slates SHARE]]";
  private static final int FOLLOW_MILLIS = 1000;

  private Main() {}

  public static void main(String[] args) {
    Settings with;
    try {
      with = Settings.parse(args);
    } catch (IllegalArgumentException e) {
      System.err.println(USAGE);
      System.exit(2);
      return;
    }
    try {
      Campaigns all = Campaigns.load(with.campaigns(), with.loop().eventsUrl() + "/events");
      // A directory with CURRENT is followed; a bundle itself cannot be.
      boolean follow = Files.exists(with.bundles().resolve("CURRENT"));
      EngineOptions options = new EngineOptions().followMillis(follow ? FOLLOW_MILLIS : 0);
      if (with.loop().keyFile() != null) {
        readKey(with.loop().keyFile(), options);
      }
      Engine engine = Engine.open(with.bundles(), options);
      if (with.loop().log() != null) {
        // Of a slate its winners alone, with the values that the model saw: rows to train on.
        engine.openLog(with.loop().log(), new LogOptions().slateShare(with.loop().slates()).slateCandidates(-1));
      }
      WarmUp.run(with, all);
      Server server = new Server(with, engine, all);
      int port = server.start();
      // On SIGTERM and SIGINT. A Java program that ends by a signal would exit with 128 and its number.
      Runtime.getRuntime().addShutdownHook(new Thread(() -> {
        server.drain();
        server.stop();
        engine.close();
        Runtime.getRuntime().halt(0);
      }));
      System.out.println("listening on http://" + with.host() + ":" + port);
      System.out.flush();
    } catch (Campaigns.Refused | AdclickException | IOException e) {
      System.err.println("adserver: " + e.getMessage());
      System.exit(1);
    }
  }

  /** The key of impression ids: 32 hex digits, and a line's end at most. */
  private static void readKey(Path file, EngineOptions into) throws IOException {
    String text;
    try {
      text = Files.readString(file, StandardCharsets.ISO_8859_1).replaceAll("[\r\n]+$", "");
    } catch (NoSuchFileException e) {
      throw new IOException(file + ": cannot be read", e);
    }
    if (!text.matches("[0-9a-fA-F]{32}") || text.matches("0*")) {
      throw new IOException(file + ": expected a key of 32 hex digits that are not all 0");
    }
    into.impressionKeyHigh(HexFormat.fromHexDigitsToLong(text, 0, 16)).impressionKey(HexFormat.fromHexDigitsToLong(text, 16, 32));
  }
}
