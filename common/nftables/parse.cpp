#include "nftables/parse.h"

#include <endian.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cstdint>
#include <optional>
#include <span>

#include "nftables/encoding.h"

namespace cni::nftables {
namespace {

using netlink::Answer;
using netlink::Attributes;

constexpr std::uint32_t kNfDrop = 0;  // linux/netfilter.h

Bytes bytes_in(const Attributes& attributes, int attribute) {
  const auto bytes = attributes.find(attribute);
  return bytes ? Bytes(bytes->begin(), bytes->end()) : Bytes();
}

}  // namespace

Attributes attributes_of(const Answer& answer) {
  return Attributes::after_header(answer.payload, sizeof(nfgenmsg));
}

Family family_of(const Answer& answer) {
  const auto header = Attributes::read_header<nfgenmsg>(answer.payload);
  return static_cast<Family>(header ? header->nfgen_family : 0);
}

Table parse_table(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  return {.id = {family_of(answer), attributes.text(NFTA_TABLE_NAME)},
          .user_data = bytes_in(attributes, NFTA_TABLE_USERDATA)};
}

Chain parse_chain(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  Chain chain{.table = {family_of(answer), attributes.text(NFTA_CHAIN_TABLE)},
              .name = attributes.text(NFTA_CHAIN_NAME),
              .use = find_be32(attributes, NFTA_CHAIN_USE).value_or(0)};
  if (attributes.has(NFTA_CHAIN_HOOK)) {
    const Attributes hook = attributes.nested(NFTA_CHAIN_HOOK);
    chain.hook =
        Hook{.type = attributes.text(NFTA_CHAIN_TYPE),
             .number = find_be32(hook, NFTA_HOOK_HOOKNUM).value_or(0),
             .priority = static_cast<std::int32_t>(find_be32(hook, NFTA_HOOK_PRIORITY).value_or(0)),
             .policy_drop = find_be32(attributes, NFTA_CHAIN_POLICY) == kNfDrop};
  }
  return chain;
}

Rule parse_rule(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  Rule rule{.table = {family_of(answer), attributes.text(NFTA_RULE_TABLE)},
            .chain = attributes.text(NFTA_RULE_CHAIN),
            .expressions = {},
            .user_data = bytes_in(attributes, NFTA_RULE_USERDATA),
            .handle = be64toh(attributes.find_value<std::uint64_t>(NFTA_RULE_HANDLE).value_or(0))};
  attributes.nested(NFTA_RULE_EXPRESSIONS).for_each([&](int, std::span<const std::byte> payload) {
    const Attributes expression(payload);
    rule.expressions.push_back({.name = expression.text(NFTA_EXPR_NAME),
                                .attributes = bytes_in(expression, NFTA_EXPR_DATA)});
  });
  return rule;
}

Set parse_set(const Answer& answer) {
  const Attributes attributes = attributes_of(answer);
  const std::uint32_t flags = find_be32(attributes, NFTA_SET_FLAGS).value_or(0);
  Set set{.table = {family_of(answer), attributes.text(NFTA_SET_TABLE)},
          .name = attributes.text(NFTA_SET_NAME),
          .key_length = find_be32(attributes, NFTA_SET_KEY_LEN).value_or(0),
          .key_type = find_be32(attributes, NFTA_SET_KEY_TYPE).value_or(0),
          .interval = (flags & NFT_SET_INTERVAL) != 0,
          .constant = (flags & NFT_SET_CONSTANT) != 0,
          .user_data = bytes_in(attributes, NFTA_SET_USERDATA)};
  attributes.nested(NFTA_SET_DESC)
      .nested(NFTA_SET_DESC_CONCAT)
      .for_each([&](int, std::span<const std::byte> payload) {
        set.field_lengths.push_back(find_be32(Attributes(payload), NFTA_SET_FIELD_LEN).value_or(0));
      });
  if ((flags & NFT_SET_MAP) != 0) {
    const std::uint32_t type = find_be32(attributes, NFTA_SET_DATA_TYPE).value_or(0);
    set.data = type == NFT_DATA_VERDICT ? Set::Data::kVerdict : Set::Data::kValue;
    if (set.data == Set::Data::kValue) {
      set.data_type = type;
      set.data_length = find_be32(attributes, NFTA_SET_DATA_LEN).value_or(0);
    }
  }
  return set;
}

void parse_elements(const Answer& answer, std::vector<Element>& elements) {
  attributes_of(answer)
      .nested(NFTA_SET_ELEM_LIST_ELEMENTS)
      .for_each([&](int, std::span<const std::byte> payload) {
        const Attributes attributes(payload);
        const std::uint32_t flags = find_be32(attributes, NFTA_SET_ELEM_FLAGS).value_or(0);
        elements.push_back({.key = read_data(attributes, NFTA_SET_ELEM_KEY),
                            .key_end = read_data(attributes, NFTA_SET_ELEM_KEY_END),
                            .interval_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0,
                            .verdict = read_verdict(attributes, NFTA_SET_ELEM_DATA),
                            .value = read_data(attributes, NFTA_SET_ELEM_DATA),
                            .user_data = bytes_in(attributes, NFTA_SET_ELEM_USERDATA)});
      });
}

}  // namespace cni::nftables
