package io.adclick.adserver;

import io.adclick.AdclickException;
import io.adclick.Engine;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.timeout.ReadTimeoutHandler;
import io.netty.util.concurrent.EventExecutor;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;

/** Threads, connections, and what the server tells of itself. */
final class Server {
  private static final int IDLE_SECONDS = 60;
  private static final long GRACE_MILLIS = 5000;
  /** A connection that waits for a request when the server stops may just have been sent one. */
  private static final long LAST_LOOK_MILLIS = 100;

  private static final int MAX_LINE = 8192;
  private static final int MAX_HEADERS = 16_384;
  /** How often slow connections are looked for. */
  private static final long LOOK_MILLIS = 100;
  private static final int CHUNK = 16_384;

  final LongAdder bids = new LongAdder();
  final LongAdder noBids = new LongAdder();
  final LongAdder invalid = new LongAdder();

  final Events events;

  private final Settings with;
  private final Engine engine;
  private final Campaigns all;
  private final EventLoopGroup acceptors = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
  private final EventLoopGroup workers;
  /** One for each thread of the workers. */
  private final Map<EventExecutor, Bidder> bidders = new IdentityHashMap<>();

  /** Connections, those that are about to be closed among them. */
  private final AtomicInteger open = new AtomicInteger();

  private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
  private Channel listening;
  private volatile boolean draining;
  private volatile boolean stopping;

  Server(Settings with, Engine engine, Campaigns all) {
    this.with = with;
    this.engine = engine;
    this.all = all;
    events = new Events(engine, all);
    workers = new MultiThreadIoEventLoopGroup(with.threads(), NioIoHandler.newFactory());
    Bidder.Inputs inputs = new Bidder.Inputs(engine);
    for (EventExecutor worker : workers) {
      bidders.put(worker, new Bidder(engine, all, inputs, 1000 * with.marginMillis()));
    }
  }

  /** Begins to listen; returns the port. */
  int start() throws IOException {
    ServerBootstrap bootstrap =
        new ServerBootstrap()
            .group(acceptors, workers)
            .channel(NioServerSocketChannel.class)
            .option(ChannelOption.SO_BACKLOG, 1024)
            .childOption(ChannelOption.TCP_NODELAY, true)
            .childHandler(
                new ChannelInitializer<SocketChannel>() {
                  @Override
                  protected void initChannel(SocketChannel channel) {
                    channel.closeFuture().addListener(closed -> open.decrementAndGet());
                    if (open.incrementAndGet() > with.limits().connections()) {
                      channel.close();
                      return;
                    }
                    Connection connection = new Connection(Server.this, bidders.get(channel.eventLoop()), channel);
                    HttpDecoderConfig limits =
                        new HttpDecoderConfig()
                            .setMaxInitialLineLength(MAX_LINE)
                            .setMaxHeaderSize(MAX_HEADERS)
                            .setMaxChunkSize(CHUNK);
                    channel
                        .pipeline()
                        .addLast(new ReadTimeoutHandler(IDLE_SECONDS))
                        .addLast(connection.clock())
                        .addLast(new HttpServerCodec(limits))
                        .addLast(connection);
                  }
                });
    var bound = bootstrap.bind(new InetSocketAddress(with.host(), with.port())).awaitUninterruptibly();
    if (!bound.isSuccess()) {
      throw new IOException("cannot listen on " + with.host() + ":" + with.port() + ": " + bound.cause().getMessage());
    }
    listening = bound.channel();
    acceptors.scheduleAtFixedRate(
        () -> connections.forEach(Connection::closeWhenSlow), LOOK_MILLIS, LOOK_MILLIS, TimeUnit.MILLISECONDS);
    return ((InetSocketAddress) listening.localAddress()).getPort();
  }

  /** Accepts nothing more, answers what is in flight, and ends; what is left after the grace time is cut off. */
  void stop() {
    stopping = true;
    if (listening != null) {
      listening.close().awaitUninterruptibly();
    }
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(GRACE_MILLIS);
    connections.forEach(connection -> connection.closeWhenIdle(LAST_LOOK_MILLIS));
    while (!connections.isEmpty() && System.nanoTime() < end) {
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        break;
      }
    }
    acceptors.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    // Closes what is left.
    workers.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
    bidders.values().forEach(Bidder::close);
  }

  /** Says that it is about to end, and serves on for so long that whoever sends requests sees it. */
  void drain() {
    draining = true;
    try {
      Thread.sleep(with.limits().drainMillis());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  Settings.Limits limits() {
    return with.limits();
  }

  int forwarded() {
    return with.loop().forwarded();
  }

  boolean draining() {
    return draining;
  }

  boolean stopping() {
    return stopping;
  }

  void opened(Connection connection) {
    connections.add(connection);
  }

  void closed(Connection connection) {
    connections.remove(connection);
  }

  byte[] health() {
    String generation = Response.hex(engine.generation());
    Optional<AdclickException> error = engine.followError();
    List<Object> told = new ArrayList<>(List.of("status", "ok", "generation", generation, "ads", (long) all.ads.size()));
    error.ifPresent(why -> told.addAll(List.of("follow_error", why.getMessage())));
    if (with.loop().log() != null) {
      engine.logError().ifPresent(why -> told.addAll(List.of("log_error", why.getMessage())));
    }
    return Response.object(told.toArray());
  }

  byte[] metrics() {
    byte[] core = engine.metrics();
    String own =
        "# HELP adserver_responses_total Answers to bid requests.\n# TYPE adserver_responses_total counter\n"
            + "adserver_responses_total{result=\"bid\"} " + bids.sum() + "\n"
            + "adserver_responses_total{result=\"no_bid\"} " + noBids.sum() + "\n"
            + "adserver_responses_total{result=\"invalid\"} " + invalid.sum() + "\n"
            + "# HELP adserver_events_total Events and notices that were sent.\n# TYPE adserver_events_total counter\n"
            + "adserver_events_total{result=\"recorded\"} " + events.recorded.sum() + "\n"
            + "adserver_events_total{result=\"flagged\"} " + events.flagged.sum() + "\n"
            + "adserver_events_total{result=\"noticed\"} " + events.noticed.sum() + "\n"
            + "adserver_events_total{result=\"invalid\"} " + events.invalid.sum() + "\n";
    byte[] tail = own.getBytes(StandardCharsets.UTF_8);
    byte[] all = Arrays.copyOf(core, core.length + tail.length);
    System.arraycopy(tail, 0, all, core.length, tail.length);
    return all;
  }
}
