// What the registers hold while one follows the expressions of a rule of the iptables dialect.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "inet/address.h"
#include "netlink/message.h"
#include "nftables/expression.h"

namespace cni::xtables {

struct Loaded {
  enum class From { kMeta, kPayload, kValue };
  From from;
  std::uint32_t key = 0;  // of kMeta: NFT_META_*; of kPayload: NFT_PAYLOAD_*
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  nftables::Bytes value = {};  // of kValue
  // (register & mask) ^ flip, if it went through that.
  nftables::Bytes mask = {};
  nftables::Bytes flip = {};

  // The value, if it is one of this kind.
  std::optional<inet::Address> address(inet::Family family) const;
  std::optional<std::uint16_t> port() const;
};

class Registers {
 public:
  // Each takes the attributes of an expression; false if that says something else.
  bool load_meta(const netlink::Attributes& attributes);
  bool load_payload(const netlink::Attributes& attributes);
  bool load_value(const netlink::Attributes& attributes);
  bool apply_bitwise(const netlink::Attributes& attributes);

  // What the register has whose number is in `attribute`; nullptr if nothing is known.
  const Loaded* find(const netlink::Attributes& attributes, int attribute) const;

 private:
  // By the first 4 bytes of the register, however it is numbered.
  std::map<std::uint32_t, Loaded> loaded_;
};

// The port that begins at `offset` of `bytes`, which has it.
std::uint16_t read_port(const nftables::Bytes& bytes, std::size_t offset = 0);

}  // namespace cni::xtables
