// Addresses, networks, masks and MACs.

#include <arpa/inet.h>

#include <array>

#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "inet/address.h"
#include "inet/mac.h"
#include "inet/mask.h"
#include "inet/network.h"

namespace cni::fuzz {
namespace {

void check_address(const std::string& text) {
  const auto address = inet::Address::parse(text);
  std::array<char, 16> bytes{};
  // The C library ends at the first NUL.
  const bool whole = text.find('\0') == std::string::npos;
  const bool known = whole && (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
                               ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1);
  require(address.has_value() == known, "addresses are those of inet_pton(3)");
  if (!address) return;
  require(inet::Address::parse(address->text()) == address, "an address reads back");
  const auto raw = address->bytes();
  require(inet::Address::from_bytes(address->family(), raw.data()) == *address,
          "an address is its bytes");
  require(inet::Address::from_bits(address->family(), address->bits()) == *address,
          "an address is its bits");
}

void check_network(const std::string& text) {
  const auto network = inet::Network::parse(text);
  if (!network) return;
  require(network->prefix_length >= 0 && network->prefix_length <= network->address.width(),
          "a prefix has a length of its family");
  require(inet::Network::parse(network->text()) == network, "a network reads back");
  require(network->contains(network->address) && network->contains(network->first()) &&
              network->contains(network->last()),
          "a network holds its addresses");
  require(network->first() <= network->address && network->address <= network->last(),
          "a network is a range");
  require(network->overlaps(network->masked()), "a network overlaps itself");
  require(inet::prefix_length_of(inet::mask_of(*network)) == network->prefix_length,
          "a mask has its length");
}

void check_mac(const std::string& text) {
  const auto mac = inet::Mac::parse(text);
  if (!mac) return;
  const std::size_t size = mac->bytes().size();
  require(size == 6 || size == 8 || size == 20, "a MAC has a size that links have");
  require(inet::Mac::parse(mac->text()) == mac, "a MAC reads back");
}

}  // namespace

void inet(std::string_view input) {
  const std::string text(input);
  check_address(text);
  check_network(text);
  check_mac(text);
}

}  // namespace cni::fuzz
