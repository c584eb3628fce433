// A server's decision loop: opens a directory of bundles, follows its CURRENT, decides requests from a file on several
// threads, and tells in one JSON object what came of it. examples/cpp/README.md describes the file and the output.
//
//   serve --bundles DIR --requests FILE [--threads 2] [--seconds S] [--swap]

#include <adclick.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct arguments {
  std::string bundles;
  std::string requests;
  std::size_t threads = 2;
  double seconds = 0.0;
  bool swap = false;
};

// How long --swap waits past --seconds for a second generation.
constexpr std::chrono::seconds swap_patience{60};

// ---- The request file -----------------------------------------------------------------------------------------------

// One request with its arrays, ready to be passed to the library.
struct loaded {
  adclick::request request{};
  std::vector<adclick::value> values;
  std::vector<adclick::candidate> candidates;
  std::vector<adclick::value> candidate_values;
};

// Reads the lines of a request file. Whatever is wrong is told with the file, the line and the field.
class loader {
 public:
  loader(const adclick::engine &engine, const std::string &path) : engine_(engine), path_(path) {}

  std::vector<loaded> load() {
    std::ifstream file(path_);
    if (!file) {
      throw std::runtime_error("cannot open " + path_);
    }
    std::string text;
    while (std::getline(file, text)) {
      ++line_;
      rest_ = text;
      if (!rest_.empty() && rest_.back() == '\r') {
        rest_.remove_suffix(1);
      }
      skip_blanks();
      if (!rest_.empty() && rest_.front() != '#') {
        read_line();
      }
    }
    if (file.bad()) {
      throw std::runtime_error("cannot read " + path_);
    }
    if (requests_.empty()) {
      throw std::runtime_error(path_ + ": no request (no line begins with R)");
    }
    return std::move(requests_);
  }

 private:
  [[noreturn]] void fail(const std::string &what) const {
    throw std::runtime_error(path_ + ":" + std::to_string(line_) + ": " + what);
  }

  void read_line() {
    const std::string kind = word("the kind of line");
    if (kind == "R") {
      requests_.emplace_back();
      adclick::request &request = requests_.back().request;
      request.request_id = integer<std::uint64_t>("request_id");
      request.time_us = integer<std::int64_t>("time_us");
      request.utc_offset_s = integer<std::int32_t>("utc_offset_s");
      request.n_slots = integer<std::uint32_t>("n_slots");
    } else if (kind == "V") {
      current(kind).values.push_back(value());
    } else if (kind == "C") {
      loaded &request = current(kind);
      adclick::candidate candidate{};
      candidate.ad_key = integer<std::uint64_t>("ad_key");
      candidate.advertiser_key = integer<std::uint64_t>("advertiser_key");
      candidate.bid_micros = integer<std::int64_t>("bid_micros");
      candidate.bid_kind = bid_kind();
      candidate.reserve_micros = integer<std::int64_t>("reserve_micros");
      candidate.first_value = static_cast<std::uint32_t>(request.candidate_values.size());
      request.candidates.push_back(candidate);
    } else if (kind == "W") {
      loaded &request = current(kind);
      if (request.candidates.empty()) {
        fail("W before the first C of its request");
      }
      request.candidate_values.push_back(value());
      ++request.candidates.back().n_values;
    } else {
      fail("a line of kind " + kind + ", expected R, V, C or W");
    }
    skip_blanks();
    if (!rest_.empty()) {
      fail("more than the fields of " + kind + ": " + std::string(rest_));
    }
  }

  loaded &current(const std::string &kind) {
    if (requests_.empty()) {
      fail(kind + " before the first R");
    }
    return requests_.back();
  }

  adclick::value value() {
    adclick::value value{};
    value.feature = feature(word("input_name"));
    value.number = number();
    skip_blanks();
    if (!rest_.empty() && rest_.front() == '"') {
      value.id = adclick::hash(word("id"));
    } else {
      value.id = integer<std::uint64_t>("id");
    }
    return value;
  }

  // Each name is looked up once.
  std::uint32_t feature(const std::string &name) {
    const auto known = features_.find(name);
    if (known != features_.end()) {
      return known->second;
    }
    const adclick::result<std::uint32_t> handle = engine_.try_feature(name);
    if (!handle) {
      fail("input_name " + name + ": " + handle.message());
    }
    features_.emplace(name, *handle);
    return *handle;
  }

