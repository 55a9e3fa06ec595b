// SHA-512 (FIPS 180-4), for names that have to be derived from longer ones.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cni {

// The first `digits` lower-case hex digits (at most 128) of the digest of `text`.
std::string sha512_hex(std::string_view text, std::size_t digits = 128);

}  // namespace cni
