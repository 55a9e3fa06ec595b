#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "netlink/message.h"
#include "nftables/encoding.h"
#include "nftables/expression.h"
#include "xtables/dialect_comparison.h"
#include "xtables/dialect_registers.h"
#include "xtables/dialect_rule.h"
#include "xtables/extension.h"

namespace cni::xtables {
namespace {

using netlink::Attributes;
using nftables::Expression;
using nftables::find_be32;

// Follows the expressions of one rule. What it has no words for makes the rule not understood; it
// goes on nevertheless, for the jump and the comment.
class RuleReader {
 public:
  explicit RuleReader(inet::Family family) : family_(family) {}

  void read(const Expression& expression) {
    const Attributes attributes = expression.parse();
    if (expression.name == "counter") return;
    const auto step = std::ranges::find(kSteps, expression.name, &Step::name);
    // A target is the end.
    const bool at_end = target_.has_value();
    const bool known = step != kSteps.end() && (this->*step->read)(attributes);
    understood_ = understood_ && known && !at_end;
  }

  StoredRule take(const nftables::Rule& source) {
    StoredRule stored;
    if (const std::string comment = source.comment(); !comment.empty()) {
      // iptables-nft prints it first as well.
      rule_.matches.insert(rule_.matches.begin(), Comment{comment});
    }
    stored.jump_target = source.jump_target();
    stored.comment = rule_.comment();
    if (understood_ && target_) {
      rule_.target = *target_;
      stored.rule = std::move(rule_);
    }
    return stored;
  }

 private:
  bool meta(const Attributes& attributes) {
    return attributes.has(NFTA_META_SREG) ? set_mark(attributes) : registers_.load_meta(attributes);
  }

  bool set_mark(const Attributes& attributes) {
    const Loaded* loaded = registers_.find(attributes, NFTA_META_SREG);
    if (find_be32(attributes, NFTA_META_KEY) != NFT_META_MARK || loaded == nullptr) return false;
    if (loaded->from == Loaded::From::kValue) {
      const auto value = Attributes::read_value<std::uint32_t>(loaded->value);
      if (!value) return false;
      target_ = SetMark{.value = *value, .mask = 0xffffffff};
      return true;
    }
    if (loaded->from != Loaded::From::kMeta || loaded->key != NFT_META_MARK) return false;
    const auto mask = Attributes::read_value<std::uint32_t>(loaded->mask);
    const auto flip = Attributes::read_value<std::uint32_t>(loaded->flip);
    if (!mask || !flip) return false;
    target_ = SetMark{.value = *flip, .mask = ~*mask};
    return true;
  }

  bool payload(const Attributes& attributes) { return registers_.load_payload(attributes); }
  bool bitwise(const Attributes& attributes) { return registers_.apply_bitwise(attributes); }

  bool compare(const Attributes& attributes) {
    return decode_comparison(family_, attributes, registers_, rule_);
  }
  bool range(const Attributes& attributes) { return decode_range(attributes, registers_, rule_); }

  bool immediate(const Attributes& attributes) {
    if (find_be32(attributes, NFTA_IMMEDIATE_DREG) != NFT_REG_VERDICT) {
      return registers_.load_value(attributes);
    }
    const auto verdict = nftables::read_verdict(attributes, NFTA_IMMEDIATE_DATA);
    if (!verdict) return false;
    using Kind = nftables::Verdict::Kind;
    switch (verdict->kind) {
      case Kind::kAccept:
        target_ = Accept{};
        return true;
      case Kind::kDrop:
        target_ = Drop{};
        return true;
      case Kind::kReturn:
        target_ = Return{};
        return true;
      case Kind::kJump:
        target_ = Jump{verdict->chain};
        return true;
      case Kind::kGoto:
        return false;
    }
    return false;
  }

  bool match(const Attributes& attributes) {
    const auto revision = find_be32(attributes, NFTA_MATCH_REV);
    const auto info = attributes.find(NFTA_MATCH_INFO);
    return revision && info &&
           decode_match(attributes.text(NFTA_MATCH_NAME), *revision, *info, rule_);
  }