  std::uint32_t bid_kind() {
    const std::string name = word("bid_kind");
    const std::array<const char *, 4> names{"cpm", "cpc", "cpa", "ocpm"};
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      fail("bid_kind is " + name + ", expected cpm, cpc, cpa or ocpm");
    }
    return static_cast<std::uint32_t>(found - names.begin());
  }

  template <class T>
  T integer(const char *field) {
    const std::string text = word(field);
    T number{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) {
      fail(std::string(field) + " is " + text + ", expected an integer of " + std::to_string(8 * sizeof(T)) + " bits" +
           (std::is_signed_v<T> ? "" : ", 0 or more"));
    }
    return number;
  }

  float number() {
    const std::string text = word("number");
    char *end = nullptr;
    const float number = std::strtof(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !std::isfinite(number)) {
      fail("number is " + text + ", expected a finite number");
    }
    return number;
  }

  // The next field: up to a blank, or in double quotes with \" and \\ inside.
  std::string word(const char *field) {
    skip_blanks();
    if (rest_.empty()) {
      fail(std::string(field) + " is missing");
    }
    std::string text;
    if (rest_.front() != '"') {
      const std::size_t end = std::min(rest_.find_first_of(" \t"), rest_.size());
      text = rest_.substr(0, end);
      rest_.remove_prefix(end);
      return text;
    }
    for (std::size_t at = 1; at < rest_.size(); ++at) {
      if (rest_[at] == '"') {
        rest_.remove_prefix(at + 1);
        return text;
      }
      if (rest_[at] == '\\' && at + 1 < rest_.size()) {
        ++at;
      }
      text += rest_[at];
    }
    fail(std::string(field) + ": the closing double quote is missing");
  }

  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }

  const adclick::engine &engine_;
  std::string path_;
  std::size_t line_ = 0;
  std::string_view rest_;
  std::unordered_map<std::string, std::uint32_t> features_;
  std::vector<loaded> requests_;
};

// ---- What is measured -----------------------------------------------------------------------------------------------

// Counts of durations, 64 buckets for each power of two: within 1.6 % of what was measured. Never allocates.
class histogram {
 public:
  void add(std::uint64_t ns) noexcept {
    ++counts_[bucket(ns)];
    ++total_;
    max_ = std::max(max_, ns);
  }

