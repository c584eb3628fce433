// The same requests without HTTP: how long a request takes in the process, from its text to the answer's.
//
//   inprocess BUNDLE CAMPAIGNS REQUESTS.jsonl SECONDS

#include <adclick.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bidder.hpp"
#include "campaigns.hpp"

namespace {

using clock_type = adserver::bidder::clock;

void run(char **argv) {
  const adserver::campaigns all = adserver::load_campaigns(argv[2], "http://127.0.0.1/events");
  const adclick::engine engine = adclick::engine::open(argv[1]);
  const adserver::desk shared{engine, all, adserver::inputs(engine), 20'000};
  adserver::bidder bidder(shared);
  std::vector<std::string> requests;
  std::ifstream file(argv[3]);
  for (std::string line; std::getline(file, line);) {
    requests.push_back(line);
  }
  if (requests.empty()) {
    throw std::runtime_error(std::string(argv[3]) + ": no requests");
  }
  const double seconds = std::strtod(argv[4], nullptr);
  std::vector<double> took;
  std::size_t bids = 0;
  for (const std::string &request : requests) {  // warm up
    bids += bidder.answer_request(request, clock_type::now()).status == 200;
  }
  const std::clock_t spent = std::clock();
  const auto begin = clock_type::now();
  for (auto now = begin; std::chrono::duration<double>(now - begin).count() < seconds;) {
    for (const std::string &request : requests) {
      bidder.answer_request(request, now);
      const auto after = clock_type::now();
      took.push_back(std::chrono::duration<double, std::micro>(after - now).count());
      now = after;
    }
  }
  const double cpu_us = 1e6 * static_cast<double>(std::clock() - spent) / CLOCKS_PER_SEC / static_cast<double>(took.size());
  const double elapsed = std::chrono::duration<double>(clock_type::now() - begin).count();
  std::sort(took.begin(), took.end());
  const auto at = [&](double part) {
    return took[std::min(took.size() - 1, static_cast<std::size_t>(part * static_cast<double>(took.size())))];
  };
  std::printf("{\"requests\":%zu,\"bids\":%zu,\"per_second\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.1f}\n", requests.size(),
              bids, static_cast<double>(took.size()) / elapsed, at(0.50), at(0.99), cpu_us);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 5) {
    std::fputs("usage: inprocess BUNDLE CAMPAIGNS REQUESTS.jsonl SECONDS\n", stderr);
    return 2;
  }
  try {
    run(argv);
  } catch (const std::exception &why) {
    std::fprintf(stderr, "inprocess: %s\n", why.what());
    return 1;
  }
  return 0;
}
