#include "bidder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <limits>

#include "consent.hpp"
#include "money.hpp"

namespace adserver {
namespace {

constexpr std::size_t block_bytes = 256 * 1024;
constexpr std::size_t max_content = 8;

std::int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

template <class T, class U>
bool has(const std::vector<T> &list, const U &one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

template <class T, class U>
bool meets(const std::optional<std::vector<T>> &list, const U &one) {
  return !list || has(*list, one);
}

// A list that is not there or empty takes everything.
template <class Same>
bool takes(std::span<const json::value> list, Same same) {
  return list.empty() || std::any_of(list.begin(), list.end(), same);
}

bool is_number(const json::value &held, std::int64_t number) {
  std::int64_t read = 0;
  return read_integer(held.text, read) == integer_fault::none && read == number;
}

bool has_text(std::span<const json::value> list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const json::value &one) { return one.type == json::kind::text && one.text == text; });
}

bool has_some_text(std::span<const json::value> list) {
  return std::any_of(list.begin(), list.end(), [](const json::value &one) { return one.type == json::kind::text && !one.text.empty(); });
}

bool takes_video(const video &clip, const ad &one) {
  const auto same_protocol = [&](const json::value &held) { return is_number(held, one.protocol); };
  if ((clip.linearity != 0 && clip.linearity != one.linearity) || !meets(one.placement, clip.placement) ||
      !meets(one.plcmt, clip.plcmt) || !takes(clip.durations, [&](const json::value &held) { return is_number(held, one.seconds); })) {
    return false;
  }
  return takes(clip.mimes, [&](const json::value &held) { return held.text == one.mime; }) &&
         clip.min_seconds <= one.seconds && (clip.max_seconds == 0 || clip.max_seconds >= one.seconds) &&
         takes(clip.protocols, same_protocol);
}

// Whether a category is another one, or under it.
bool category_covers(std::string_view by, std::string_view category) {
  return !by.empty() && category.starts_with(by) && (category.size() == by.size() || category[by.size()] == '-');
}

bool domain_blocked(std::string_view domain, std::string_view by) {
  return !by.empty() && domain.ends_with(by) &&
         (domain.size() == by.size() || domain[domain.size() - by.size() - 1] == '.');
}

}  // namespace

inputs::inputs(const adclick::engine &engine)
    : device_type(engine.feature("device_type")),
      connection(engine.feature("connection")),
      os(engine.feature("os")),
      country(engine.feature("country")),
      inventory(engine.feature("inventory")),
      content(engine.feature("content")),
      floor(engine.feature("floor")),
      format(engine.feature("format")) {}

bidder::bidder(const desk &shared)
    : shared_(&shared),
      scorer_(shared.engine.make_scorer(static_cast<std::uint32_t>(shared.all.ads.size()))),
      block_(block_bytes),
      memory_(block_.data(), block_.size()),
      won_(shared.all.ads.size()),
      blocked_categories_(shared.all.categories.size()),
      blocked_advertisers_(shared.all.advertisers.size()) {
  candidates_.reserve(shared.all.ads.size());
  candidate_values_.reserve(shared.all.ads.size());
  ads_.reserve(shared.all.ads.size());
}

answer bidder::answer_request(std::string_view body, clock::time_point arrived) {
  memory_.release();
  body_.clear();
  try {
    const bid_request request = read_request(body, memory_);
    std::string_view currency;
    static constexpr json::value usd{.type = json::kind::text, .text = "USD"};
    const auto accepted = request.cur.empty() ? std::span(&usd, 1) : request.cur;
    for (const json::value &code : accepted) {
      const std::string_view known = upper(code.text, memory_);
      if (shared_->all.rate(known) != 0) {
        currency = known;
        break;
      }
    }
    if (const auto why = not_ours(request)) {
      return {204, *why, {}};
    }
    if (currency.empty()) {
      return {204, no_bid::unknown_currency, {}};
    }
    know_request(request);
    append_head(body_, request.id);
    bool any = false;
    no_bid first{};
    for (const imp &place : request.imps) {
      const std::size_t before = body_.size();
      body_ += any ? "," : "";
      const result done = decide(request, place, arrived, shared_->all.rate(currency));
      if (!done.bid) {
        body_.resize(before);
      }
      if (&place == &request.imps.front()) {
        first = done.why;
      }
      any = any || done.bid;
    }
    if (!any) {
      return {204, first, {}};
    }
    append_tail(body_, request, shared_->all.seat, currency, sums_, user_);
    return {200, {}, body_};
  } catch (const invalid &why) {
    return refuse(why);
  } catch (const std::exception &why) {
    // A mistake of ours is no reason for the exchange to see a broken connection.
    std::fprintf(stderr, "adserver: a request failed: %s\n", why.what());
    return {204, no_bid::technical, {}};
  }
}

