#include "server.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "bidder.hpp"
#include "events.hpp"
#include "gzip.hpp"
#include "json.hpp"
#include "response.hpp"

namespace adserver {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using std::chrono::seconds;

constexpr std::size_t max_body = 262'144;
constexpr std::uint64_t max_dropped = 16 * 1024 * 1024;
constexpr std::uint32_t max_head = 16'384;
constexpr seconds idle{60};
constexpr seconds grace{5};

struct counters {
  std::atomic<std::uint64_t> bid{0};
  std::atomic<std::uint64_t> no_bid{0};
  std::atomic<std::uint64_t> invalid{0};
  std::atomic<std::uint64_t> events_recorded{0};
  std::atomic<std::uint64_t> events_flagged{0};
  std::atomic<std::uint64_t> events_noticed{0};
  std::atomic<std::uint64_t> events_invalid{0};
};

// What the connections of all threads share.
struct house {
  const adclick::engine &engine;
  const settings &with;
  desk bidding;
  event_desk happening;
  counters answered{};
  std::atomic<unsigned> connections{0};
  std::atomic<bool> draining{false};
  std::atomic<bool> stopping{false};
};

using response = http::response<http::string_body>;

response plain(unsigned version, http::status status) {
  response out{status, version};
  out.content_length(0);
  return out;
}

response with_body(unsigned version, http::status status, std::string_view type, std::string_view body) {
  response out{status, version};
  out.set(http::field::content_type, beast::string_view(type.data(), type.size()));
  out.body().assign(body);
  out.content_length(body.size());
  return out;
}

// A thread, its connections, its bidder.
class worker {
 public:
  explicit worker(house &shared)
      : shared_(&shared), context_(1), guard_(asio::make_work_guard(context_)), bidder_(shared.bidding) {}

  void start() {
    thread_ = std::thread([this] { context_.run(); });
  }
  void join() { thread_.join(); }

  asio::io_context &context() { return context_; }

  void take(tcp::socket socket) {
    shared_->connections.fetch_add(1, std::memory_order_relaxed);  // on the thread that looks at the limit
    asio::co_spawn(context_, converse(beast::tcp_stream(std::move(socket))), asio::detached);
  }

  // Connections that wait for a request end now, the others after their answer.
  void stop() {
    asio::post(context_, [this] {
      guard_.reset();
      for (connection *one : connections_) {
        error_code ignored;
        if (one->waiting && one->stream.socket().available(ignored) == 0) {
          one->stream.cancel();
        }
      }
    });
  }
  // What is left goes.
  void abandon() {
    asio::post(context_, [this] {
      for (connection *one : connections_) {
        one->stream.close();
      }
    });
  }

 private:
  struct connection {
    beast::tcp_stream stream;
    std::string body = {};
    bool waiting = true;
  };

  asio::awaitable<void> converse(beast::tcp_stream opened) {
    connection here{std::move(opened)};
    connections_.insert(&here);
    error_code failed;
    here.stream.socket().set_option(tcp::no_delay(true), failed);
    try {
      beast::flat_buffer buffer;
      while (co_await converse_once(here, buffer)) {
      }
      here.stream.socket().shutdown(tcp::socket::shutdown_send, failed);
    } catch (const std::exception &why) {
      // Out of memory, say: this connection ends, the others go on.
      std::fprintf(stderr, "adserver: a connection ended: %s\n", why.what());
    }
    connections_.erase(&here);
    shared_->connections.fetch_sub(1, std::memory_order_relaxed);
  }

