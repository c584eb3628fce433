// `surface BUNDLE`: what adclick.hpp adds to the C calls: ownership, spans, results and exceptions, and no allocations.
// Compiled as C++17 and as C++20, where std::span goes in and out.

#include <adclick.hpp>
#include <adclick.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace {

int failures = 0;

// What the program itself allocates.
std::size_t allocations = 0;

void *counted(std::size_t size) {
  ++allocations;
  if (void *const memory = std::malloc(size)) {
    return memory;
  }
  std::abort();
}

}  // namespace

void *operator new(std::size_t size) { return counted(size); }
void *operator new[](std::size_t size) { return counted(size); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void *memory, std::size_t) noexcept { std::free(memory); }

namespace {

#define CHECK(what)                                               \
  do {                                                            \
    if (!(what)) {                                                \
      std::fprintf(stderr, "%d: not so: %s\n", __LINE__, #what);  \
      ++failures;                                                 \
    }                                                             \
  } while (false)

// Whether the call throws adclick::error with the status.
template <class Call>
bool throws(adclick_status status, Call call) {
  try {
    call();
  } catch (const adclick::error &error) {
    return error.code() == status && std::strstr(error.what(), adclick_status_name(status)) == error.what();
  }
  return false;
}

template <class T>
constexpr bool owns = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                      !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(owns<adclick::engine> && owns<adclick::staged> && owns<adclick::scorer>);
// An input keeps no reference to a request that may be a temporary.
static_assert(!std::is_reference_v<decltype(adclick::input::request)>);
// A temporary is no place for outputs; const objects neither.
static_assert(!std::is_convertible_v<std::vector<float>, adclick::span<float>>);
static_assert(!std::is_convertible_v<const std::vector<float> &, adclick::span<float>>);
static_assert(std::is_convertible_v<std::vector<float> &, adclick::span<float>>);
static_assert(std::is_convertible_v<std::vector<float>, adclick::span<const float>>);
static_assert(std::is_convertible_v<adclick::span<float>, adclick::span<const float>>);
static_assert(std::is_convertible_v<std::array<float, 2> &, adclick::span<float>>);
static_assert(!std::is_convertible_v<std::vector<double> &, adclick::span<float>>);

void test(const char *bundle) {
  CHECK(adclick::compatible());
  CHECK(throws(ADCLICK_IO, [] { (void)adclick::engine::open("/nowhere/at/all"); }));
  const adclick::result<adclick::engine> none = adclick::engine::try_open("/nowhere/at/all");
  CHECK(!none && none.code() == ADCLICK_IO && std::strstr(none.message(), "/nowhere/at/all") != nullptr);
  adclick::engine_options options;
  options.kernel = "a name that is too long for any";
  CHECK(adclick::engine::try_open(bundle, options).code() == ADCLICK_UNSUPPORTED);
  options.kernel = "portable";
  options.copy = true;
  // This kernel has no products of bf16 anywhere: it serves exact and says why.
  options.precision = adclick::precision::bf16;
  {
    const adclick::engine bf16 = adclick::engine::open(bundle, options);
    const auto why = bf16.precision_error();
    CHECK(!why && why.code() == ADCLICK_UNSUPPORTED && std::strstr(why.message(), "portable") != nullptr);
  }
  options.precision = static_cast<adclick::precision>(9);
  CHECK(adclick::engine::try_open(bundle, options).code() == ADCLICK_INVALID_ARGUMENT);
  options.precision = adclick::precision::exact;
  CHECK(adclick::engine::open(bundle, options).precision_error().ok());
  options.precision = adclick::precision::of_bundle;
  adclick::engine engine = adclick::engine::open(bundle, options);
  CHECK(engine && std::strcmp(engine.kernel(), "portable") == 0);

  // Ownership moves; what was moved from holds nothing, and calls on it fail.
  adclick::engine moved = std::move(engine);
  CHECK(moved && !engine && engine.try_generation().code() == ADCLICK_INVALID_ARGUMENT && *engine.kernel() == '\0');
  engine = std::move(moved);
  adclick::engine &same = engine;
  engine = std::move(same);
  CHECK(engine);

  const std::uint64_t generation = engine.generation();
  adclick::staged staged = engine.stage(bundle);
  CHECK(staged && staged.activate() == generation && !staged);
  CHECK(staged.try_activate().code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(engine.rollback() == generation);
  CHECK(throws(ADCLICK_NO_PREVIOUS, [&] { engine.rollback(); }));
  staged = engine.stage(bundle);
  staged = engine.stage(bundle);  // the first one is discarded
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { engine.poll(); }));
  CHECK(engine.follow_error().ok());
  CHECK(engine.feature("age") == engine.feature("age") && throws(ADCLICK_INVALID_ARGUMENT, [&] {
          (void)engine.feature("");
        }));

  staged = engine.stage(bundle);
  CHECK(staged.generation() == generation);
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [] { (void)adclick::staged().generation(); }));
  const adclick::model model = engine.model();
  CHECK(model.width == 8 && model.n_heads == 2 && model.generation == generation);
  const std::vector<adclick::model_input> inputs = engine.inputs();
  CHECK(inputs.size() == model.n_inputs && std::strcmp(inputs[3].name, "price") == 0);
  {
    const adclick::value own[] = {{engine.feature("age"), 1, 0}};
    adclick::candidate candidate{};
    candidate.n_values = 1;
    const adclick::check found = engine.check({adclick::request{}, {}, {&candidate, 1}, own});
    CHECK(!found.ok() && found.counts.n_wrong_side == 1 && found.counts.n_missing == 4);
    CHECK(found.text.find("error: `age` is passed with the candidate") == 0);
    adclick::request bad{};
    bad.utc_offset_s = 90000;
    CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { (void)engine.check({bad, {}, {}, {}}); }));
  }
  CHECK(engine.input_error().ok());
  CHECK(engine.follow_state().activations >= 1 && engine.follow_state().follows == 0);
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { engine.clear_rows(7); }));
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { engine.remove_rows(7, {}); }));
  engine.switch_off(ADCLICK_SWITCH_KIND_CAMPAIGN, 7, 3);
  CHECK(engine.switched(ADCLICK_SWITCH_KIND_CAMPAIGN, 7) == 3 && engine.switched(ADCLICK_SWITCH_KIND_AD, 7) == 0);
  engine.switch_on(ADCLICK_SWITCH_KIND_CAMPAIGN, 7);
  CHECK(engine.switched(ADCLICK_SWITCH_KIND_CAMPAIGN, 7) == 0);
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { engine.switch_off(ADCLICK_SWITCH_KIND_AD, 0, 1); }));
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { engine.switch_off(ADCLICK_SWITCH_KIND_AD, 7, 0); }));
  {
    adclick::engine other = adclick::engine::open(bundle, options);
    CHECK(other.close_within(1000).ok() && !other);
  }

  adclick::scorer scorer = engine.make_scorer(8);
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { (void)engine.make_scorer(1U << 31); }));
  adclick::request request{};
  request.n_slots = 2;
  const std::array<adclick::value, 1> values{{{engine.feature("age"), 30.0F, 0}}};
  std::vector<adclick::candidate> candidates(3);
  for (adclick::candidate &candidate : candidates) {
    candidate.bid_kind = ADCLICK_BID_KIND_CPC;
    candidate.bid_micros = 1'000'000;
    candidate.ad_key = static_cast<std::uint64_t>(&candidate - candidates.data());
  }
  const adclick::input input{request, values, candidates, {}};
  std::vector<float> pctr(3);
  std::array<float, 3> pcvr{};
  CHECK(scorer.score(input, pctr, pcvr).n_scored == 3);
  CHECK(pctr[0] > 0.0F && pctr[0] < 1.0F && pcvr[0] > 0.0F && pctr[1] == pctr[0]);
  adclick::winner winners[2];
  std::array<std::uint32_t, 3> reasons{};
  const adclick::outcome outcome = scorer.decide(input, winners, reasons);
  CHECK(outcome.n_winners == 2 && winners[0].candidate == 0 && winners[1].candidate == 1);
  CHECK(reasons[0] == ADCLICK_REASON_WON && reasons[2] == ADCLICK_REASON_OUTRANKED);
  CHECK(outcome.generation == generation);

  for (std::size_t i = 0; i < 3; i++) {
    const adclick::explanation told = scorer.explain(i);
    CHECK(told.candidate == i && told.reason == reasons[i] && told.pctr == pctr[i] && told.request_id == request.request_id);
  }
  CHECK(scorer.explain(1).score == winners[1].score && scorer.explain(1).slot == 1);
  CHECK(scorer.try_explain(3).code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(scorer.score(input, pctr, pcvr).n_scored == 3);
  CHECK(scorer.try_explain(0).code() == ADCLICK_INVALID_ARGUMENT);
  adclick::carry carry;
  std::int64_t billed = 0;
  for (int i = 0; i < 1000; i++) {
    billed += carry.bill(1'999'999);
  }
  CHECK(billed == 1'999'999 && carry.thousandths == 0 && carry.bill(-5) == 0);

  // Lengths are checked on this side of the boundary.
  std::vector<float> few(2);
  CHECK(scorer.try_score(input, few).code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(scorer.try_score(input, pctr, few).code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(scorer.try_decide(input, winners, adclick::span<std::uint32_t>(reasons.data(), 2)).code() ==
        ADCLICK_INVALID_ARGUMENT);
  CHECK(scorer.try_decide(input, adclick::span<adclick::winner>(winners, 1)).code() == ADCLICK_BUFFER_TOO_SMALL);
  CHECK(throws(ADCLICK_CAPACITY_EXCEEDED, [&] {
    const std::vector<adclick::candidate> many(9);
    std::vector<float> out(9);
    scorer.score({request, {}, many, {}}, out);
  }));
  const std::vector<float> x(16);
  CHECK(scorer.score_dense(x, 8, few).n_scored == 2 && few[0] == few[1]);
  CHECK(scorer.try_score_dense(x, 7, few).code() == ADCLICK_INVALID_ARGUMENT);
  CHECK(scorer.try_score_dense(x, 0, few).code() == ADCLICK_INVALID_ARGUMENT);

  staged.discard();
  staged.discard();
  CHECK(!staged && staged.handle() == nullptr);
  staged = engine.stage(bundle);
  CHECK(std::strcmp(adclick::version(), adclick_version()) == 0 && *adclick::best_kernel() != '\0');
  CHECK(std::strcmp(adclick::status_name(ADCLICK_BUSY), "ADCLICK_BUSY") == 0);
  CHECK(std::strcmp(adclick::reason_name(ADCLICK_REASON_CUT), "cut") == 0);

  const adclick_auction_options rules{};
  CHECK(adclick::run_auction(nullptr, rules, candidates, pctr, {}, winners, reasons) == 1);
  CHECK(adclick::run_auction(&scorer, rules, candidates, pctr, pcvr, winners) == 1);
  CHECK(adclick::try_run_auction(&scorer, rules, candidates, few, {}, winners).code() == ADCLICK_INVALID_ARGUMENT);

  // Neither calls nor refusals allocate; only what is thrown does.
  const std::size_t before = allocations;
  adclick::request bad = request;
  bad.utc_offset_s = 86401;
  for (int i = 0; i < 100; ++i) {
    CHECK(scorer.score(input, pctr, pcvr).n_scored == 3 && scorer.decide(input, winners, reasons).n_winners == 2);
    CHECK(scorer.score_dense(x, 8, few).n_scored == 2);
    CHECK(adclick::run_auction(&scorer, rules, candidates, pctr, pcvr, winners, reasons) == 1);
    const auto refused = scorer.try_decide({bad, values, candidates, {}}, winners);
    CHECK(!refused && std::strstr(refused.message(), "utc_offset_s") != nullptr);
    CHECK(scorer.try_score(input, few).code() == ADCLICK_INVALID_ARGUMENT);
  }
  CHECK(allocations == before && before > 0);
  CHECK(throws(ADCLICK_INVALID_ARGUMENT, [&] { scorer.score(input, few); }) && allocations > before);

#ifdef __cpp_lib_span
  const std::span<float> out(pctr);
  CHECK(scorer.score({request, std::span<const adclick::value>(values), std::span(candidates), {}}, out).n_scored == 3);
  const std::span<const adclick::winner> back = adclick::span<const adclick::winner>(winners);
  const std::span<float> writable = adclick::span<float>(pctr);
  CHECK(back.size() == 2 && writable.data() == pctr.data());
#endif

  adclick::scorer other = std::move(scorer);
  CHECK(!scorer && other && scorer.try_score(input, pctr).code() == ADCLICK_INVALID_ARGUMENT);
  engine.close();
  engine.close();
  CHECK(!engine && other.try_score(input, pctr).code() == ADCLICK_CLOSED);
  CHECK(staged.try_activate().code() == ADCLICK_CLOSED);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: surface BUNDLE\n");
    return 2;
  }
  test(argv[1]);
  return failures == 0 ? 0 : 1;
}