answer bidder::refuse(const invalid &why) {
  body_.clear();
  append_invalid(body_, why);
  return {400, no_bid::invalid, body_};
}

// Why nothing that we have may be bid on the request.
std::optional<no_bid> bidder::not_ours(const bid_request &request) const {
  const campaigns &all = shared_->all;
  if (request.dooh) {
    return no_bid::out_of_home;
  }
  if ((!request.wseat.empty() && !has_text(request.wseat, all.seat)) || has_text(request.bseat, all.seat)) {
    return no_bid::other_seat;
  }
  if (request.cattax != all.cattax && (has_some_text(request.bcat) || has_some_text(request.acat))) {
    return no_bid::other_taxonomy;
  }
  return std::nullopt;
}

// What all imps of a request have in common.
void bidder::know_request(const bid_request &request) {
  const campaigns &all = shared_->all;
  const inputs &to = shared_->handles;
  std::fill(won_.begin(), won_.end(), false);
  pods_.clear();
  for (std::size_t i = 0; i < all.categories.size(); ++i) {
    blocked_categories_[i] = std::any_of(request.bcat.begin(), request.bcat.end(), [&](const json::value &by) {
      return by.type == json::kind::text && category_covers(by.text, all.categories[i]);
    });
    if (has_some_text(request.acat)) {
      blocked_categories_[i] = blocked_categories_[i] || std::none_of(request.acat.begin(), request.acat.end(), [&](const json::value &by) {
        return by.type == json::kind::text && category_covers(by.text, all.categories[i]);
      });
    }
  }
  languages_.clear();
  for (const auto list : {request.wlang, request.wlangb}) {
    for (const json::value &one : list) {
      if (!one.text.empty()) {
        languages_.push_back(lower(one.text.substr(0, one.text.find('-')), memory_));
      }
    }
  }
  std::fill(blocked_advertisers_.begin(), blocked_advertisers_.end(), false);
  for (const json::value &by : request.badv) {
    const std::string_view domain = lower(by.text, memory_);
    for (std::size_t i = 0; i < all.advertisers.size(); ++i) {
      blocked_advertisers_[i] = blocked_advertisers_[i] || domain_blocked(all.advertisers[i].domain, domain);
    }
  }

  values_.clear();
  const auto id = [&](std::uint32_t handle, std::int64_t number) {
    if (number >= 1) {
      values_.push_back({handle, 0.0F, static_cast<std::uint64_t>(number)});
    }
  };
  const auto text = [&](std::uint32_t handle, std::string_view held) {
    if (!held.empty()) {
      values_.push_back({handle, 0.0F, adclick::hash(held)});
    }
  };
  id(to.device_type, request.device_type);
  id(to.connection, request.connection);
  text(to.os, request.os);
  text(to.country, request.country);
  text(to.inventory, request.inventory);
  std::size_t content = 0;
  for (const json::value &category : request.content) {
    if (category.type == json::kind::text && content < max_content) {
      values_.push_back({to.content, 0.0F, adclick::hash(category.text)});
      ++content;
    }
  }
  values_.push_back({to.floor, 0.0F, 0});

  call_ = {};
  const bool refused = request.limited || !permits(request.regs, request.person, all.gdpr_vendor);
  user_ = refused ? "refused" : request.user.empty() ? "none" : "known";
  call_.user_key = refused || request.user.empty() ? 0 : adclick::hash(request.user);
  call_.flags = refused ? ADCLICK_KEEP_NO_USER : 0;
  delivery_ = 0;
  call_.time_us = request.time_us.value_or(0);
  if (!request.time_us) {
    call_.time_us = now_us();
    const std::uint64_t ids[] = {shared_->process, shared_->deliveries.fetch_add(1, std::memory_order_relaxed)};
    delivery_ = adclick::key(ids);
  }
  call_.utc_offset_s = static_cast<std::int32_t>(60 * request.utc_offset_min);
  call_.n_slots = 1;
  call_.device = static_cast<std::uint32_t>(std::max<std::int64_t>(request.device_type, 0));
  sums_ = {};
}

