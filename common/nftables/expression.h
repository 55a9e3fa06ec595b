// Expressions: what one rule of nf_tables does, step by step, as the kernel runs it.
//
// An expression is its name and its encoded attributes (NFTA_EXPR_NAME and NFTA_EXPR_DATA,
// linux/netfilter/nf_tables.h). Registers are those of 4 bytes, NFT_REG32_00 onwards, numbered here
// from 0 to 15: a value of n bytes takes n/4 of them, rounded up, from the one it is loaded into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inet/address.h"
#include "netlink/message.h"

namespace cni::nftables {

using Bytes = std::vector<std::byte>;

// Big endian, as in packets.
Bytes network_order(std::uint16_t value);
// As in this machine's memory: marks, interface indices.
Bytes host_order(std::uint32_t value);
Bytes bytes_of(const inet::Address& address);
// Of an address, in bytes.
std::uint32_t address_length(inet::Family family);
// `name` padded with zeros to the 16 bytes of IFNAMSIZ.
Bytes padded_name(const std::string& name);
// One after the other, each padded with zeros to a multiple of 4 bytes: a key of several fields.
Bytes concatenation(std::initializer_list<Bytes> fields);

// What becomes of the packet.
struct Verdict {
  enum class Kind : std::int32_t {
    kDrop = 0,
    kAccept = 1,
    kJump = -3,
    kGoto = -4,
    kReturn = -5,
  };
  Kind kind;
  std::string chain = {};  // of jump and goto

  friend bool operator==(const Verdict&, const Verdict&) = default;
};

struct Expression {
  std::string name;
  Bytes attributes;

  netlink::Attributes parse() const { return netlink::Attributes(attributes); }

  friend bool operator==(const Expression&, const Expression&) = default;
};

namespace expr {

enum class Compare : std::uint32_t { kEqual = 0, kNotEqual = 1 };
enum class Header : std::uint32_t { kLink = 0, kNetwork = 1, kTransport = 2 };
enum class Meta : std::uint32_t {
  kMark = 3,
  kInInterface = 4,       // index
  kOutInterface = 5,      // index
  kInInterfaceName = 6,   // 16 bytes
  kOutInterfaceName = 7,  // 16 bytes
  kProtocol = 16,         // of the transport, 1 byte (NFT_META_L4PROTO)
};
enum class Conntrack : std::uint32_t { kState = 0, kDirection = 1, kStatus = 2 };

Expression meta(Meta key, unsigned to);
Expression set_mark(unsigned from);
// `length` bytes at `offset` of a header.
Expression payload(Header base, std::uint32_t offset, std::uint32_t length, unsigned to);
// An address in the header of IP: RFC 791, section 3.1; RFC 8200, section 3.
Expression source_address(inet::Family family, unsigned to);
Expression destination_address(inet::Family family, unsigned to);
Expression conntrack(Conntrack key, unsigned to);
// The type of the route to the destination address: RTN_LOCAL is 2 (linux/rtnetlink.h).
Expression fib_destination_type(unsigned to);
Expression compare(Compare operation, unsigned from, const Bytes& value);
// Both ends included, as numbers in network order.
Expression range(Compare operation, unsigned from, const Bytes& first, const Bytes& last);
// register = (register & mask) ^ flip, as long as `mask`.
Expression bitwise(unsigned from, unsigned to, const Bytes& mask, const Bytes& flip);
Expression immediate(unsigned to, const Bytes& value);
Expression verdict(const Verdict& verdict);
// Goes on if the key that begins in register `from` is in the set (or, inverted, is not).
Expression lookup(const std::string& set, unsigned from, bool invert = false);
// The value that the map has for the key goes to register `to`; the rule ends if there is none.
Expression lookup_value(const std::string& map, unsigned from, unsigned to);
// The same with a verdict map, whose verdict is taken.
Expression lookup_verdict(const std::string& map, unsigned from);
Expression counter();

// Rewrites the destination to the address in register `address` and, if given, the port (big
// endian) in register `port`.
Expression dnat(inet::Family family, unsigned address, std::optional<unsigned> port);
struct SourceNat {
  unsigned first_address;
  std::optional<unsigned> last_address = std::nullopt;
  bool fully_random = false;
  bool persistent = false;
};
Expression snat(inet::Family family, const SourceNat& to);
Expression masquerade(bool fully_random);

// An extension of xtables, as the iptables dialect uses them (nft_compat). `info` is its struct,
// padded to a multiple of 8 bytes.
Expression xt_match(const std::string& name, std::uint32_t revision, const Bytes& info);
Expression xt_target(const std::string& name, std::uint32_t revision, const Bytes& info);

}  // namespace expr
}  // namespace cni::nftables
