// An ad server: OpenRTB bid requests in, bid responses out, decided in this process.
//
//   adserver --bundles DIR --campaigns FILE, and the flags of ../../openrtb/MAPPING.md

#include <adclick.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <sys/stat.h>

#include "campaigns.hpp"
#include "server.hpp"

namespace {

constexpr const char *usage =
    "usage: adserver --bundles DIR --campaigns FILE [--listen HOST:PORT] [--threads N] [--margin-ms N]\n"
    "                [--drain-ms N] [--head-ms N] [--body-ms N] [--connections N] [--forwarded N]\n"
    "                [--events-url URL] [--log DIR --log-key-file FILE [--log-slates SHARE]]\n";

template <class T>
bool number(std::string_view text, T least, T most, T &out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() && out >= least && out <= most;
}

// An http or https URL to which a path is added: no query, no slash at its end.
bool is_base(std::string_view url) {
  const std::size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : url.size();
  constexpr std::string_view others = ".:[]-_~/";
  return url.size() > scheme && url.back() != '/' && url[scheme] != '/' &&
         std::all_of(url.begin() + static_cast<std::ptrdiff_t>(scheme), url.end(), [&](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || others.find(c) != others.npos;
         });
}

// A share from 0 to 1, such as 0.25.
bool share(std::string_view text, double &out) {
  if (text.empty() || text.find_first_not_of("0123456789.") != text.npos) {
    return false;
  }
  return number(text, 0.0, 1.0, out);
}

// The key of impression ids: 32 hex digits, and a line's end at most.
void read_key(const std::string &path, adclick::engine_options &into) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  const char *end = text.data() + text.size();
  const bool whole = text.size() == 32 &&
                     std::from_chars(text.data(), text.data() + 16, into.impression_key_high, 16).ptr == text.data() + 16 &&
                     std::from_chars(text.data() + 16, end, into.impression_key, 16).ptr == end;
  if (!file || !whole || (into.impression_key == 0 && into.impression_key_high == 0)) {
    throw std::runtime_error(path + ": expected a key of 32 hex digits that are not all 0");
  }
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
    } else if (flag == "--events-url") {
      out.events_url = held;
      taken = is_base(held);
    } else if (flag == "--log") {
      out.log = held;
    } else if (flag == "--log-key-file") {
      out.log_key_file = held;
    } else if (flag == "--log-slates") {
      taken = share(held, out.log_slates);
    } else {
      taken = is_number("--forwarded", 0, 8, out.forwarded) || is_number("--threads", 1, 1024, out.threads) || is_number("--margin-ms", 0, 60'000, out.margin_ms) ||
              is_number("--drain-ms", 0, 600'000, out.drain_ms) || is_number("--head-ms", 1, 60'000, out.head_ms) ||
              is_number("--body-ms", 1, 60'000, out.body_ms) || is_number("--connections", 1, 1'000'000, out.connections);
    }
    if (!taken) {
      return false;
    }
  }
  if (out.events_url.empty()) {
    out.events_url = "http://" + out.host + ":" + out.port;
  }
  return argc % 2 == 1 && !out.bundles.empty() && !out.campaigns.empty() && (out.log.empty() || !out.log_key_file.empty());
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
    const adserver::campaigns all = adserver::load_campaigns(with.campaigns, with.events_url + "/events");
    // A directory with CURRENT is followed; a bundle itself cannot be.
    struct stat found {};
    const bool follow = stat((with.bundles + "/CURRENT").c_str(), &found) == 0;
    adclick::engine_options options;
    options.follow_ms = follow ? 1000U : 0U;
    if (!with.log_key_file.empty()) {
      read_key(with.log_key_file, options);
    }
    adclick::engine engine = adclick::engine::open(with.bundles, options);
    if (!with.log.empty()) {
      // Of a slate its winners alone, with the values that the model saw: rows to train on.
      adclick_log_options log{};
      log.slate_share = with.log_slates;
      log.slate_candidates = UINT32_MAX;
      engine.open_log(with.log, log);
    }
    adserver::serve(with, engine, all);
  } catch (const std::exception &why) {
    std::fprintf(stderr, "adserver: %s\n", why.what());
    return 1;
  }
  return 0;
}