  bool target(const Attributes& attributes) {
    const auto revision = find_be32(attributes, NFTA_TARGET_REV);
    const auto info = attributes.find(NFTA_TARGET_INFO);
    if (!revision || !info) return false;
    target_ = decode_target(family_, attributes.text(NFTA_TARGET_NAME), *revision, *info);
    return target_.has_value();
  }

  // What an earlier expression put into the register.
  std::optional<inet::Address> address_in(const Attributes& attributes, int attribute) const {
    const Loaded* loaded = registers_.find(attributes, attribute);
    return loaded == nullptr ? std::nullopt : loaded->address(family_);
  }

  std::optional<std::uint16_t> port_in(const Attributes& attributes, int attribute) const {
    const Loaded* loaded = registers_.find(attributes, attribute);
    return loaded == nullptr ? std::nullopt : loaded->port();
  }

  bool nat(const Attributes& attributes) {
    const auto type = find_be32(attributes, NFTA_NAT_TYPE);
    // The kernel adds what follows from the registers.
    const std::uint32_t flags = find_be32(attributes, NFTA_NAT_FLAGS).value_or(0) &
                                ~std::uint32_t{NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED};
    const auto first = address_in(attributes, NFTA_NAT_REG_ADDR_MIN);
    const auto last = attributes.has(NFTA_NAT_REG_ADDR_MAX)
                          ? address_in(attributes, NFTA_NAT_REG_ADDR_MAX)
                          : first;
    if (!first || !last) return false;
    const auto port = port_in(attributes, NFTA_NAT_REG_PROTO_MIN);
    if (attributes.has(NFTA_NAT_REG_PROTO_MIN) && !port) return false;
    if (attributes.has(NFTA_NAT_REG_PROTO_MAX) &&
        port_in(attributes, NFTA_NAT_REG_PROTO_MAX) != port) {
      return false;
    }
    if (type == NFT_NAT_DNAT) {
      if (flags != 0 || *first != *last) return false;
      target_ = DestinationNat{.address = *first, .port = port.value_or(0)};
      return true;
    }
    constexpr std::uint32_t kKnown = NF_NAT_RANGE_PROTO_RANDOM_FULLY | NF_NAT_RANGE_PERSISTENT;
    if (type != NFT_NAT_SNAT || port || (flags & ~kKnown) != 0) return false;
    target_ = SourceNat{.first = *first,
                        .last = *last,
                        .fully_random = (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0,
                        .persistent = (flags & NF_NAT_RANGE_PERSISTENT) != 0};
    return true;
  }

  bool masquerade(const Attributes& attributes) {
    if (attributes.has(NFTA_MASQ_REG_PROTO_MIN)) return false;
    const std::uint32_t flags = find_be32(attributes, NFTA_MASQ_FLAGS).value_or(0);
    if (flags != 0 && flags != NF_NAT_RANGE_PROTO_RANDOM_FULLY) return false;
    target_ = Masquerade{.fully_random = flags != 0};
    return true;
  }

  struct Step {
    std::string_view name;
    bool (RuleReader::*read)(const Attributes& attributes);
  };
  static const std::array<Step, 10> kSteps;

  inet::Family family_;
  Registers registers_;
  Rule rule_{.target = Accept{}};
  std::optional<Target> target_;
  bool understood_ = true;
};

constexpr std::array<RuleReader::Step, 10> RuleReader::kSteps = {{
    {"meta", &RuleReader::meta},
    {"payload", &RuleReader::payload},
    {"bitwise", &RuleReader::bitwise},
    {"cmp", &RuleReader::compare},
    {"range", &RuleReader::range},
    {"immediate", &RuleReader::immediate},
    {"match", &RuleReader::match},
    {"target", &RuleReader::target},
    {"nat", &RuleReader::nat},
    {"masq", &RuleReader::masquerade},
}};

}  // namespace

StoredRule decode_dialect(inet::Family family, const nftables::Rule& rule) {
  RuleReader reader(family);
  for (const Expression& expression : rule.expressions) reader.read(expression);
  return reader.take(rule);
}

}  // namespace cni::xtables
