#include "masquerade/native_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "nftables/intervals.h"

namespace cni::masquerade {
namespace {

using inet::Family;
using inet::Network;
using nftables::Bytes;
using nftables::Element;
using nftables::Expression;
using nftables::Verdict;
namespace expr = nftables::expr;

constexpr std::size_t kDigestDigits = 16;
constexpr std::size_t kNameSize = 16;  // IFNAMSIZ, linux/if.h
// Numbers of linux/netfilter.h, and the priorities by which nft(8) knows filter and srcnat.
constexpr std::uint32_t kForwardHook = 2;
constexpr std::uint32_t kPostroutingHook = 4;
constexpr std::int32_t kFilterPriority = 0;
constexpr std::int32_t kSourceNatPriority = 100;
constexpr std::uint32_t kStateInvalid = 1;  // NF_CT_STATE_INVALID_BIT

constexpr const char* kSkip = "-skip";
constexpr const char* kOnly = "-only";
constexpr const char* kOut = "-out";

Network multicast(Family family) {
  return *Network::parse(family == Family::kIpv4 ? "224.0.0.0/4" : "ff00::/8");
}

// Without doubles.
std::vector<Network> set_of_family(const std::vector<Network>& networks, Family family) {
  std::vector<Network> chosen = inet::of_family(networks, family);
  std::ranges::sort(chosen);
  chosen.erase(std::ranges::unique(chosen).begin(), chosen.end());
  return chosen;
}

nftables::Set address_map(Family family, const char* name) {
  return {.table = native_table(family),
          .name = name,
          .key_length = nftables::address_length(family),
          .key_type = nftables::address_type(family),
          .data = nftables::Set::Data::kVerdict};
}

std::string texts(const std::vector<Network>& networks) {
  std::string all;
  for (const Network& each : networks) all += each.text() + " ";
  return all;
}

// A name as a number that sorts as the kernel compares names, byte by byte.
inet::Bits name_bits(const std::string& name) {
  inet::Bits bits = 0;
  for (std::size_t at = 0; at < kNameSize; ++at) {
    bits = bits << 8U | (at < name.size() ? static_cast<unsigned char>(name[at]) : 0U);
  }
  return bits;
}

Bytes name_bytes(inet::Bits bits) {
  Bytes bytes(kNameSize);
  for (std::size_t at = kNameSize; at-- > 0; bits >>= 8U) {
    bytes[at] = static_cast<std::byte>(static_cast<unsigned char>(bits));
  }
  return bytes;
}

// The first and the first beyond. The last byte of a name is always zero, and no name begins with
// the byte 0xff, so there is something beyond.
std::pair<inet::Bits, inet::Bits> name_range(const std::string& name) {
  if (!name.ends_with('+')) return {name_bits(name), name_bits(name) + 1};
  const std::size_t length = name.size() - 1;
  const inet::Bits first = name_bits(name.substr(0, length));
  return {first, first + (inet::Bits{1} << (8U * (kNameSize - length)))};
}

Expression verdict(Verdict::Kind kind) {
  return expr::verdict({.kind = kind});
}

// What the chain of a policy ends in.
std::vector<Expression> translation(Family family, const std::optional<SourceRange>& snat,
                                    bool fully_random, bool persistent) {
  if (!snat) return {expr::masquerade(fully_random)};
  std::vector<Expression> expressions = {expr::immediate(0, nftables::bytes_of(snat->first))};
  expr::SourceNat to{.first_address = 0, .fully_random = fully_random, .persistent = persistent};
  if (snat->first != snat->last) {
    to.last_address = 4;
    expressions.push_back(expr::immediate(4, nftables::bytes_of(snat->last)));
  }
  expressions.push_back(expr::snat(family, to));
  return expressions;
}

// A chain at a hook, with one rule. Piece by piece: what GCC 12 makes of nested initialisers frees
// their members twice if memory ends half-way.
netfilter::ChainContent base_chain(Family family, const char* name, nftables::Hook hook,
                                   std::vector<Expression> expressions) {
  netfilter::ChainContent chain;
  chain.chain.table = native_table(family);
  chain.chain.name = name;
  chain.chain.hook = std::move(hook);
  nftables::Rule& rule = chain.rules.emplace_back();
  rule.table = chain.chain.table;
  rule.chain = name;
  rule.expressions = std::move(expressions);
  return chain;
}

}  // namespace

nftables::TableId native_table(Family family) {
  return {.family = nftables::table_family(family), .name = kNativeTable};
}

nftables::Set sources_map(Family family) {
  return address_map(family, "sources");
}

nftables::Set drop_invalid_map(Family family) {
  return address_map(family, "drop_invalid");
}

Policy::Policy(const Config& config, const Network& address, bool drop_invalid)
    : family_(address.family()),
      drop_invalid_(drop_invalid),
      fully_random_(config.fully_random.value_or(true)),
      persistent_(config.persistent),
      snat_(config.snat(address.family())) {
  std::vector<Network> skipped = config.skipped;
  skipped.push_back(multicast(family_));
  // An address that is a subnet of its own needs no exception, and so no policy of its own.
  if (address.prefix_length != address.address.width()) skipped.push_back(address.masked());
  skipped = set_of_family(skipped, family_);
  const std::vector<Network> only = set_of_family(config.only, family_);
  const std::vector<Element> names = name_elements(config.out_interfaces);

  std::vector<std::string> interfaces = config.out_interfaces;
  std::ranges::sort(interfaces);
  const std::string digest = sha512_hex(
      fmt::format("skip {}\nonly {}\nout {}\nsnat {} {}\nrandom {}\ndrop {}", texts(skipped),
                  texts(only), fmt::join(interfaces, " "), snat_ ? snat_->text() : "-", persistent_,
                  fully_random_, drop_invalid_),
      kDigestDigits);
  chain_ = "to-" + digest;
  drop_chain_ = "drop-" + digest;

  const nftables::Set addresses{.table = native_table(family_),
                                .name = "",
                                .key_length = nftables::address_length(family_),
                                .key_type = nftables::address_type(family_),
                                .interval = true};
  add_set(kSkip, addresses, nftables::interval_elements(skipped));
  if (!only.empty()) add_set(kOnly, addresses, nftables::interval_elements(only));
  if (!names.empty()) {
    add_set(kOut,
            {.table = native_table(family_),
             .name = "",
             .key_length = kNameSize,
             .key_type = nftables::kTypeInterfaceName,
             .interval = true},
            names);
  }
}

void Policy::add_set(const char* suffix, nftables::Set set, std::vector<Element> elements) {
  set.name = chain_ + suffix;
  sets_.push_back({.set = std::move(set), .elements = std::move(elements)});
}

netfilter::ChainContent Policy::content(const std::string& name,
                                        std::vector<Expression> last) const {
  const nftables::TableId table = native_table(family_);
  netfilter::ChainContent chain{.chain = {.table = table, .name = name}, .rules = {}};
  const auto add_rule = [&](std::vector<Expression> expressions) {
    chain.rules.push_back({.table = table, .chain = name, .expressions = std::move(expressions)});
  };
  for (const FilledSet& each : sets_) {
    const std::string& set = each.set.name;
    // Those of the first set are passed over, as are those of none of the others.
    add_rule({set.ends_with(kOut) ? expr::meta(expr::Meta::kOutInterfaceName, 0)
                                  : expr::destination_address(family_, 0),
              expr::lookup(set, 0, !set.ends_with(kSkip)), verdict(Verdict::Kind::kReturn)});
  }
  add_rule(std::move(last));
  return chain;
}

netfilter::Layout Policy::layout() const {
  const nftables::Set sources = sources_map(family_);
  netfilter::Layout layout{.sets = {sources}, .chains = {}};
  for (const FilledSet& each : sets_) layout.sets.push_back(each.set);

  layout.chains.push_back(content(chain_, translation(family_, snat_, fully_random_, persistent_)));
  layout.chains.push_back(
      base_chain(family_, "postrouting",
                 {.type = "nat", .number = kPostroutingHook, .priority = kSourceNatPriority},
                 {expr::source_address(family_, 0), expr::lookup_verdict(sources.name, 0)}));
  if (!drop_invalid_) return layout;

  const nftables::Set drop_invalid = drop_invalid_map(family_);
  layout.sets.push_back(drop_invalid);
  layout.chains.push_back(content(drop_chain_, {verdict(Verdict::Kind::kDrop)}));
  const Bytes invalid = nftables::host_order(kStateInvalid);
  layout.chains.push_back(base_chain(
      family_, "forward", {.type = "filter", .number = kForwardHook, .priority = kFilterPriority},
      {expr::conntrack(expr::Conntrack::kState, 0),
       expr::bitwise(0, 0, invalid, nftables::host_order(0)),
       expr::compare(expr::Compare::kNotEqual, 0, nftables::host_order(0)),
       expr::source_address(family_, 0), expr::lookup_verdict(drop_invalid.name, 0)}));
  return layout;
}

std::vector<std::string> policy_set_names(const std::string& chain) {
  return {chain + kSkip, chain + kOnly, chain + kOut};
}

std::vector<Element> name_elements(const std::vector<std::string>& names) {
  std::vector<std::pair<inet::Bits, inet::Bits>> ranges;
  for (const std::string& name : names) ranges.push_back(name_range(name));
  std::ranges::sort(ranges);
  std::vector<std::pair<inet::Bits, inet::Bits>> merged;
  for (const auto& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  std::vector<Element> elements;
  // As nft(8) wants to see it: what lies below is a range that ends here.
  if (!merged.empty()) elements.push_back({.key = name_bytes(0), .interval_end = true});
  for (const auto& [first, beyond] : merged) {
    elements.push_back({.key = name_bytes(first)});
    elements.push_back({.key = name_bytes(beyond), .interval_end = true});
  }
  return elements;
}

}  // namespace cni::masquerade
