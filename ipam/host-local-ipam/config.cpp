#include "config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "protocol/args.h"
#include "protocol/error.h"

namespace cni::host_local {
namespace {

using std::chrono::nanoseconds;

constexpr const char* kDefaultDataDir = "/var/lib/cni/networks";
constexpr nanoseconds kDefaultSticky = std::chrono::hours(1);
constexpr nanoseconds kLongestDuration = std::chrono::hours(24 * 365 * 10);

json::Reader get_ipam(const Request& request) {
  const json::Reader ipam = request.conf["ipam"];
  if (!ipam.present()) ipam.refuse("IPAM config missing 'ipam' key");
  return ipam;
}

std::string data_dir_or_default(const std::string& given) {
  return given.empty() ? kDefaultDataDir : given;
}

// A number of seconds or a text; nothing if it is neither.
std::optional<nanoseconds> find_duration(const json::Reader& value) {
  if (!value.present()) return std::nullopt;
  if (value.value().is_string()) return parse_duration(*value.find_string());
  if (!value.value().is_number_unsigned()) return std::nullopt;
  const auto seconds = value.value().get<std::uint64_t>();
  const auto most = std::chrono::duration_cast<std::chrono::seconds>(kLongestDuration).count();
  if (seconds > static_cast<std::uint64_t>(most)) return std::nullopt;
  return std::chrono::seconds(seconds);
}

nanoseconds get_duration(const json::Reader& value) {
  const auto duration = find_duration(value);
  if (!duration) value.refuse("not a duration such as \"90s\" or \"1h30m\"");
  return *duration;
}

// `true`, or an object with a ttl.
std::optional<nanoseconds> parse_sticky(const json::Reader& sticky) {
  if (!sticky.present()) return std::nullopt;
  if (sticky.value().is_boolean()) {
    return sticky.bool_or(false) ? std::optional(kDefaultSticky) : std::nullopt;
  }
  const json::Reader ttl = sticky["ttl"];
  return ttl.present() ? get_duration(ttl) : kDefaultSticky;
}

std::optional<nanoseconds> find_sticky(const json::Reader& sticky) {
  if (!sticky.present()) return std::nullopt;
  if (!sticky.value().is_object()) {
    const bool on = sticky.value().is_boolean() && sticky.bool_or(false);
    return on ? std::optional(kDefaultSticky) : std::nullopt;
  }
  return find_duration(sticky["ttl"]).value_or(kDefaultSticky);
}

class Sets {
 public:
  void add_list(const json::Reader& lists) {
    for (const json::Reader& list : lists.elements()) {
      sets_.push_back(parse_range_set(list, sets_.size()));
      places_.push_back(list);
    }
  }
  void add_single(const json::Reader& object) {
    sets_.push_back(parse_single_range(object, sets_.size()));
    places_.push_back(object);
  }

  std::vector<RangeSet> checked(const Request& request, const json::Reader& ipam) {
    if (sets_.empty()) ipam["ranges"].refuse("no IP ranges specified");
    check_count_per_family(request);
    for (std::size_t one = 0; one < sets_.size(); ++one) {
      for (std::size_t other = one + 1; other < sets_.size(); ++other) {
        if (sets_[one].overlaps(sets_[other])) {
          places_[other].refuse(fmt::format("range set {} overlaps with {}", one, other));
        }
      }
    }
    return std::move(sets_);
  }

 private:
  void check_count_per_family(const Request& request) const {
    if (request.version >= Version::k0_3_0) return;
    for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
      if (std::ranges::count(sets_, family, &RangeSet::family) > 1) {
        throw Error(Code::kInvalidConfig,
                    fmt::format("CNI version {} does not support more than 1 address per family",
                                request.conf.version_text()));
      }
    }
  }

  std::vector<RangeSet> sets_;
  std::vector<json::Reader> places_;
};

// What the runtime asks for comes first, then the single range of old configurations.
std::vector<RangeSet> parse_sets(const Request& request, const json::Reader& ipam) {
  Sets sets;
  sets.add_list(request.conf["runtimeConfig"]["ipRanges"]);
  if (ipam["subnet"].find_network()) sets.add_single(ipam);
  sets.add_list(ipam["ranges"]);
  return sets.checked(request, ipam);
}

// An address, or an address with a prefix length that counts for nothing.
std::optional<inet::Address> parse_requested(const std::string& text) {
  if (const auto network = inet::Network::parse(text)) return network->address;
  return inet::Address::parse(text);
}

class Requests {
 public:
  void add_list(const json::Reader& list) {
    for (const json::Reader& element : list.elements()) {
      const std::string text = element.string_or("");
      if (text.empty()) element.refuse("cannot understand ip: IP <nil> not v4 nor v6");
      const auto address = parse_requested(text);
      if (!address) element.refuse(fmt::format("invalid IP address {}", cut(text)));
      add(*address);
    }
  }
  void add_args(const Args& args) {
    const std::string text = args.find("IP").value_or("");
    if (text.empty()) return;
    const auto address = parse_requested(text);
    if (!address) {
      throw Error(Code::kInvalidConfig,
                  fmt::format("ARGS: error parsing value of pair {}: invalid IP address {}",
                              in_quotes("IP=" + text), cut(text)));
    }
    add(*address);
  }
  std::vector<inet::Address> take() { return std::move(addresses_); }

