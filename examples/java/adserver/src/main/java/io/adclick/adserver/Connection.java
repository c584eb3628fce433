package io.adclick.adserver;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufInputStream;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.timeout.ReadTimeoutException;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.zip.GZIPInputStream;

/** A connection and its requests, one after the other. All of it runs on the connection's thread. */
final class Connection extends ChannelInboundHandlerAdapter {
  private static final int MAX_BODY = 262_144;
  private static final long MAX_DROPPED = 16L << 20;
  private static final String EVENTS = "/events/";

  private final Server server;
  private final Bidder bidder;
  private final Channel channel;

  private HttpRequest request;
  private ByteBuf body;
  private long received;
  private boolean tooLarge;
  /** Bytes of a request are there, and it is not answered yet. */
  private boolean busy;
  /** The last answer was given; what still comes is not looked at. */
  private boolean over;

  private long arrived;
  /** {@link System#nanoTime} by which the head or the body of a request must be there; 0 while none is on its way. */
  private volatile long due;

  Connection(Server server, Bidder bidder, Channel channel) {
    this.server = server;
    this.bidder = bidder;
    this.channel = channel;
  }

  /** Stands before the HTTP codec and notes when a request's first bytes came. */
  ChannelHandler clock() {
    return new ChannelInboundHandlerAdapter() {
      @Override
      public void channelRead(ChannelHandlerContext context, Object bytes) {
        if (!busy) {
          busy = true;
          arrived = System.nanoTime();
          expect(server.limits().headMillis());
        }
        context.fireChannelRead(bytes);
      }
    };
  }

  private void expect(long millis) {
    long at = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
    due = at == 0 ? 1 : at;
  }

  /** Closes it if a request takes too long, however often some bytes of it come. Called on another thread. */
  void closeWhenSlow() {
    long by = due;
    if (by != 0 && System.nanoTime() - by > 0) {
      channel.close();
    }
  }

  /** Closes it if no request comes within so much time; one that is under way is answered before. */
  void closeWhenIdle(long millis) {
    channel.eventLoop().schedule(() -> busy ? null : channel.close(), millis, TimeUnit.MILLISECONDS);
  }

  @Override
  public void channelActive(ChannelHandlerContext context) {
    server.opened(this);
    if (server.stopping()) {
      context.close();
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    drop();
    server.closed(this);
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    try {
      if (over) {
        return;
      }
      if (message instanceof HttpRequest head) {
        begin(context, head);
      }
      if (message instanceof HttpContent content && !over) {
        more(context, content);
      }
    } finally {
      ReferenceCountUtil.release(message);
    }
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext context) {
    context.flush();
  }

  /** Who does not read the answers gets no more questions in. */
  @Override
  public void channelWritabilityChanged(ChannelHandlerContext context) {
    context.channel().config().setAutoRead(context.channel().isWritable());
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    if (!(cause instanceof IOException) && !(cause instanceof ReadTimeoutException)) {
      System.err.println("adserver: a connection ended: " + cause);
    }
    context.close();
  }

  private void begin(ChannelHandlerContext context, HttpRequest head) {
    request = head;
    received = 0;
    tooLarge = false;
    busy = true;
    boolean noHost =
        head.protocolVersion().compareTo(HttpVersion.HTTP_1_1) >= 0 && head.headers().getAll(HttpHeaderNames.HOST).size() != 1;
    if (head.decoderResult().isFailure() || noHost) {
      refuse(context);
      return;
    }
    expect(server.limits().bodyMillis());
    if (HttpUtil.getContentLength(head, 0L) > MAX_DROPPED) {
      tooLarge = true;
      end(context);
    } else if (HttpUtil.is100ContinueExpected(head)) {
      context.writeAndFlush(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE, Unpooled.EMPTY_BUFFER));
    }
  }

