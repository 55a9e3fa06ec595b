// The objects of nf_tables (nft(8)): tables hold chains and sets, chains hold rules, sets elements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nftables/expression.h"

namespace cni::nftables {

// NFPROTO_*, linux/netfilter.h
enum class Family : std::uint8_t { kInet = 1, kIp4 = 2, kBridge = 7, kIp6 = 10 };

Family table_family(inet::Family family);
// As nft(8) says it: "ip".
const char* name(Family family);

struct TableId {
  Family family;
  std::string name;

  // As nft(8) says it: "ip nat".
  std::string text() const;

  friend bool operator==(const TableId&, const TableId&) = default;
};

struct Table {
  TableId id;
  Bytes user_data = {};
};

// A base chain: where the kernel calls it.
struct Hook {
  std::string type;          // "filter" or "nat"
  std::uint32_t number;      // NF_INET_*, NF_BR_*: prerouting 0 ... postrouting 4
  std::int32_t priority;     // lower ones run first
  bool policy_drop = false;  // of a chain that was read; never sent

  friend bool operator==(const Hook&, const Hook&) = default;
};

struct Chain {
  TableId table;
  std::string name;
  std::optional<Hook> hook = std::nullopt;
  // Of a chain that was read: how many rules it has plus how many rules and elements refer to it.
  std::uint32_t use = 0;

  friend bool operator==(const Chain&, const Chain&) = default;
};

struct Rule {
  TableId table;
  std::string chain;
  std::vector<Expression> expressions;
  Bytes user_data = {};
  // Of a rule with xt expressions, when it is sent: the protocol it matches, 0 for any
  // (NFTA_RULE_COMPAT). The kernel does not return it.
  std::optional<std::uint32_t> compat_protocol = std::nullopt;
  std::uint64_t handle = 0;  // of a rule that was read

  // The chain that an immediate verdict at its end jumps or goes to; empty if it does neither.
  std::string jump_target() const;
  // The text in its user data (rule_comment), empty if there is none.
  std::string comment() const;
};

struct Set {
  TableId table;
  std::string name;
  std::uint32_t key_length;                       // bytes
  std::uint32_t key_type = 0;                     // how nft(8) prints a key: its number of the type
  std::vector<std::uint32_t> field_lengths = {};  // of a key of several fields, bytes
  bool interval = false;                          // elements are ranges
  bool constant = false;
  // Of a map.
  enum class Data { kNone, kVerdict, kValue };
  Data data = Data::kNone;
  std::uint32_t data_length = 0;
  std::uint32_t data_type = 0;
  // Its pieces are of other types than those of a table: 7 is the comment. Batch::ensure_set() adds
  // those by which nft(8) knows how keys and values lie in memory.
  Bytes user_data = {};
};

// Type numbers by which nft(8) prints a key or a value. A key of several fields has them one after
// the other, 6 bits each (concatenated_type).
inline constexpr std::uint32_t kTypeInteger = 4;
inline constexpr std::uint32_t kTypeIp4 = 7;
inline constexpr std::uint32_t kTypeIp6 = 8;
inline constexpr std::uint32_t kTypeProtocol = 12;
inline constexpr std::uint32_t kTypePort = 13;
inline constexpr std::uint32_t kTypeMark = 19;
inline constexpr std::uint32_t kTypeInterfaceName = 41;
std::uint32_t address_type(inet::Family family);
std::uint32_t concatenated_type(std::initializer_list<std::uint32_t> types);

struct Element {
  Bytes key;
  Bytes key_end = {};         // inclusive end, of an interval in a key of several fields
  bool interval_end = false;  // in a set of one field a range is two elements: [first, beyond)
  std::optional<Verdict> verdict = std::nullopt;
  Bytes value = {};
  Bytes user_data = {};

  friend bool operator==(const Element&, const Element&) = default;
};

// Whether two of them are the same to the kernel, by key, end of the key and kind of end.
bool has_duplicates(std::span<const Element> elements);

// User data are pieces of type (1 byte), length (1 byte) and that many bytes, at most 256 in all.
// Type 0 is a text with final NUL, which nft(8) prints as comment; it passes over types it does not
// know. Each function cuts nothing and throws std::length_error.
Bytes table_comment(const std::string& text);
Bytes rule_comment(const std::string& text);
Bytes element_comment(const std::string& text);
void append_user_data(Bytes& user_data, std::uint8_t type, std::span<const std::byte> content);
std::optional<std::span<const std::byte>> find_user_data(std::span<const std::byte> user_data,
                                                         std::uint8_t type);

}  // namespace cni::nftables