  void add(const histogram &other) noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += other.counts_[i];
    }
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
  }

  // The duration that a share of all is not above, in microseconds.
  [[nodiscard]] double quantile_us(double share) const noexcept {
    const double rank = std::ceil(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > 0 && static_cast<double>(seen) >= rank) {
        return static_cast<double>(std::min(upper(i), max_)) / 1000.0;
      }
    }
    return 0.0;
  }

  [[nodiscard]] double max_us() const noexcept { return static_cast<double>(max_) / 1000.0; }

 private:
  static constexpr std::size_t bits = 6;
  static constexpr std::size_t part = std::size_t{1} << bits;

  static std::size_t bucket(std::uint64_t ns) noexcept {
    std::size_t shift = 0;
    while ((ns >> shift) >= 2 * part) {
      ++shift;
    }
    return shift * part + static_cast<std::size_t>(ns >> shift);
  }

  // The largest duration of a bucket.
  static std::uint64_t upper(std::size_t bucket) noexcept {
    if (bucket < 2 * part) {
      return bucket;
    }
    const std::size_t shift = bucket / part - 1;
    return ((std::uint64_t{bucket - shift * part} + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - bits + 1) * part> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

struct generation_count {
  std::uint64_t id;
  std::uint64_t requests;
};

// What one thread saw.
struct tally {
  std::uint64_t requests = 0;
  std::uint64_t lost = 0;
  std::uint64_t predictions = 0;
  std::uint64_t missing = 0;
  std::uint64_t winners = 0;
  // Sums over winners, in currency units.
  double ecpm = 0.0;
  double revenue = 0.0;
  histogram latency;
  std::vector<generation_count> generations;
  adclick::failure first_failure;

  tally() { generations.reserve(1024); }

  // Whether the generation is new to this tally.
  bool saw(std::uint64_t id, std::uint64_t requests_of_it) {
    const auto known =
        std::find_if(generations.begin(), generations.end(), [id](const auto &g) { return g.id == id; });
    if (known != generations.end()) {
      known->requests += requests_of_it;
      return false;
    }
    generations.push_back({id, requests_of_it});
    return true;
  }

  void add(const tally &other) {
    if (lost == 0 && other.lost > 0) {
      first_failure = other.first_failure;
    }
    requests += other.requests;
    lost += other.lost;
    predictions += other.predictions;
    missing += other.missing;
    winners += other.winners;
    ecpm += other.ecpm;
    revenue += other.revenue;
    latency.add(other.latency);
    for (const generation_count &g : other.generations) {
      saw(g.id, g.requests);
    }
  }
};

// What a winner is expected to pay for one impression, in currency units.
double expected_price(const adclick::winner &winner, std::uint32_t bid_kind) noexcept {
  const double price = static_cast<double>(winner.price_micros) / 1e6;
  switch (bid_kind) {
    case ADCLICK_BID_KIND_CPC:
      return price * static_cast<double>(winner.pctr);
    case ADCLICK_BID_KIND_CPA:
      return price * static_cast<double>(winner.pctr) * static_cast<double>(winner.pcvr);
    default:
      return price / 1000.0;
  }
}

// ---- Serving --------------------------------------------------------------------------------------------------------

// What the threads share.
struct work {
  const std::vector<loaded> &requests;
  clock_type::time_point begin;
  clock_type::time_point end;
  bool swap;
  std::atomic<std::uint64_t> next{0};
  // 0 until the first request is answered, then the first generation.
  std::atomic<std::uint64_t> first_generation{0};
  std::atomic<bool> swapped{false};

  // Whether to go on after `taken` requests: all of them once, until the time is over, and until a swap was seen.
  [[nodiscard]] bool goes_on(std::uint64_t taken) const noexcept {
    if (taken < requests.size()) {
      return true;
    }
    const clock_type::time_point now = clock_type::now();
    return now < end || (swap && !swapped.load(std::memory_order_relaxed) && now < end + swap_patience);
  }

  void saw(std::uint64_t generation) noexcept {
    std::uint64_t none = 0;
    if (!first_generation.compare_exchange_strong(none, generation) && none != generation) {
      swapped.store(true, std::memory_order_relaxed);
    }
  }
};

// Takes requests one after the other, whichever thread is free. Nothing here allocates but a new generation's entry.
void serve(work &shared, adclick::scorer &scorer, std::vector<adclick::winner> &winners, tally &seen) {
  std::uint64_t last_generation = 0;
  for (std::uint64_t taken; shared.goes_on(taken = shared.next.fetch_add(1, std::memory_order_relaxed));) {
    const loaded &one = shared.requests[taken % shared.requests.size()];
    const adclick::input input{one.request, one.values, one.candidates, one.candidate_values};
    const clock_type::time_point begin = clock_type::now();
    const adclick::result<adclick::outcome> decided = scorer.try_decide(input, winners);
    const clock_type::duration took = clock_type::now() - begin;
    ++seen.requests;
    if (!decided) {
      if (seen.lost++ == 0) {
        seen.first_failure = adclick::failure(decided.code(), decided.message());
      }
      continue;
    }
    seen.latency.add(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()));
    seen.predictions += decided->n_scored;
    seen.missing += decided->n_missing;
    seen.winners += decided->n_winners;
    for (const adclick::winner &winner : adclick::span<const adclick::winner>(winners.data(), decided->n_winners)) {
      seen.ecpm += static_cast<double>(winner.ecpm_micros) / 1e6;
      seen.revenue += expected_price(winner, one.candidates[winner.candidate].bid_kind);
    }
    seen.saw(decided->generation, 1);
    if (decided->generation != last_generation) {
      last_generation = decided->generation;
      shared.saw(last_generation);
    }
  }
}

std::string quoted(const char *text) {
  std::string json = "\"";
  for (const char *c = text; *c != '\0'; ++c) {
    const auto byte = static_cast<unsigned char>(*c);
    if (byte == '"' || byte == '\\') {
      json += '\\';
      json += *c;
    } else if (byte < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(byte));
      json += escaped.data();
    } else {
      json += *c;
    }
  }
  return json + "\"";
}