  // One request and its answer; whether the connection goes on.
  asio::awaitable<bool> converse_once(connection &here, beast::flat_buffer &buffer) {
    error_code failed;
    const auto token = [&failed] { return asio::redirect_error(asio::use_awaitable, failed); };
    here.stream.expires_after(idle);
    if (buffer.size() == 0) {
      if (shared_->stopping && here.stream.socket().available(failed) == 0) {
        co_return false;
      }
      here.waiting = true;
      const std::size_t n = co_await here.stream.async_read_some(buffer.prepare(4096), token());
      here.waiting = false;
      if (failed) {
        co_return false;
      }
      buffer.commit(n);
    }
    const auto arrived = bidder::clock::now();
    // For all that follows, however many reads it takes: who sends byte by byte is cut off, too.
    here.stream.expires_after(std::chrono::milliseconds(shared_->with.head_ms));

    http::request_parser<http::buffer_body> parser;
    parser.header_limit(max_head);
    parser.body_limit(max_dropped);
    co_await http::async_read_header(here.stream, buffer, parser, token());
    bool too_large = failed == http::error::body_limit;
    bool read_on = !failed;
    if (failed && !too_large) {
      if (failed == http::error::end_of_stream || failed.category() != error_code(http::error::bad_method).category()) {
        co_return false;  // it went away
      }
      // No HTTP.
      response refusal = plain(11, http::status::bad_request);
      co_return co_await write(here, std::move(refusal), false);
    }
    if (read_on && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on{http::status::continue_, parser.get().version()};
      co_await http::async_write(here.stream, go_on, token());
    }
    if (read_on && parser.get().version() >= 11 && parser.get().count(http::field::host) != 1) {
      co_return co_await write(here, plain(11, http::status::bad_request), false);
    }
    here.stream.expires_after(std::chrono::milliseconds(shared_->with.body_ms));
    here.body.clear();
    while (read_on && !parser.is_done()) {
      std::array<char, 16384> chunk;
      parser.get().body() = {chunk.data(), chunk.size(), true};
      co_await http::async_read_some(here.stream, buffer, parser, token());
      if (failed == http::error::need_buffer) {
        failed = {};
      }
      if (failed == http::error::body_limit) {
        too_large = true;
        break;
      }
      if (failed) {
        co_return false;
      }
      const std::size_t got = chunk.size() - parser.get().body().size;
      if (!too_large && here.body.size() + got > max_body) {
        too_large = true;
      }
      if (!too_large) {
        here.body.append(chunk.data(), got);
      }
    }
    const bool keep = parser.get().keep_alive() && !too_large && !shared_->stopping;
    response out = respond(parser.get(), here, too_large, arrived);
    co_return co_await write(here, std::move(out), keep, parser.get().method() == http::verb::head);
  }

  asio::awaitable<bool> write(connection &here, response out, bool keep, bool head_only = false) {
    error_code failed;
    const auto token = [&failed] { return asio::redirect_error(asio::use_awaitable, failed); };
    out.keep_alive(keep);
    here.stream.expires_after(idle);
    if (head_only) {
      http::response_serializer<http::string_body> head(out);
      co_await http::async_write_header(here.stream, head, token());
    } else {
      co_await http::async_write(here.stream, out, token());
    }
    co_return keep && !failed;
  }

  response respond(const http::request<http::buffer_body> &request, const connection &from, bool too_large,
                   bidder::clock::time_point arrived) {
    const std::string_view target(request.target().data(), request.target().size());
    const std::string_view path = target.substr(0, target.find('?'));
    constexpr std::string_view events = "/events/";
    if (path.starts_with(events) && event_desk::knows(path.substr(events.size()))) {
      return take_event(request, target, from, too_large);
    }
    const bool auction = path == "/openrtb2/auction";
    const bool health = path == "/healthz";
    const bool metrics = path == "/metrics";
    const unsigned version = request.version();
    if (!auction && !health && !metrics) {
      return plain(version, http::status::not_found);
    }
    const bool looks = request.method() == http::verb::get || request.method() == http::verb::head;
    if (auction ? request.method() != http::verb::post : !looks) {
      response out = plain(version, http::status::method_not_allowed);
      out.set(http::field::allow, auction ? "POST" : "GET, HEAD");
      return out;
    }
    return auction ? bid(request, from.body, too_large, arrived) : health ? tell_health(version) : tell_metrics(version);
  }

