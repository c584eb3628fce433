// An ad server: OpenRTB bid requests in, bid responses out, decided in this process.
//
//   adserver --bundles DIR --campaigns FILE, and the flags of ../../openrtb/MAPPING.md

#include <adclick.hpp>

#include <charconv>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>

#include <sys/stat.h>

#include "campaigns.hpp"
#include "server.hpp"

namespace {

constexpr const char *usage =
    "usage: adserver --bundles DIR --campaigns FILE [--listen HOST:PORT] [--threads N] [--margin-ms N]\n"
    "                [--drain-ms N] [--head-ms N] [--body-ms N] [--connections N]\n";

template <class T>
bool number(std::string_view text, T least, T most, T &out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() && out >= least && out <= most;
}

bool parse(int argc, char **argv, adserver::settings &out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string_view held = argv[i + 1];
    bool taken = true;
    const auto is_number = [&](std::string_view name, auto least, auto most, auto &to) {
      return flag == name && number<std::decay_t<decltype(to)>>(held, least, most, to);
    };
    if (flag == "--bundles") {
      out.bundles = held;
    } else if (flag == "--campaigns") {
      out.campaigns = held;
    } else if (flag == "--listen") {
      const std::size_t colon = held.rfind(':');
      unsigned port = 0;
      taken = colon != std::string_view::npos && number(held.substr(colon + 1), 0U, 65535U, port);
      if (taken) {
        out.host = held.substr(0, colon);
        out.port = held.substr(colon + 1);
      }
    } else {
      taken = is_number("--threads", 1, 1024, out.threads) || is_number("--margin-ms", 0, 60'000, out.margin_ms) ||
              is_number("--drain-ms", 0, 600'000, out.drain_ms) || is_number("--head-ms", 1, 60'000, out.head_ms) ||
              is_number("--body-ms", 1, 60'000, out.body_ms) || is_number("--connections", 1, 1'000'000, out.connections);
    }
    if (!taken) {
      return false;
    }
  }
  return argc % 2 == 1 && !out.bundles.empty() && !out.campaigns.empty();
}

}  // namespace

int main(int argc, char **argv) {
  adserver::settings with;
  if (!parse(argc, argv, with)) {
    std::fputs(usage, stderr);
    return 2;
  }
  adserver::hold_signals();
  try {
    const adserver::campaigns all = adserver::load_campaigns(with.campaigns);
    // A directory with CURRENT is followed; a bundle itself cannot be.
    struct stat found {};
    const bool follow = stat((with.bundles + "/CURRENT").c_str(), &found) == 0;
    const adclick::engine engine = adclick::engine::open(with.bundles, {.follow_ms = follow ? 1000U : 0U});
    adserver::serve(with, engine, all);
  } catch (const std::exception &why) {
    std::fprintf(stderr, "adserver: %s\n", why.what());
    return 1;
  }
  return 0;
}
