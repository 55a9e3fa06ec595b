// The pieces of user data that we put to rules and elements of nf_tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cni::netfilter {

// Their types. nft(8) knows the comment, and passes over the others.
inline constexpr std::uint8_t kCommentPiece = 0;
inline constexpr std::uint8_t kOwnerPiece = 200;
inline constexpr std::uint8_t kRecordHeadPiece = 201;
inline constexpr std::uint8_t kRecordChunkPiece = 202;
inline constexpr std::uint8_t kRuleDigestPiece = 203;

// All of their contents are texts.
inline std::span<const std::byte> bytes_of_text(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string_view text_of_bytes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace cni::netfilter