  // `target` is /events/NAME, and a query.
  response take_event(const http::request<http::buffer_body> &request, std::string_view target, const connection &from,
                      bool too_large) {
    const bool posted = request.method() == http::verb::post;
    if (!posted && request.method() != http::verb::get) {
      response out = plain(request.version(), http::status::method_not_allowed);
      out.set(http::field::allow, "GET, POST");
      return out;
    }
    const auto header = [&](beast::string_view name) {
      const beast::string_view held = request[name];
      return std::string_view(held.data(), held.size());
    };
    const std::string_view encoding = header("content-encoding");
    if (posted && !encoding.empty() && !beast::iequals(encoding, "identity")) {
      return plain(request.version(), http::status::unsupported_media_type);
    }
    const std::string address = address_of(request, from);
    const std::string purpose =
        std::string(header("sec-purpose")) + ' ' + std::string(header("purpose")) + ' ' + std::string(header("x-purpose")) + ' ' + std::string(header("x-moz"));
    const client who{address, header("user-agent"), purpose, header("dnt") == "1" || header("sec-gpc") == "1"};
    const std::size_t name = std::string_view("/events/").size();
    const std::size_t mark = std::min(target.find('?'), target.size());
    const std::string_view query = mark < target.size() ? target.substr(mark + 1) : std::string_view();
    // A body that was dropped is too long for an event, too.
    const std::string_view body = !posted ? std::string_view() : too_large ? std::string_view(too_long_) : std::string_view(from.body);
    const event_answer made = shared_->happening.take(target.substr(name, mark - name), query, body, who);
    counters &n = shared_->answered;
    auto &counter = made.fate == "recorded" ? n.events_recorded
                    : made.fate == "noticed" ? n.events_noticed
                    : made.fate.empty()      ? n.events_invalid
                                             : n.events_flagged;
    counter.fetch_add(1, std::memory_order_relaxed);
    response out = made.body.empty() ? response{static_cast<http::status>(made.status), request.version()}
                                     : with_body(request.version(), static_cast<http::status>(made.status), "application/json", made.body);
    if (made.status == 302) {
      out.content_length(0);
      out.set(http::field::location, beast::string_view(made.location.data(), made.location.size()));
    }
    if (!made.fate.empty()) {
      out.set("x-adclick-event", beast::string_view(made.fate.data(), made.fate.size()));
    }
    out.set(http::field::cache_control, "no-store");
    return out;
  }

  // The client's address; that of the last proxy which is believed, when there are some. Empty: not known.
  [[nodiscard]] std::string address_of(const http::request<http::buffer_body> &request, const connection &from) const {
    if (shared_->with.forwarded == 0) {
      error_code failed;
      const tcp::endpoint peer = from.stream.socket().remote_endpoint(failed);
      return failed ? std::string() : peer.address().to_string();
    }
    std::vector<std::string> hops;
    const auto range = request.equal_range("x-forwarded-for");
    for (auto one = range.first; one != range.second; ++one) {
      for (std::string_view rest(one->value().data(), one->value().size());;) {
        std::string_view hop = rest.substr(0, rest.find(','));
        hop.remove_prefix(std::min(hop.find_first_not_of(" \t"), hop.size()));
        hops.emplace_back(hop.substr(0, hop.find_last_not_of(" \t") + 1));
        if (rest.find(',') == rest.npos) {
          break;
        }
        rest.remove_prefix(rest.find(',') + 1);
      }
    }
    return hops.size() < shared_->with.forwarded ? std::string() : hops[hops.size() - shared_->with.forwarded];
  }

  response bid(const http::request<http::buffer_body> &request, std::string_view body, bool too_large,
               bidder::clock::time_point arrived) {
    const beast::string_view encoding = request[http::field::content_encoding];
    const bool packed = beast::iequals(encoding, "gzip") || beast::iequals(encoding, "x-gzip");
    if (!packed && !encoding.empty() && !beast::iequals(encoding, "identity")) {
      response out = plain(request.version(), http::status::unsupported_media_type);
      out.set(http::field::accept_encoding, "gzip");
      return out;
    }
    const inflated read = packed && !too_large ? gunzip(body, max_body, unpacked_) : inflated::done;
    too_large = too_large || read == inflated::too_large;
    const answer made = too_large                   ? bidder_.refuse({"too_large", ""})
                        : read == inflated::broken ? bidder_.refuse({"encoding", ""})
                                                   : bidder_.answer_request(packed ? unpacked_ : body, arrived);
    if (made.status == 204) {
      shared_->answered.no_bid.fetch_add(1, std::memory_order_relaxed);
      response out{http::status::no_content, request.version()};
      out.set("x-adclick-nbr", std::to_string(static_cast<int>(made.why)));
      return out;
    }
    auto &counter = made.status == 200 ? shared_->answered.bid : shared_->answered.invalid;
    counter.fetch_add(1, std::memory_order_relaxed);
    return with_body(request.version(), made.status == 200 ? http::status::ok : http::status::bad_request,
                     "application/json", made.body);
  }

  response tell_health(unsigned version) {
    if (shared_->draining) {
      return with_body(version, http::status::service_unavailable, "application/json", R"({"status":"stopping"})");
    }
    std::string body = R"({"status":"ok","generation":")" + hex(shared_->engine.try_generation().value()) +
                       "\",\"ads\":" + std::to_string(shared_->bidding.all.ads.size());
    if (const auto followed = shared_->engine.follow_error(); !followed) {
      body += ",\"follow_error\":";
      json::append_quoted(body, followed.message());
    }
    if (!shared_->with.log.empty()) {
      if (const auto written = shared_->engine.log_error(); !written) {
        body += ",\"log_error\":";
        json::append_quoted(body, written.message());
      }
    }
    return with_body(version, http::status::ok, "application/json", body + "}");
  }

