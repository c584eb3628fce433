// `answer BUNDLE requests.bin outputs.bin`: answers the requests of a file through adclick.hpp. README.md beside it says how.

#include <adclick.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>
#include <vector>

namespace {

constexpr std::uint32_t max_candidates = 200;

// What is left of a file.
class rest {
 public:
  explicit rest(const char *path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }

  template <class T>
  std::vector<T> take(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    if ((bytes_.size() - at_) / sizeof(T) < count) {
      std::fprintf(stderr, "the file of requests ends early\n");
      std::exit(1);
    }
    std::vector<T> taken(count);
    if (count != 0) {
      std::memcpy(taken.data(), bytes_.data() + at_, count * sizeof(T));
    }
    at_ += count * sizeof(T);
    return taken;
  }

  template <class T>
  T one() {
    return take<T>(1).front();
  }

  [[nodiscard]] bool empty() const { return at_ == bytes_.size(); }

 private:
  std::vector<char> bytes_;
  std::size_t at_ = 0;
};

template <class T>
void put(std::ofstream &to, adclick::span<const T> what) {
  to.write(reinterpret_cast<const char *>(what.data()), static_cast<std::streamsize>(what.size() * sizeof(T)));
}

int run(const char *bundle, const char *requests, const char *outputs) {
  const adclick::engine engine = adclick::engine::open(bundle);
  adclick::scorer scorer = engine.make_scorer(max_candidates);
  rest from(requests);
  std::ofstream to(outputs, std::ios::binary);
  const std::vector<char> magic = from.take<char>(8);
  if (std::string(magic.begin(), magic.end()) != "ADCLKRQ2") {
    std::fprintf(stderr, "no file of requests\n");
    return 1;
  }
  const auto count = from.one<std::uint32_t>();
  from.one<std::uint32_t>();
  std::vector<std::uint32_t> handles(from.one<std::uint32_t>());
  for (std::uint32_t &handle : handles) {
    const std::vector<char> name = from.take<char>(from.one<std::uint32_t>());
    handle = engine.feature({name.data(), name.size()});
  }
  to << "ADCLKOU1";
  const std::uint32_t head[] = {count, 0};
  put<std::uint32_t>(to, head);

  for (std::uint32_t r = 0; r < count; ++r) {
    const auto request = from.one<adclick::request>();
    auto values = from.take<adclick::value>(request.n_values);
    const auto candidates = from.take<adclick::candidate>(request.n_candidates);
    auto candidate_values = from.take<adclick::value>(request.n_candidate_values);
    for (auto *some : {&values, &candidate_values}) {
      for (adclick::value &value : *some) {
        value.feature = handles.at(value.feature);
      }
    }
    const std::size_t n = candidates.size();
    const auto counts = from.one<adclick_columns>();
    auto id_features = from.take<std::uint32_t>(counts.n_ids);
    const auto ids = from.take<std::uint64_t>(n * counts.n_ids);
    auto number_features = from.take<std::uint32_t>(counts.n_numbers);
    const auto numbers = from.take<float>(n * counts.n_numbers);
    for (auto *some : {&id_features, &number_features}) {
      for (std::uint32_t &feature : *some) {
        feature = handles.at(feature);
      }
    }
    const adclick::columns columns{id_features,      ids, number_features, numbers, (counts.flags & ADCLICK_COLUMNS_MISSING_ID) != 0,
                                   counts.missing_id};
    const adclick::input input{request, values, candidates, candidate_values, columns};
    std::vector<adclick::winner> winners(std::min<std::size_t>(n, std::max(request.n_slots, 1U)));
    std::vector<std::uint32_t> reasons(n);
    const auto decided = scorer.try_decide(input, winners, reasons);
    const std::int32_t answer[] = {decided.code(), 0};
    put<std::int32_t>(to, answer);
    if (!decided) {
      continue;
    }
    std::vector<float> pctr(n), pcvr(n);
    scorer.score(input, pctr, pcvr);
    for (adclick::winner &winner : winners) {  // no two decisions share an id
      winner.impression_id = winner.impression_id_high = 0;
    }
    put<adclick::outcome>(to, {&*decided, 1});
    put<adclick::winner>(to, {winners.data(), decided->n_winners});
    put<std::uint32_t>(to, reasons);
    put<float>(to, pctr);
    put<float>(to, pcvr);
  }
  to.close();
  if (!to || !from.empty()) {
    std::fprintf(stderr, "cannot write the outputs, or something follows the last request\n");
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: answer BUNDLE requests.bin outputs.bin\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const adclick::error &why) {
    std::fprintf(stderr, "%s\n", why.what());
    return 1;
  }
}
