// The campaigns file: advertisers, ads, currencies (../../openrtb/MAPPING.md, section 2).

#ifndef ADSERVER_CAMPAIGNS_HPP
#define ADSERVER_CAMPAIGNS_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace adserver {

// A text in which {{impression}}, {{ad}} and {{events}} are replaced, escaped for JSON beforehand.
class markup {
 public:
  markup() = default;
  markup(std::string_view text, std::string_view ad, std::string_view events);

  [[nodiscard]] bool empty() const noexcept { return parts_.empty(); }
  // Appends the text as JSON, with quotes. Between the parts comes the impression, which needs no escape.
  void append(std::string &out, std::string_view impression) const;

 private:
  std::vector<std::string> parts_;
};

struct picture {
  std::string mime = {};  // empty: not said
  std::string url;
  std::int64_t w = 0;
  std::int64_t h = 0;
};

enum class shape : std::uint8_t { banner, video, native };

struct ad {
  std::string id;
  std::uint64_t key = 0;
  std::uint64_t advertiser_key = 0;
  std::uint32_t advertiser = 0;  // index in campaigns::advertisers
  std::string creative;
  std::uint32_t bid_kind = 0;  // adclick_bid_kind
  std::int64_t bid_micros = 0;
  std::vector<std::uint32_t> categories;  // indices in campaigns::categories
  bool secure = false;
  std::string language;  // empty: not said
  std::string bundle;    // of the app that it is for; empty: of none
  std::vector<std::int64_t> attr;
  std::vector<std::string> deals;  // that it is sold by
  bool only_deals = false;
  std::uint64_t creative_key = 0;
  std::uint64_t category_key = 0;  // of the first; 0: none

  shape is = shape::banner;
  std::uint64_t format = 0;  // the hash that the feature `format` takes
  std::int64_t w = 0;
  std::int64_t h = 0;
  // A video.
  std::string mime;
  std::int64_t protocol = 0;
  std::int64_t seconds = 0;
  std::int64_t linearity = 1;
  std::optional<std::vector<std::int64_t>> placement;
  std::optional<std::vector<std::int64_t>> plcmt;
  // A native ad.
  std::string title;
  std::int64_t title_length = 0;  // in code points, as all lengths
  std::string description;
  std::int64_t description_length = 0;
  picture image;
  picture icon;
  markup click_url;
  markup impression_url;

  std::optional<std::vector<std::string>> country;
  std::optional<std::vector<std::int64_t>> device_type;
  std::optional<std::vector<std::string>> os;
  std::optional<std::vector<std::string>> include;
  std::optional<std::vector<std::string>> exclude;

  std::string landing_url;  // where a click is sent on to; empty: nowhere
  markup nurl;
  markup burl;
  markup adm;
  // Parts of the response that never change, as JSON: members with the comma before them.
  std::string traits_json;
};

struct advertiser {
  std::string id;
  std::string name;
  std::string domain;
  std::int64_t name_length = 0;
};

struct campaigns {
  std::string events;  // where events are taken, for {{events}}
  std::string currency;
  std::int64_t min_cpm = 0;
  std::vector<std::pair<std::string, std::int64_t>> rates;  // the own currency included
  std::string seat;
  std::int64_t gdpr_vendor = 0;  // 0: none
  std::int64_t cattax = 1;
  std::vector<advertiser> advertisers;
  std::vector<std::string> categories;
  std::vector<ad> ads;

  // Billionths of the own currency's unit; 0 when the currency is not known.
  [[nodiscard]] std::int64_t rate(std::string_view currency) const noexcept;
};

// `events` is what {{events}} becomes. Throws std::runtime_error that names the file and the member.
campaigns load_campaigns(const std::string &path, const std::string &events);

}  // namespace adserver

#endif  // ADSERVER_CAMPAIGNS_HPP