  response tell_metrics(unsigned version) {
    const counters &n = shared_->answered;
    std::string body = shared_->engine.metrics();
    body += "# HELP adserver_responses_total Answers to bid requests.\n# TYPE adserver_responses_total counter\n";
    body += "adserver_responses_total{result=\"bid\"} " + std::to_string(n.bid) + "\n";
    body += "adserver_responses_total{result=\"no_bid\"} " + std::to_string(n.no_bid) + "\n";
    body += "adserver_responses_total{result=\"invalid\"} " + std::to_string(n.invalid) + "\n";
    body += "# HELP adserver_events_total Events and notices that were sent.\n# TYPE adserver_events_total counter\n";
    body += "adserver_events_total{result=\"recorded\"} " + std::to_string(n.events_recorded) + "\n";
    body += "adserver_events_total{result=\"flagged\"} " + std::to_string(n.events_flagged) + "\n";
    body += "adserver_events_total{result=\"noticed\"} " + std::to_string(n.events_noticed) + "\n";
    body += "adserver_events_total{result=\"invalid\"} " + std::to_string(n.events_invalid) + "\n";
    return with_body(version, http::status::ok, "text/plain; version=0.0.4", body);
  }

  house *shared_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  bidder bidder_;
  std::string unpacked_;
  const std::string too_long_ = std::string(8192, ' ');
  std::set<connection *> connections_;
  std::thread thread_;
};

// Hands new connections to the workers in turn until the acceptor is closed.
asio::awaitable<void> accept(tcp::acceptor &acceptor, std::vector<std::unique_ptr<worker>> &workers, const house &shared) {
  for (std::size_t next = 0;; next = (next + 1) % workers.size()) {
    error_code failed;
    tcp::socket socket(workers[next]->context());
    co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, failed));
    if (!acceptor.is_open()) {
      co_return;
    }
    if (failed) {
      // No more file descriptors, say: wait for some connections to end.
      asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    if (shared.connections < shared.with.connections) {
      workers[next]->take(std::move(socket));
    }  // else it is closed
  }
}

// What asks the server to end.
sigset_t signals() {
  sigset_t asked;
  sigemptyset(&asked);
  sigaddset(&asked, SIGINT);
  sigaddset(&asked, SIGTERM);
  return asked;
}

}  // namespace

void hold_signals() {
  const sigset_t asked = signals();
  pthread_sigmask(SIG_BLOCK, &asked, nullptr);
}

void serve(const settings &with, adclick::engine &engine, const campaigns &all) {
  std::random_device random;
  const std::uint64_t process = static_cast<std::uint64_t>(random()) << 32 | random();
  house shared{engine, with, desk{engine, all, inputs(engine), 1000 * with.margin_ms, process},
               event_desk(engine, all)};
  const unsigned n = with.threads != 0 ? with.threads : std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::unique_ptr<worker>> workers;
  for (unsigned i = 0; i < n; ++i) {
    workers.push_back(std::make_unique<worker>(shared));
  }

  asio::io_context context(1);
  tcp::resolver resolver(context);
  const tcp::endpoint place = *resolver.resolve(with.host, with.port).begin();
  tcp::acceptor acceptor(context, place);
  for (const auto &one : workers) {
    one->start();
  }
  asio::co_spawn(context, accept(acceptor, workers, shared), asio::detached);
  std::printf("listening on http://%s:%u\n", with.host.c_str(), acceptor.local_endpoint().port());
  std::fflush(stdout);
  std::thread accepting([&] { context.run(); });
  const sigset_t asked = signals();
  int which = 0;
  sigwait(&asked, &which);
  shared.draining = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(with.drain_ms));
  asio::post(context, [&] {
    shared.stopping = true;
    acceptor.close();
  });
  accepting.join();

  // Stopping: the workers end when their connections have; after the grace time these are cut off.
  for (const auto &one : workers) {
    one->stop();
  }
  asio::steady_timer limit(context, grace);
  limit.async_wait([&](const error_code &failed) {
    for (const auto &one : workers) {
      if (!failed) {
        one->abandon();
      }
    }
  });
  context.restart();
  std::thread waiting([&] { context.run(); });
  for (const auto &one : workers) {
    one->join();
  }
  asio::post(context, [&] { limit.cancel(); });
  waiting.join();
}

}  // namespace adserver
