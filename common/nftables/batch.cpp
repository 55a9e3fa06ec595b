#include "nftables/batch.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "nftables/encoding.h"

namespace cni::nftables {
namespace {

using netlink::Message;

// What the list of elements in one message may take; an attribute ends at 64 KiB, and one element
// takes at most some 700 bytes.
constexpr std::size_t kListSize = 60000;
constexpr std::size_t kLargestElement = 700;

// The type that stands for "a verdict" in the description of a map.
constexpr std::uint32_t kVerdictType = NFT_DATA_VERDICT;

void put_handle(Message& message, int attribute, std::uint64_t handle) {
  message.put_value(attribute, htobe64(handle));
}

void put_user_data(Message& message, int attribute, const Bytes& user_data) {
  if (!user_data.empty()) message.put_bytes(attribute, user_data);
}

bool is_concatenated_interval(const Set& set) {
  return set.interval && !set.field_lengths.empty();
}

// By pieces of these types in the user data of a set nft(8) knows the order of bytes in its keys
// and values (NFTNL_UDATA_SET_KEYBYTEORDER and NFTNL_UDATA_SET_DATABYTEORDER of libnftnl/udata.h);
// it prints names of links as empty and numbers turned round otherwise. Of several fields it knows.
constexpr std::uint32_t kFirstConcatenatedType = 1U << 6U;
constexpr std::uint8_t kKeyOrderPiece = 0;
constexpr std::uint8_t kDataOrderPiece = 1;
constexpr std::uint32_t kHostEndian = 1;
constexpr std::uint32_t kBigEndian = 2;

void append_order(Bytes& user_data, std::uint8_t piece, std::uint32_t type) {
  const bool in_memory_order = type == kTypeMark || type == kTypeInterfaceName;
  append_user_data(user_data, piece, host_order(in_memory_order ? kHostEndian : kBigEndian));
}

Bytes set_user_data(const Set& set) {
  Bytes user_data = set.user_data;
  if (!find_user_data(user_data, kKeyOrderPiece) && set.key_type < kFirstConcatenatedType) {
    append_order(user_data, kKeyOrderPiece, set.key_type);
  }
  if (set.data == Set::Data::kValue && !find_user_data(user_data, kDataOrderPiece) &&
      set.data_type < kFirstConcatenatedType) {
    append_order(user_data, kDataOrderPiece, set.data_type);
  }
  return user_data;
}

std::uint32_t set_flags(const Set& set) {
  std::uint32_t flags = 0;
  if (set.interval) flags |= NFT_SET_INTERVAL;
  if (set.constant) flags |= NFT_SET_CONSTANT;
  if (set.data != Set::Data::kNone) flags |= NFT_SET_MAP;
  if (is_concatenated_interval(set)) flags |= NFT_SET_CONCAT;
  return flags;
}

void put_element(Message& message, const Element& element) {
  message.nest(NFTA_LIST_ELEM, [&] {
    put_data(message, NFTA_SET_ELEM_KEY, element.key);
    if (!element.key_end.empty()) put_data(message, NFTA_SET_ELEM_KEY_END, element.key_end);
    if (element.interval_end) {
      put_be32(message, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    }
    if (element.verdict) {
      put_verdict(message, NFTA_SET_ELEM_DATA, *element.verdict);
    } else if (!element.value.empty()) {
      put_data(message, NFTA_SET_ELEM_DATA, element.value);
    }
    put_user_data(message, NFTA_SET_ELEM_USERDATA, element.user_data);
  });
}

}  // namespace

// Table, chain, rule, set and elements have their table in attribute 1 alike.
Message& Batch::start(std::uint8_t message, const TableId& table, std::uint16_t flags) {
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1);
  removes_ = removes_ || message == NFT_MSG_DELRULE || message == NFT_MSG_DELCHAIN ||
             message == NFT_MSG_DELTABLE || message == NFT_MSG_DELSET ||
             message == NFT_MSG_DELSETELEM;
  messages_.emplace_back(Message::Netfilter{.subsystem = NFNL_SUBSYS_NFTABLES,
                                            .message = message,
                                            .family = static_cast<std::uint8_t>(table.family),
                                            .question = false},
                         flags);
  messages_.back().put_text(NFTA_TABLE_NAME, table.name);
  return messages_.back();
}

void Batch::ensure_table(const Table& table) {
  Message& message = start(NFT_MSG_NEWTABLE, table.id, NLM_F_CREATE);
  put_user_data(message, NFTA_TABLE_USERDATA, table.user_data);
}

void Batch::ensure_chain(const Chain& chain) {
  Message& message = start(NFT_MSG_NEWCHAIN, chain.table, NLM_F_CREATE);
  message.put_text(NFTA_CHAIN_NAME, chain.name);
  if (!chain.hook) return;
  message.nest(NFTA_CHAIN_HOOK, [&] {
    put_be32(message, NFTA_HOOK_HOOKNUM, chain.hook->number);
    put_be32(message, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(chain.hook->priority));
  });
  message.put_text(NFTA_CHAIN_TYPE, chain.hook->type);
}

void Batch::ensure_set(const Set& set) {
  Message& message = start(NFT_MSG_NEWSET, set.table, NLM_F_CREATE);
  message.put_text(NFTA_SET_NAME, set.name);
  put_be32(message, NFTA_SET_ID, ++last_set_);
  put_be32(message, NFTA_SET_FLAGS, set_flags(set));
  put_be32(message, NFTA_SET_KEY_TYPE, set.key_type);
  put_be32(message, NFTA_SET_KEY_LEN, set.key_length);
  if (set.data == Set::Data::kVerdict) {
    put_be32(message, NFTA_SET_DATA_TYPE, kVerdictType);
    put_be32(message, NFTA_SET_DATA_LEN, 0);
  } else if (set.data == Set::Data::kValue) {
    put_be32(message, NFTA_SET_DATA_TYPE, set.data_type);
    put_be32(message, NFTA_SET_DATA_LEN, set.data_length);
  }
  if (is_concatenated_interval(set)) {
    message.nest(NFTA_SET_DESC, [&] {
      message.nest(NFTA_SET_DESC_CONCAT, [&] {
        for (const std::uint32_t length : set.field_lengths) {
          message.nest(NFTA_LIST_ELEM, [&] { put_be32(message, NFTA_SET_FIELD_LEN, length); });
        }
      });
    });
  }
  put_user_data(message, NFTA_SET_USERDATA, set_user_data(set));
}

void Batch::put_rule(const Rule& rule, std::uint16_t flags, std::uint64_t before) {
  Message& message =
      start(NFT_MSG_NEWRULE, rule.table, static_cast<std::uint16_t>(NLM_F_CREATE | flags));
  message.put_text(NFTA_RULE_CHAIN, rule.chain);
  if (before != 0) put_handle(message, NFTA_RULE_POSITION, before);
  message.nest(NFTA_RULE_EXPRESSIONS, [&] {
    for (const Expression& expression : rule.expressions) {
      message.nest(NFTA_LIST_ELEM, [&] {
        message.put_text(NFTA_EXPR_NAME, expression.name);
        message.put_bytes(NFTA_EXPR_DATA | NLA_F_NESTED, expression.attributes);
      });
    }
  });
  if (rule.compat_protocol) {
    message.nest(NFTA_RULE_COMPAT, [&] {
      put_be32(message, NFTA_RULE_COMPAT_PROTO, *rule.compat_protocol);
      put_be32(message, NFTA_RULE_COMPAT_FLAGS, 0);
    });
  }
  put_user_data(message, NFTA_RULE_USERDATA, rule.user_data);
}

void Batch::append_rule(const Rule& rule) {
  put_rule(rule, NLM_F_APPEND, 0);
}

void Batch::insert_rule(const Rule& rule) {
  put_rule(rule, 0, 0);
}

void Batch::insert_rule_before(const Rule& rule, std::uint64_t handle) {
  put_rule(rule, 0, handle);
}

void Batch::delete_rule(const TableId& table, const std::string& chain, std::uint64_t handle) {
  Message& message = start(NFT_MSG_DELRULE, table, 0);
  message.put_text(NFTA_RULE_CHAIN, chain);
  put_handle(message, NFTA_RULE_HANDLE, handle);
}

void Batch::flush_chain(const TableId& table, const std::string& chain) {
  start(NFT_MSG_DELRULE, table, 0).put_text(NFTA_RULE_CHAIN, chain);
}

void Batch::delete_chain(const TableId& table, const std::string& chain) {
  start(NFT_MSG_DELCHAIN, table, 0).put_text(NFTA_CHAIN_NAME, chain);
}

void Batch::delete_table(const TableId& table) {
  start(NFT_MSG_DELTABLE, table, 0);
}

void Batch::delete_set(const TableId& table, const std::string& set) {
  start(NFT_MSG_DELSET, table, 0).put_text(NFTA_SET_NAME, set);
}

void Batch::put_elements(std::uint8_t message_type, const Set& set,
                         std::span<const Element> elements, std::uint16_t flags) {
  while (!elements.empty()) {
    Message& message = start(message_type, set.table, flags);
    message.put_text(NFTA_SET_ELEM_LIST_SET, set.name);
    message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&] {
      const std::size_t begin = message.header()->nlmsg_len;
      while (!elements.empty() &&
             message.header()->nlmsg_len - begin + kLargestElement < kListSize) {
        put_element(message, elements.front());
        elements = elements.subspan(1);
      }
    });
  }
}

void Batch::add_elements(const Set& set, std::span<const Element> elements, bool exclusive) {
  put_elements(NFT_MSG_NEWSETELEM, set, elements,
               static_cast<std::uint16_t>(NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0)));
}

void Batch::delete_elements(const Set& set, std::span<const Element> elements) {
  put_elements(NFT_MSG_DELSETELEM, set, elements, 0);
}

}  // namespace cni::nftables
