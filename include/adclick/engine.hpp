// Engines and staged generations. A part of adclick.hpp: include that.

#ifndef ADCLICK_ENGINE_HPP
#define ADCLICK_ENGINE_HPP

#include "options.hpp"
#include "request.hpp"
#include "result.hpp"
#include "scorer.hpp"
#include "types.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace adclick {

// A generation that was opened and checked and is not live yet. Destroying it discards it.
class staged {
 public:
  staged() noexcept = default;
  explicit staged(adclick_staged *owned) noexcept : handle_(owned) {}
  staged(staged &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  staged &operator=(staged &&other) noexcept {
    if (this != &other) {
      adclick_staged_discard(std::exchange(handle_, std::exchange(other.handle_, nullptr)));
    }
    return *this;
  }
  staged(const staged &) = delete;
  staged &operator=(const staged &) = delete;
  ~staged() { adclick_staged_discard(handle_); }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  [[nodiscard]] adclick_staged *handle() noexcept { return handle_; }

  // The id that it will have.
  [[nodiscard]] result<std::uint64_t> try_generation() const noexcept {
    std::uint64_t generation = 0;
    failure why;
    if (adclick_staged_generation(handle_, &generation, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return generation;
  }
  [[nodiscard]] std::uint64_t generation() const { return try_generation().value(); }

  // Discards it now. A second time does nothing.
  void discard() noexcept { adclick_staged_discard(std::exchange(handle_, nullptr)); }

  // Makes it live and returns its id. Uses it up, whatever the result.
  [[nodiscard]] result<std::uint64_t> try_activate() noexcept {
    std::uint64_t generation = 0;
    failure why;
    if (adclick_staged_activate(std::exchange(handle_, nullptr), &generation, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return generation;
  }
  std::uint64_t activate() { return try_activate().value(); }

 private:
  adclick_staged *handle_ = nullptr;
};

// What an upsert does with the given columns.
enum class operation : std::uint32_t {
  // Replaces them; the others stay.
  columns = 0,
  // Adds to them.
  increment = ADCLICK_UPSERT_INCREMENT,
  // Replaces the row; what is not given becomes missing.
  whole_row = ADCLICK_UPSERT_WHOLE_ROW,
};

// Owns what is live; shared by all threads. Destroying it closes it; scorers may outlive it.
class engine {
 public:
  // Holds nothing; calls on it fail.
  engine() noexcept = default;
  explicit engine(adclick_engine *owned) noexcept : handle_(owned) {}
  engine(engine &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  engine &operator=(engine &&other) noexcept {
    if (this != &other) {
      adclick_engine_close(std::exchange(handle_, std::exchange(other.handle_, nullptr)));
    }
    return *this;
  }
  engine(const engine &) = delete;
  engine &operator=(const engine &) = delete;
  ~engine() { adclick_engine_close(handle_); }

  // adclick_engine_open on a bundle, or on a directory that holds bundles and CURRENT.
  [[nodiscard]] static result<engine> try_open(std::string_view path, const engine_options &options = {}) noexcept {
    if (options.log_directory.size() >= sizeof adclick_engine_options{}.log_directory) {
      return failure(ADCLICK_INVALID_ARGUMENT, "log_directory has more than 255 bytes: use engine::open_log");
    }
    if (options.kernel.size() > sizeof adclick_engine_options{}.kernel) {
      return failure(ADCLICK_UNSUPPORTED, "no kernel has a name that long");
    }
    const adclick_engine_options raw = detail::raw(options);
    adclick_engine *handle = nullptr;
    failure why;
    if (adclick_engine_open(path.data(), path.size(), &raw, &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return engine(handle);
  }
  static engine open(std::string_view path, const engine_options &options = {}) {
    return try_open(path, options).value();
  }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  [[nodiscard]] adclick_engine *handle() const noexcept { return handle_; }

  // Closes it now: scorers answer ADCLICK_CLOSED from here on. A second time does nothing.
  void close() noexcept { adclick_engine_close(std::exchange(handle_, nullptr)); }

  // The same in at most so many milliseconds; ADCLICK_BUSY says what goes on after them. It is closed all the same.
  [[nodiscard]] result<done> close_within(std::uint32_t timeout_ms) noexcept {
    failure why;
    if (adclick_engine_close_within(std::exchange(handle_, nullptr), timeout_ms, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  // Opens and checks a bundle without making it live.
  [[nodiscard]] result<staged> try_stage(std::string_view path) const noexcept {
    adclick_staged *handle = nullptr;
    failure why;
    if (adclick_engine_stage(handle_, path.data(), path.size(), &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return staged(handle);
  }
  [[nodiscard]] staged stage(std::string_view path) const { return try_stage(path).value(); }

  // Back to the generation before the last activation. Returns its id.
  [[nodiscard]] result<std::uint64_t> try_rollback() const noexcept { return number(adclick_engine_rollback); }
  std::uint64_t rollback() const { return try_rollback().value(); }

  // Looks at CURRENT; the id of the generation that was activated, 0 when there is nothing new.
  [[nodiscard]] result<std::uint64_t> try_poll() const noexcept { return number(adclick_engine_poll); }
  std::uint64_t poll() const { return try_poll().value(); }

  // Whether the last look at CURRENT went well, and why not.
  [[nodiscard]] result<done> follow_error() const noexcept {
    failure why;
    if (adclick_engine_follow_error(handle_, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  // What following came to so far: counters that never go back.
  [[nodiscard]] result<adclick::follow_state> try_follow_state() const noexcept {
    adclick::follow_state state{};
    state.struct_size = sizeof state;
    failure why;
    if (adclick_engine_follow_state(handle_, &state, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return state;
  }
  [[nodiscard]] adclick::follow_state follow_state() const { return try_follow_state().value(); }

  // The live model in figures.
  [[nodiscard]] result<adclick::model> try_model() const noexcept {
    adclick::model model{};
    model.struct_size = sizeof model;
    failure why;
    if (adclick_engine_model(handle_, &model, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return model;
  }
  [[nodiscard]] adclick::model model() const { return try_model().value(); }

  // The inputs of the live model: names, sides, kinds, and where their values come from.
  [[nodiscard]] result<std::vector<model_input>> try_inputs() const {
    for (;;) {
      const result<adclick::model> of = try_model();
      if (!of) {
        return failure(of.code(), of.message());
      }
      std::vector<model_input> all(of->n_inputs);
      bool same = true;
      for (std::uint32_t i = 0; i < of->n_inputs && same; ++i) {
        all[i].struct_size = sizeof all[i];
        failure why;
        const adclick_status told = adclick_engine_model_input(handle_, i, &all[i], why.raw());
        if (told != ADCLICK_OK && told != ADCLICK_INVALID_ARGUMENT) {
          return why;
        }
        // Another generation may have gone live, with other inputs: then once more.
        same = told == ADCLICK_OK && all[i].generation == of->generation;
      }
      if (same) {
        return all;
      }
    }
  }
  [[nodiscard]] std::vector<model_input> inputs() const { return try_inputs().value(); }

  // Checks (adclick_engine_check): what is wrong with a request for the live model. Ask once, at start.
  [[nodiscard]] result<adclick::check> try_check(const input &in) const {
    adclick_request sized;
    if (!detail::counted(in, sized)) {
      return detail::too_long();
    }
    if (!detail::has_rows(in.columns, in.candidates.size())) {
      return detail::no_rows();
    }
    const adclick_columns columns = detail::counted(in.columns);
    adclick::check found;
    found.counts.struct_size = sizeof found.counts;
    found.text.resize(std::size_t{1} << 12U);
    for (;;) {
      std::size_t length = 0;
      failure why;
      const adclick_status told = adclick_engine_check_columns(
          handle_, &sized, detail::or_null(in.values), detail::or_null(in.candidates), detail::or_null(in.candidate_values),
          &columns, detail::or_null(in.columns.id_features), detail::or_null(in.columns.ids),
          detail::or_null(in.columns.number_features), detail::or_null(in.columns.numbers), &found.counts, &found.text[0],
          found.text.size(), &length, why.raw());
      found.text.resize(length);
      if (told == ADCLICK_OK) {
        return found;
      }
      if (told != ADCLICK_BUFFER_TOO_SMALL) {
        return why;
      }
    }
  }
  [[nodiscard]] adclick::check check(const input &in) const { return try_check(in).value(); }

  // Whether requests passed values with the wrong side since the live generation was opened, and of which inputs.
  [[nodiscard]] result<done> input_error() const noexcept {
    failure why;
    if (adclick_engine_input_error(handle_, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  // Why the live generation is served in exact precision although another was asked for.
  [[nodiscard]] result<done> precision_error() const noexcept {
    failure why;
    if (adclick_engine_precision_error(handle_, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  // Begins to log decisions and events in a directory: adclick_engine_log_open. struct_size is set here.
  [[nodiscard]] result<done> try_open_log(std::string_view directory, adclick_log_options options = {}) noexcept {
    options.struct_size = sizeof options;
    failure why;
    if (adclick_engine_log_open(handle_, directory.data(), directory.size(), &options, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }
  void open_log(std::string_view directory, adclick_log_options options = {}) { try_open_log(directory, options).value(); }

  // Writes and syncs all that waits in the log.
  [[nodiscard]] result<done> try_drain_log() noexcept {
    failure why;
    if (adclick_log_drain(handle_, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }
  void drain_log() { try_drain_log().value(); }

  // The state of the log.
  [[nodiscard]] result<adclick_log_state> try_log_state() const noexcept {
    adclick_log_state state{};
    state.struct_size = sizeof state;
    failure why;
    if (adclick_engine_log_state(handle_, &state, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return state;
  }
  [[nodiscard]] adclick_log_state log_state() const { return try_log_state().value(); }

  // Why the last write or sync of the log failed.
  [[nodiscard]] result<done> log_error() const noexcept {
    failure why;
    if (adclick_engine_log_error(handle_, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  // What came of a decision: each returns what is wrong with the event at once (ADCLICK_EVENT_FORGED, …), 0 when nothing is.
  [[nodiscard]] result<std::uint32_t> try_record_impression(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_impression, event);
  }
  std::uint32_t record_impression(const adclick_event &event) { return try_record_impression(event).value(); }
  [[nodiscard]] result<std::uint32_t> try_record_viewable(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_viewable, event);
  }
  std::uint32_t record_viewable(const adclick_event &event) { return try_record_viewable(event).value(); }
  [[nodiscard]] result<std::uint32_t> try_record_click(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_click, event);
  }
  std::uint32_t record_click(const adclick_event &event) { return try_record_click(event).value(); }
  [[nodiscard]] result<std::uint32_t> try_record_dwell(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_dwell, event);
  }
  std::uint32_t record_dwell(const adclick_event &event) { return try_record_dwell(event).value(); }
  [[nodiscard]] result<std::uint32_t> try_record_conversion(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_conversion, event);
  }
  std::uint32_t record_conversion(const adclick_event &event) { return try_record_conversion(event).value(); }
  [[nodiscard]] result<std::uint32_t> try_record_feedback(const adclick_event &event) noexcept {
    return recorded(adclick_engine_record_feedback, event);
  }
  std::uint32_t record_feedback(const adclick_event &event) { return try_record_feedback(event).value(); }

  // The ad cache of the live generation, or what it would take.
  [[nodiscard]] result<adclick::ad_cache> try_ad_cache() const noexcept {
    adclick::ad_cache cache{};
    cache.struct_size = sizeof cache;
    failure why;
    if (adclick_engine_ad_cache(handle_, &cache, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return cache;
  }
  [[nodiscard]] adclick::ad_cache ad_cache() const { return try_ad_cache().value(); }

  // The id of the live generation.
  [[nodiscard]] result<std::uint64_t> try_generation() const noexcept {
    std::uint64_t generation = 0;
    failure why;
    if (adclick_engine_generation(handle_, &generation, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return generation;
  }
  [[nodiscard]] std::uint64_t generation() const { return try_generation().value(); }

  // adclick_engine_metrics: the text for GET /metrics into `text`. Returns its length; with ADCLICK_BUFFER_TOO_SMALL
  // `*needed` is the length that there has to be room for.
  [[nodiscard]] result<std::size_t> try_metrics(span<char> text, std::size_t *needed = nullptr) const noexcept {
    std::size_t length = 0;
    failure why;
    if (adclick_engine_metrics(handle_, detail::or_null(text), text.size(), &length, why.raw()) != ADCLICK_OK) {
      if (needed != nullptr) {
        *needed = length;
      }
      return why;
    }
    return length;
  }
  // The same as a string.
  [[nodiscard]] result<std::string> try_metrics() const {
    std::string text(std::size_t{1} << 15U, '\0');
    for (;;) {
      std::size_t needed = 0;
      const result<std::size_t> length = try_metrics(span<char>(&text[0], text.size()), &needed);
      if (length) {
        text.resize(*length);
        return text;
      }
      if (length.code() != ADCLICK_BUFFER_TOO_SMALL) {
        return failure(length.code(), length.message());
      }
      // Numbers may be longer at the next try.
      text.resize(needed + 1024);
    }
  }
  [[nodiscard]] std::string metrics() const { return try_metrics().value(); }

  // The handle of a feature's input name. Get handles once, at start.
  [[nodiscard]] result<std::uint32_t> try_feature(std::string_view name) const noexcept {
    std::uint32_t handle = 0;
    failure why;
    if (adclick_engine_feature(handle_, name.data(), name.size(), &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return handle;
  }
  [[nodiscard]] std::uint32_t feature(std::string_view name) const { return try_feature(name).value(); }

  // The handle of a table's name, and of a column of a table. Get handles once, at start.
  [[nodiscard]] result<std::uint32_t> try_table(std::string_view name) const noexcept {
    std::uint32_t handle = 0;
    failure why;
    if (adclick_engine_table(handle_, name.data(), name.size(), &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return handle;
  }
  [[nodiscard]] std::uint32_t table(std::string_view name) const { return try_table(name).value(); }
  [[nodiscard]] result<std::uint32_t> try_column(std::uint32_t table, std::string_view name) const noexcept {
    std::uint32_t handle = 0;
    failure why;
    if (adclick_engine_column(handle_, table, name.data(), name.size(), &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return handle;
  }
  [[nodiscard]] std::uint32_t column(std::uint32_t table, std::string_view name) const {
    return try_column(table, name).value();
  }

  // adclick_engine_upsert: writes rows on top of a table of the live generation. `time_us` is when the values were right;
  // 0 = now.
  [[nodiscard]] result<upsert_result> try_upsert(std::uint32_t table, span<const row> rows, span<const value> values,
                                                 operation what = operation::columns,
                                                 std::int64_t time_us = 0) const noexcept {
    if (!detail::fits(rows.size()) || !detail::fits(values.size())) {
      return detail::too_long();
    }
    adclick_upsert upsert{};
    upsert.struct_size = sizeof upsert;
    upsert.flags = static_cast<std::uint32_t>(what);
    upsert.table = table;
    upsert.n_rows = static_cast<std::uint32_t>(rows.size());
    upsert.n_values = static_cast<std::uint32_t>(values.size());
    upsert.time_us = time_us;
    upsert_result done{};
    done.struct_size = sizeof done;
    failure why;
    if (adclick_engine_upsert(handle_, &upsert, detail::or_null(rows), detail::or_null(values), &done, why.raw()) !=
        ADCLICK_OK) {
      return why;
    }
    return done;
  }
  upsert_result upsert(std::uint32_t table, span<const row> rows, span<const value> values,
                       operation what = operation::columns, std::int64_t time_us = 0) const {
    return try_upsert(table, rows, values, what, time_us).value();
  }

  // Takes rows off a table that were written on top of it, or all of them. Returns how many there were.
  [[nodiscard]] result<std::uint64_t> try_remove_rows(std::uint32_t table, span<const std::uint64_t> keys) const noexcept {
    std::uint64_t removed = 0;
    failure why;
    if (adclick_engine_remove_rows(handle_, table, detail::or_null(keys), keys.size(), &removed, why.raw()) !=
        ADCLICK_OK) {
      return why;
    }
    return removed;
  }
  std::uint64_t remove_rows(std::uint32_t table, span<const std::uint64_t> keys) const {
    return try_remove_rows(table, keys).value();
  }
  [[nodiscard]] result<std::uint64_t> try_clear_rows(std::uint32_t table) const noexcept {
    std::uint64_t removed = 0;
    failure why;
    if (adclick_engine_clear_rows(handle_, table, &removed, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return removed;
  }
  std::uint64_t clear_rows(std::uint32_t table) const { return try_clear_rows(table).value(); }

  // Turns an ad, a campaign or an advertiser off for a reason that is not 0 (adclick_engine_switch), or on again.
  [[nodiscard]] result<done> try_switch_off(adclick_switch_kind kind, std::uint64_t key, std::uint32_t reason) const noexcept {
    if (reason == 0) {
      return failure(ADCLICK_INVALID_ARGUMENT, "a reason of 0, which turns on: use engine::switch_on");
    }
    return switch_to(kind, key, reason);
  }
  void switch_off(adclick_switch_kind kind, std::uint64_t key, std::uint32_t reason) const {
    try_switch_off(kind, key, reason).value();
  }
  [[nodiscard]] result<done> try_switch_on(adclick_switch_kind kind, std::uint64_t key) const noexcept {
    return switch_to(kind, key, 0);
  }
  void switch_on(adclick_switch_kind kind, std::uint64_t key) const { try_switch_on(kind, key).value(); }

  // Why it is off; 0: it is on.
  [[nodiscard]] result<std::uint32_t> try_switched(adclick_switch_kind kind, std::uint64_t key) const noexcept {
    std::uint32_t reason = 0;
    failure why;
    if (adclick_engine_switched(handle_, kind, key, &reason, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return reason;
  }
  [[nodiscard]] std::uint32_t switched(adclick_switch_kind kind, std::uint64_t key) const {
    return try_switched(kind, key).value();
  }

  // A table of the live generation and what was written on top of it.
  [[nodiscard]] result<adclick::table_info> try_table_info(std::uint32_t table) const noexcept {
    adclick::table_info info{};
    info.struct_size = sizeof info;
    failure why;
    if (adclick_engine_table_info(handle_, table, &info, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return info;
  }
  [[nodiscard]] adclick::table_info table_info(std::uint32_t table) const { return try_table_info(table).value(); }

  // Makes a scorer for up to `max_candidates`; 0 = 1024.
  [[nodiscard]] result<adclick::scorer> try_make_scorer(std::uint32_t max_candidates = 0) const noexcept {
    adclick_scorer_options options{};
    options.struct_size = sizeof options;
    options.max_candidates = max_candidates;
    adclick_scorer *handle = nullptr;
    failure why;
    if (adclick_scorer_new(handle_, &options, &handle, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return adclick::scorer(handle);
  }
  [[nodiscard]] adclick::scorer make_scorer(std::uint32_t max_candidates = 0) const {
    return try_make_scorer(max_candidates).value();
  }

  // The instruction set that it uses; "" when closed.
  [[nodiscard]] const char *kernel() const noexcept { return handle_ == nullptr ? "" : adclick_kernel(handle_); }

 private:
  result<std::uint64_t> number(adclick_status (*call)(adclick_engine *, std::uint64_t *, adclick_error *)) const noexcept {
    std::uint64_t id = 0;
    failure why;
    if (call(handle_, &id, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return id;
  }

  result<done> switch_to(adclick_switch_kind kind, std::uint64_t key, std::uint32_t reason) const noexcept {
    failure why;
    if (adclick_engine_switch(handle_, kind, key, reason, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return done{};
  }

  template <class Call>
  [[nodiscard]] result<std::uint32_t> recorded(Call call, adclick_event event) noexcept {
    event.struct_size = sizeof event;
    std::uint32_t seen = 0;
    failure why;
    if (call(handle_, &event, &seen, why.raw()) != ADCLICK_OK) {
      return why;
    }
    return seen;
  }

  adclick_engine *handle_ = nullptr;
};

}  // namespace adclick

#endif  // ADCLICK_ENGINE_HPP