  private void more(ChannelHandlerContext context, HttpContent content) {
    if (content.decoderResult().isFailure()) {
      refuse(context);
      return;
    }
    ByteBuf bytes = content.content();
    received += bytes.readableBytes();
    tooLarge |= received > MAX_BODY;
    if (tooLarge) {
      drop();
    } else if (bytes.isReadable()) {
      if (body == null) {
        body = context.alloc().buffer(Math.max(bytes.readableBytes(), 256), MAX_BODY);
      }
      body.writeBytes(bytes);
    }
    if (content instanceof LastHttpContent || received > MAX_DROPPED) {
      if (!(content instanceof LastHttpContent)) {
        over = true;
      }
      end(context);
    }
  }

  /** No HTTP. */
  private void refuse(ChannelHandlerContext context) {
    write(context, empty(HttpResponseStatus.BAD_REQUEST), false);
  }

  private void end(ChannelHandlerContext context) {
    boolean keep = HttpUtil.isKeepAlive(request) && !tooLarge && !server.stopping();
    write(context, respond(), keep);
  }

  private void write(ChannelHandlerContext context, FullHttpResponse response, boolean keep) {
    drop();
    request = null;
    busy = false;
    due = 0;
    HttpUtil.setKeepAlive(response, keep);
    var written = context.write(response);
    if (!keep) {
      over = true;
      context.flush();
      written.addListener(ChannelFutureListener.CLOSE);
    }
  }

  private void drop() {
    if (body != null) {
      body.release();
      body = null;
    }
  }

  private FullHttpResponse respond() {
    String target = request.uri();
    int query = target.indexOf('?');
    String path = query < 0 ? target : target.substring(0, query);
    List<HttpMethod> allowed =
        switch (path) {
          case "/openrtb2/auction" -> List.of(HttpMethod.POST);
          case "/healthz", "/metrics" -> List.of(HttpMethod.GET, HttpMethod.HEAD);
          default -> isEvent(path) ? List.of(HttpMethod.GET, HttpMethod.POST) : List.of();
        };
    if (allowed.isEmpty()) {
      return empty(HttpResponseStatus.NOT_FOUND);
    }
    if (!allowed.contains(request.method())) {
      FullHttpResponse response = empty(HttpResponseStatus.METHOD_NOT_ALLOWED);
      response.headers().set(HttpHeaderNames.ALLOW, String.join(", ", allowed.stream().map(HttpMethod::name).toList()));
      return response;
    }
    return switch (path) {
      case "/healthz" -> health();
      case "/metrics" -> full(HttpResponseStatus.OK, "text/plain; version=0.0.4", server.metrics());
      case "/openrtb2/auction" -> bid();
      default -> event(path.substring(EVENTS.length()), query < 0 ? "" : target.substring(query + 1));
    };
  }

  private static boolean isEvent(String path) {
    return path.startsWith(EVENTS) && Events.knows(path.substring(EVENTS.length()));
  }

  private FullHttpResponse event(String name, String query) {
    HttpHeaders headers = request.headers();
    boolean posted = request.method().equals(HttpMethod.POST);
    String encoding = headers.get(HttpHeaderNames.CONTENT_ENCODING, "");
    if (posted && !encoding.isEmpty() && !HttpHeaderValues.IDENTITY.contentEqualsIgnoreCase(encoding)) {
      return empty(HttpResponseStatus.UNSUPPORTED_MEDIA_TYPE);
    }
    byte[] sent = new byte[!posted || body == null ? 0 : body.readableBytes()];
    if (posted && body != null) {
      body.getBytes(body.readerIndex(), sent);
    }
    // A body that was dropped is too long for an event, too.
    Events.Told told =
        server.events.take(name, query, posted && tooLarge ? new byte[Events.MAX_BODY + 1] : sent, client(headers));
    HttpResponseStatus status = HttpResponseStatus.valueOf(told.status());
    FullHttpResponse response = told.body().length > 0 ? full(status, "application/json", told.body()) : empty(status);
    if (told.status() == 204) {
      response.headers().remove(HttpHeaderNames.CONTENT_LENGTH);
    }
    if (told.location() != null) {
      response.headers().set(HttpHeaderNames.LOCATION, told.location());
    }
    if (!told.fate().isEmpty()) {
      response.headers().set("x-adclick-event", told.fate());
    }
    response.headers().set(HttpHeaderNames.CACHE_CONTROL, "no-store");
    return response;
  }