void print(const tally &all, const adclick::engine &engine, std::size_t threads, double seconds) {
  const auto mean = [&all](double sum) { return all.winners == 0 ? 0.0 : sum / static_cast<double>(all.winners); };
  const adclick::result<adclick::done> followed = engine.follow_error();
  std::printf("{\"requests\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"predictions\": %" PRIu64
              ", \"predictions_per_second\": %.0f, \"requests_per_second\": %.1f, \"seconds\": %.3f, \"threads\": %zu",
              all.requests, all.lost, all.predictions, static_cast<double>(all.predictions) / seconds,
              static_cast<double>(all.requests) / seconds, seconds, threads);
  std::printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f", all.latency.quantile_us(0.5),
              all.latency.quantile_us(0.99), all.latency.quantile_us(0.999), all.latency.max_us());
  std::printf(", \"winners\": %" PRIu64 ", \"mean_ecpm\": %.6f, \"revenue\": %.6f, \"missing_values\": %" PRIu64,
              all.winners, mean(all.ecpm), all.revenue, all.missing);
  std::printf(", \"kernel\": %s, \"generations\": [", quoted(engine.kernel()).c_str());
  for (std::size_t i = 0; i < all.generations.size(); ++i) {
    std::printf("%s{\"id\": \"%016" PRIx64 "\", \"requests\": %" PRIu64 "}", i == 0 ? "" : ", ", all.generations[i].id,
                all.generations[i].requests);
  }
  std::printf("], \"follow_error\": %s, \"first_failure\": %s}\n", followed ? "null" : quoted(followed.message()).c_str(),
              all.lost == 0 ? "null" : quoted(all.first_failure.message()).c_str());
}

int run(const arguments &given) {
  if (!adclick::compatible()) {
    throw std::runtime_error("libadclick is older than the adclick.h that this program was compiled with");
  }
  // The library looks at CURRENT on a thread of its own; a new bundle goes live between two requests.
  adclick::engine_options options;
  options.follow_ms = 50;
  const adclick::engine engine = adclick::engine::open(given.bundles, options);
  const std::vector<loaded> requests = loader(engine, given.requests).load();

  std::size_t candidates = 1;
  std::size_t slots = 1;
  for (const loaded &one : requests) {
    candidates = std::max(candidates, one.candidates.size());
    slots = std::max(slots, std::min<std::size_t>(one.request.n_slots, one.candidates.size()));
  }

  // Everything that the threads need is made before the first request.
  std::vector<adclick::scorer> scorers;
  for (std::size_t i = 0; i < given.threads; ++i) {
    scorers.push_back(engine.make_scorer(static_cast<std::uint32_t>(candidates)));
  }
  std::vector<std::vector<adclick::winner>> winners(given.threads, std::vector<adclick::winner>(slots));
  std::vector<tally> tallies(given.threads);

  const clock_type::time_point begin = clock_type::now();
  const auto duration = std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(given.seconds));
  work shared{requests, begin, begin + duration, given.swap};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < given.threads; ++i) {
    threads.emplace_back([&, i] { serve(shared, scorers[i], winners[i], tallies[i]); });
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();

  tally all;
  for (const tally &one : tallies) {
    all.add(one);
  }
  print(all, engine, given.threads, seconds);
  if (all.lost > 0) {
    std::fprintf(stderr, "serve: %" PRIu64 " requests failed, the first with: %s\n", all.lost,
                 all.first_failure.message());
    return 1;
  }
  if (given.swap && all.generations.size() < 2) {
    std::fprintf(stderr, "serve: no second generation was published in %.0f seconds\n", seconds);
    return 1;
  }
  return 0;
}

arguments parse(int argc, char **argv) {
  arguments given;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--swap") {
      given.swap = true;
      continue;
    }
    if (name != "--bundles" && name != "--requests" && name != "--threads" && name != "--seconds") {
      throw usage_error("unknown argument " + name);
    }
    if (++i == argc) {
      throw usage_error(name + " needs a value");
    }
    const std::string value = argv[i];
    char *end = nullptr;
    if (name == "--bundles") {
      given.bundles = value;
    } else if (name == "--requests") {
      given.requests = value;
    } else if (name == "--threads") {
      const long threads = std::strtol(value.c_str(), &end, 10);
      if (*end != '\0' || threads < 1 || threads > 1024) {
        throw usage_error("--threads " + value + ": expected 1 to 1024");
      }
      given.threads = static_cast<std::size_t>(threads);
    } else {
      given.seconds = std::strtod(value.c_str(), &end);
      if (value.empty() || *end != '\0' || !(given.seconds >= 0.0 && given.seconds <= 1e6)) {
        throw usage_error("--seconds " + value + ": expected 0 to 1000000");
      }
    }
  }
  if (given.bundles.empty() || given.requests.empty()) {
    throw usage_error("--bundles and --requests are needed");
  }
  return given;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(parse(argc, argv));
  } catch (const usage_error &error) {
    std::fprintf(stderr, "serve: %s\nusage: serve --bundles DIR --requests FILE [--threads 2] [--seconds S] [--swap]\n",
                 error.what());
    return 2;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "serve: %s\n", error.what());
    return 1;
  }
}
