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
};

// Serves until SIGTERM or SIGINT. Throws std::exception when it cannot start.
void serve(const settings &with, const adclick::engine &engine, const campaigns &all);

}  // namespace adserver

#endif  // ADSERVER_SERVER_HPP
