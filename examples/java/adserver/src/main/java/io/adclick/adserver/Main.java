package io.adclick.adserver;

import io.adclick.AdclickException;
import io.adclick.Engine;
import io.adclick.EngineOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

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
          + "                [--drain-ms N] [--head-ms N] [--body-ms N] [--connections N]";
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
      Campaigns all = Campaigns.load(with.campaigns());
      // A directory with CURRENT is followed; a bundle itself cannot be.
      boolean follow = Files.exists(with.bundles().resolve("CURRENT"));
      Engine engine = Engine.open(with.bundles(), new EngineOptions().followMillis(follow ? FOLLOW_MILLIS : 0));
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
}
