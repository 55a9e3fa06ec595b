#include "base/digest.h"

#include <sha512.h>  // libmd

#include <array>
#include <cstdint>

namespace cni {

std::string sha512_hex(std::string_view text, std::size_t digits) {
  SHA512_CTX context;
  ::SHA512Init(&context);
  ::SHA512Update(&context, reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  std::array<std::uint8_t, SHA512_DIGEST_LENGTH> digest{};
  ::SHA512Final(digest.data(), &context);

  constexpr std::string_view kHex = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : digest) {
    hex += kHex[byte >> 4U];
    hex += kHex[byte & 15U];
  }
  hex.resize(std::min(digits, hex.size()));
  return hex;
}

}  // namespace cni