  private Events.Client client(HttpHeaders headers) {
    String address =
        server.forwarded() > 0
            ? Events.hop(headers.getAll("x-forwarded-for"), server.forwarded())
            : channel.remoteAddress() instanceof InetSocketAddress peer ? peer.getAddress().getHostAddress() : "";
    String purpose =
        String.join(" ", headers.get("sec-purpose", ""), headers.get("purpose", ""), headers.get("x-purpose", ""), headers.get("x-moz", ""));
    boolean refuses = "1".equals(headers.get("dnt")) || "1".equals(headers.get("sec-gpc"));
    return new Events.Client(address, headers.get(HttpHeaderNames.USER_AGENT, ""), purpose, refuses);
  }

  private FullHttpResponse health() {
    if (server.draining()) {
      return full(HttpResponseStatus.SERVICE_UNAVAILABLE, "application/json", "{\"status\":\"stopping\"}".getBytes(StandardCharsets.US_ASCII));
    }
    return full(HttpResponseStatus.OK, "application/json", server.health());
  }

  private FullHttpResponse bid() {
    String encoding = request.headers().get(HttpHeaderNames.CONTENT_ENCODING);
    boolean packed =
        HttpHeaderValues.GZIP.contentEqualsIgnoreCase(encoding) || HttpHeaderValues.X_GZIP.contentEqualsIgnoreCase(encoding);
    if (!packed && encoding != null && !encoding.isEmpty() && !HttpHeaderValues.IDENTITY.contentEqualsIgnoreCase(encoding)) {
      FullHttpResponse response = empty(HttpResponseStatus.UNSUPPORTED_MEDIA_TYPE);
      response.headers().set(HttpHeaderNames.ACCEPT_ENCODING, HttpHeaderValues.GZIP);
      return response;
    }
    Answer answer = answer(packed);
    switch (answer.status()) {
      case 204 -> {
        server.noBids.increment();
        FullHttpResponse response = empty(HttpResponseStatus.NO_CONTENT);
        response.headers().setInt("x-adclick-nbr", answer.noBid());
        return response;
      }
      case 200 -> server.bids.increment();
      default -> server.invalid.increment();
    }
    return full(HttpResponseStatus.valueOf(answer.status()), "application/json", answer.body());
  }

  private Answer answer(boolean packed) {
    if (tooLarge) {
      return Answer.invalid(new Invalid("too_large", ""));
    }
    ByteBuf sent = body == null ? Unpooled.EMPTY_BUFFER : body;
    if (!packed) {
      return bidder.answer(sent.nioBuffer(), arrived);
    }
    try (InputStream content = new GZIPInputStream(new ByteBufInputStream(sent))) {
      byte[] unpacked = content.readNBytes(MAX_BODY + 1);
      return unpacked.length > MAX_BODY
          ? Answer.invalid(new Invalid("too_large", ""))
          : bidder.answer(ByteBuffer.wrap(unpacked), arrived);
    } catch (IOException e) {
      return Answer.invalid(new Invalid("encoding", ""));
    }
  }

  private static FullHttpResponse empty(HttpResponseStatus status) {
    FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, Unpooled.EMPTY_BUFFER);
    response.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, 0);
    return response;
  }

  private static FullHttpResponse full(HttpResponseStatus status, String type, byte[] body) {
    FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, Unpooled.wrappedBuffer(body));
    response.headers().set(HttpHeaderNames.CONTENT_TYPE, type).setInt(HttpHeaderNames.CONTENT_LENGTH, body.length);
    return response;
  }
}