 private:
  void add(const inet::Address& address) {
    if (std::ranges::find(addresses_, address) == addresses_.end()) addresses_.push_back(address);
  }
  std::vector<inet::Address> addresses_;
};

std::vector<inet::Address> parse_requests(const Request& request, bool knows_pods) {
  static constexpr std::array<std::string_view, 3> kKnown = {"IP", "K8S_POD_NAMESPACE",
                                                             "K8S_POD_NAME"};
  const Args args = Args::parse(request.environment.args);
  args.require_known(std::span(kKnown).first(knows_pods ? 3 : 1));

  Requests requests;
  requests.add_list(request.conf["runtimeConfig"]["ips"]);
  const json::Reader from_config = request.conf["args"]["cni"]["ips"];
  requests.add_list(from_config);
  // `args` takes the place of the equivalent in CNI_ARGS (CNI conventions, "args in network
  // config").
  if (!from_config.present()) requests.add_args(args);
  return requests.take();
}

std::vector<Interval> parse_reserved(const json::Reader& list) {
  std::vector<Interval> reserved;
  for (const json::Reader& element : list.elements()) {
    const auto interval = parse_interval(element.string_or(""));
    if (!interval) element.refuse("not an address, a network, or \"first-last\"");
    reserved.push_back(*interval);
  }
  return reserved;
}

}  // namespace

Config parse_ranges(const Request& request) {
  const json::Reader ipam = get_ipam(request);
  const json::Reader cooldown = ipam["cooldown"];
  return {
      .place = {.data_dir = data_dir_or_default(ipam["dataDir"].string_or("")),
                .network = request.conf.name()},
      .sets = parse_sets(request, ipam),
      .requested = {},
      .reserved = parse_reserved(ipam["reserved"]),
      .routes = parse_routes(ipam["routes"]),
      .resolv_conf = ipam["resolvConf"].string_or(""),
      .reclaim = ipam["reclaim"].bool_or(true),
      .release = {.sticky = parse_sticky(ipam["sticky"]),
                  .cooldown = cooldown.present() ? get_duration(cooldown) : nanoseconds{0}},
  };
}

Config parse_config(const Request& request) {
  Config config = parse_ranges(request);
  config.requested = parse_requests(request, config.release.sticky.has_value());
  return config;
}

Cleanup parse_for_cleanup(const Request& request) {
  Cleanup cleanup{.place = {.data_dir = kDefaultDataDir, .network = request.conf.name()},
                  .release = {}};
  const json::Reader ipam = request.conf["ipam"];
  if (!ipam.present() || !ipam.value().is_object()) return cleanup;
  const json::Reader data_dir = ipam["dataDir"];
  // Not passed over: with another directory we would find nothing, and say that all is well.
  cleanup.place.data_dir = data_dir_or_default(data_dir.string_or(""));
  cleanup.release = {.sticky = find_sticky(ipam["sticky"]),
                     .cooldown = find_duration(ipam["cooldown"]).value_or(nanoseconds{0})};
  return cleanup;
}

std::optional<nanoseconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    nanoseconds length;
  };
  static constexpr std::array kUnits = {
      Unit{"ns", nanoseconds(1)},
      Unit{"us", std::chrono::microseconds(1)},
      Unit{"ms", std::chrono::milliseconds(1)},
      Unit{"s", std::chrono::seconds(1)},
      Unit{"m", std::chrono::minutes(1)},
      Unit{"h", std::chrono::hours(1)},
  };
  if (text.empty()) return std::nullopt;
  nanoseconds sum{0};
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_number<std::uint32_t>(text.substr(0, digits));
    text.remove_prefix(digits);
    const std::size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    const auto unit = std::ranges::find(kUnits, text.substr(0, letters), &Unit::name);
    text.remove_prefix(letters);
    if (!number || unit == kUnits.end()) return std::nullopt;
    // No sum of ours overflows: a summand is below 2^32 hours, which is checked as a count.
    if (*number > kLongestDuration / unit->length) return std::nullopt;
    sum += *number * unit->length;
    if (sum > kLongestDuration) return std::nullopt;
  }
  return sum;
}

}  // namespace cni::host_local