bool bidder::passes(const ad &one, const bid_request &request, const imp &place, const native_request *native) const {
  std::span<const json::value> battr = place.banner_battr;
  switch (one.is) {
    case shape::banner:
      if (std::none_of(place.sizes.begin(), place.sizes.end(),
                       [&](const size &s) { return s.w == one.w && s.h == one.h; })) {
        return false;
      }
      break;
    case shape::video:
      if (!place.clip || !takes_video(*place.clip, one)) {
        return false;
      }
      if (repeats(one, place)) {
        return false;
      }
      battr = place.video_battr;
      break;
    case shape::native:
      if (native == nullptr || !fills(*native, one, shared_->all.advertisers[one.advertiser])) {
        return false;
      }
      battr = place.native_battr;
      break;
  }
  if (std::any_of(one.categories.begin(), one.categories.end(), [&](std::uint32_t c) { return blocked_categories_[c]; }) ||
      (one.categories.empty() && has_some_text(request.acat)) || blocked_advertisers_[one.advertiser] ||
      (place.secure && !one.secure) || (!one.bundle.empty() && has_text(request.bapp, one.bundle)) ||
      (!languages_.empty() && (one.language.empty() || !has(languages_, one.language)))) {
    return false;
  }
  if (std::any_of(battr.begin(), battr.end(), [&](const json::value &held) {
        return std::any_of(one.attr.begin(), one.attr.end(), [&](std::int64_t attribute) { return is_number(held, attribute); });
      })) {
    return false;
  }
  return meets(one.country, request.country) && meets(one.device_type, request.device_type) && meets(one.os, request.os) &&
         meets(one.include, request.inventory) && !(one.exclude && has(*one.exclude, request.inventory));
}

// Whether a winner of the same pod has of the ad what two of a pod may not share.
bool bidder::repeats(const ad &one, const imp &place) const {
  const auto &rules = place.clip->dedupe;
  const auto asks = [&](std::int64_t rule) {
    return std::any_of(rules.begin(), rules.end(), [&](const json::value &held) { return is_number(held, rule); });
  };
  return !place.clip->pod.empty() && std::any_of(pods_.begin(), pods_.end(), [&](const auto &earlier) {
    const ad &other = *earlier.second;
    return earlier.first == place.clip->pod &&
           ((asks(1) && shared_->all.advertisers[one.advertiser].domain == shared_->all.advertisers[other.advertiser].domain) ||
            (asks(2) && std::any_of(one.categories.begin(), one.categories.end(), [&](std::uint32_t c) { return has(other.categories, c); })) ||
            ((asks(3) || asks(4)) && one.creative == other.creative));
  });
}

void bidder::find_candidates(const bid_request &request, const imp &place, const terms &on, const native_request *native) {
  const campaigns &all = shared_->all;
  candidates_.clear();
  candidate_values_.clear();
  ads_.clear();
  const auto sold = [&](const ad &one) {
    if (on.deal.empty()) {
      return !one.only_deals;
    }
    const std::string_view domain = all.advertisers[one.advertiser].domain;
    return has(one.deals, on.deal) && takes(on.wadomain, [&](const json::value &held) { return lower(held.text, memory_) == domain; });
  };
  for (std::uint32_t i = 0; i < all.ads.size(); ++i) {
    const ad &one = all.ads[i];
    if (won_[i] || !sold(one) || !passes(one, request, place, native)) {
      continue;
    }
    adclick::candidate candidate{};
    candidate.ad_key = one.key;
    candidate.advertiser_key = one.advertiser_key;
    candidate.creative_key = one.creative_key;
    candidate.category_key = one.category_key;
    candidate.bid_micros = one.bid_micros;
    candidate.bid_kind = one.bid_kind;
    candidate.first_value = static_cast<std::uint32_t>(candidate_values_.size());
    candidate.n_values = 1;
    candidate_values_.push_back({shared_->handles.format, 0.0F, one.format});
    candidates_.push_back(candidate);
    ads_.push_back(i);
  }
}

