// HTTP: connections on worker threads, each with a bidder of its own (../../openrtb/MAPPING.md, section 1).

#ifndef ADSERVER_SERVER_HPP
#define ADSERVER_SERVER_HPP

#include <adclick.hpp>

#include <cstdint>
#include <string>

#include "campaigns.hpp"

namespace adserver {

struct settings {
  std::string host = "127.0.0.1";
  std::string port = "8080";
  std::string bundles;
  std::string campaigns;
  unsigned threads = 0;  // 0 = the number of CPUs
  std::int64_t margin_ms = 20;
  // From the signal to the end of the listener: /healthz says 503, and bid requests are answered.
  std::int64_t drain_ms = 5000;
  // How long the head of a request may take from its first byte, and its body from then on.
  std::int64_t head_ms = 5000;
  std::int64_t body_ms = 10'000;
  unsigned connections = 4096;
  // Proxies before this server, whose x-forwarded-for is believed.
  unsigned forwarded = 0;
  std::string events_url;  // what bids lead to: without the path
  std::string log;         // a directory; empty: no log
  std::string log_key_file;
  double log_slates = 1;
};

// Keeps SIGTERM and SIGINT for `serve`. Call it before any thread starts, the library's among them: a thread without it would
// take the signal, and the process end by it. Who asks a second time then gets the same answer, too.
void hold_signals();

// Serves until SIGTERM or SIGINT and the drain period after it. Throws std::exception when it cannot start.
void serve(const settings &with, adclick::engine &engine, const campaigns &all);

}  // namespace adserver

#endif  // ADSERVER_SERVER_HPP
