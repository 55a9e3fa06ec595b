#include "xtables/dialect_registers.h"

#include <linux/netfilter/nf_tables.h>

#include <cstddef>
#include <utility>

#include "nftables/encoding.h"
#include "xtables/dialect_packet.h"

namespace cni::xtables {
namespace {

using netlink::Attributes;
using nftables::Bytes;
using nftables::find_be32;

// A register by its first 4 bytes, however it is numbered.
std::uint32_t first_word(std::uint32_t number) {
  constexpr std::uint32_t kWords = NFT_REG_SIZE / NFT_REG32_SIZE;
  if (number >= NFT_REG32_00) return number - NFT_REG32_00;
  return (number - NFT_REG_1) * kWords;
}

std::optional<std::uint32_t> find_register(const Attributes& attributes, int attribute) {
  const auto number = find_be32(attributes, attribute);
  if (!number) return std::nullopt;
  return first_word(*number);
}

}  // namespace

std::optional<inet::Address> Loaded::address(inet::Family family) const {
  if (from != From::kValue || value.size() != address_size(family)) return std::nullopt;
  return inet::Address::from_bytes(family, value.data());
}

std::optional<std::uint16_t> Loaded::port() const {
  if (from != From::kValue || value.size() != kPortSize) return std::nullopt;
  return read_port(value);
}

bool Registers::load_meta(const Attributes& attributes) {
  const auto key = find_be32(attributes, NFTA_META_KEY);
  const auto to = find_register(attributes, NFTA_META_DREG);
  if (!key || !to) return false;
  loaded_[*to] = {.from = Loaded::From::kMeta, .key = *key};
  return true;
}

bool Registers::load_payload(const Attributes& attributes) {
  const auto to = find_register(attributes, NFTA_PAYLOAD_DREG);
  const auto base = find_be32(attributes, NFTA_PAYLOAD_BASE);
  const auto offset = find_be32(attributes, NFTA_PAYLOAD_OFFSET);
  const auto length = find_be32(attributes, NFTA_PAYLOAD_LEN);
  if (!to || !base || !offset || !length) return false;
  loaded_[*to] = {
      .from = Loaded::From::kPayload, .key = *base, .offset = *offset, .length = *length};
  return true;
}

bool Registers::load_value(const Attributes& attributes) {
  const auto to = find_register(attributes, NFTA_IMMEDIATE_DREG);
  if (!to) return false;
  loaded_[*to] = {.from = Loaded::From::kValue,
                  .value = nftables::read_data(attributes, NFTA_IMMEDIATE_DATA)};
  return true;
}

bool Registers::apply_bitwise(const Attributes& attributes) {
  const auto to = find_register(attributes, NFTA_BITWISE_DREG);
  if (find_be32(attributes, NFTA_BITWISE_OP).value_or(NFT_BITWISE_BOOL) != NFT_BITWISE_BOOL) {
    return false;
  }
  const Loaded* loaded = find(attributes, NFTA_BITWISE_SREG);
  if (!to || loaded == nullptr || !loaded->mask.empty()) return false;
  Loaded result = *loaded;
  result.mask = nftables::read_data(attributes, NFTA_BITWISE_MASK);
  result.flip = nftables::read_data(attributes, NFTA_BITWISE_XOR);
  if (result.mask.empty() || result.flip.size() != result.mask.size()) return false;
  loaded_[*to] = std::move(result);
  return true;
}

const Loaded* Registers::find(const Attributes& attributes, int attribute) const {
  const auto number = find_register(attributes, attribute);
  if (!number) return nullptr;
  const auto found = loaded_.find(*number);
  return found == loaded_.end() ? nullptr : &found->second;
}

std::uint16_t read_port(const Bytes& bytes, std::size_t offset) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[offset]) << 8U |
                                    std::to_integer<unsigned>(bytes[offset + 1]));
}

}  // namespace cni::xtables