// The deals in the request's order, then the open auction: the first that leads to a bid.
bidder::result bidder::decide(const bid_request &request, const imp &place, clock::time_point arrived, std::int64_t rate) {
  std::optional<native_request> native;
  if (place.native != nullptr) {
    native = read_native(*place.native, memory_);
  }
  const native_request *asked = native ? &*native : nullptr;
  result last{false, no_bid::no_candidate};
  for (const terms &deal : place.deals) {
    if (!deal.wseat.empty() && !has_text(deal.wseat, shared_->all.seat)) {
      continue;
    }
    last = sell(request, place, deal, asked, arrived, rate);
    if (last.bid) {
      return last;
    }
  }
  return place.private_auction ? last : sell(request, place, place.open, asked, arrived, rate);
}

bidder::result bidder::sell(const bid_request &request, const imp &place, const terms &on, const native_request *asked,
                            clock::time_point arrived, std::int64_t rate) {
  const campaigns &all = shared_->all;
  money::least least{.floor = money::floor_micros(on.floor).value_or(0), .own = all.min_cpm};
  // A floor of 0 is none, whatever its currency.
  if (least.floor > 0) {
    least.floor_rate = all.rate(on.floor_currency);
  }
  if (least.floor_rate == 0) {
    return {false, no_bid::unknown_currency};
  }
  const std::int64_t floor = std::max(money::to_own(least.floor, least.floor_rate, money::round::up), all.min_cpm);
  find_candidates(request, place, on, asked);
  if (candidates_.empty()) {
    return {false, no_bid::no_candidate};
  }
  call_.floor_cpm_micros = floor;
  call_.placement = static_cast<std::uint32_t>(std::max<std::int64_t>(place.position, 0));
  values_.back().number = static_cast<float>(static_cast<double>(floor) / 1e6);

  std::array<std::uint64_t, 4> ids = {adclick::hash(request.id), adclick::hash(place.id)};
  std::size_t n = 2;
  if (!on.deal.empty()) {
    ids[n++] = adclick::hash(on.deal);
  }
  if (delivery_ != 0) {
    ids[n++] = delivery_;
  }
  call_.request_id = adclick::key(std::span(ids).first(n));
  call_.deadline_us = 0;
  if (request.tmax > 0) {
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - arrived).count();
    const std::int64_t left = 1000 * request.tmax - shared_->margin_us - elapsed;
    if (left <= 0) {
      return {false, no_bid::no_time};
    }
    call_.deadline_us =
        static_cast<std::uint32_t>(std::min<std::int64_t>(left, std::numeric_limits<std::uint32_t>::max()));
  }
  std::array<adclick::winner, 1> winners;
  const auto decided = scorer_.try_decide({call_, values_, candidates_, candidate_values_}, winners);
  if (!decided) {
    std::fprintf(stderr, "adserver: the engine refused a request: %s\n", decided.message());
    return {false, no_bid::technical};
  }
  sums_.generation = decided->generation;
  sums_.scored += decided->n_scored;
  sums_.cut += decided->n_cut;
  sums_.missing += decided->n_missing;
  const adclick::winner &winner = winners[0];
  if (decided->n_winners == 0 || winner.ecpm_micros < floor) {
    return {false, no_bid::under_floor};
  }
  const std::uint32_t index = ads_[winner.candidate];
  const ad &one = all.ads[index];
  // 3: what the deal says is the price. Where the floor alone decided, it is the price, not rounded to what a click costs.
  const bool floor_alone = on.at == 3 || (on.at != 2 && winner.price_bound == ADCLICK_PRICE_BOUND_RESERVE);
  const std::int64_t needed = floor_alone ? 0 : on.at == 2 ? winner.ecpm_micros : money::expected_cpm(one.bid_kind, winner);
  const auto price = money::price(winner.ecpm_micros, needed, least, rate);
  if (!price) {
    return {false, no_bid::under_floor};
  }
  won_[index] = true;
  if (place.clip && !place.clip->pod.empty()) {
    pods_.emplace_back(place.clip->pod, &one);
  }
  append_bid(body_, all,
             {one, place, winner, *price, asked != nullptr && one.is == shape::native ? asked : nullptr, on.deal, call_.flags != 0},
             request.test);
  return {true, {}};
}

}  // namespace adserver
