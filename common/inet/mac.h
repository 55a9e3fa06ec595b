// A hardware address of 6 (Ethernet), 8 or 20 (InfiniBand) bytes.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cni::inet {

class Mac {
 public:
  // Reads two-digit groups joined by ':' or '-', or four-digit groups joined by '.', in any case.
  static std::optional<Mac> parse(std::string_view text);

  explicit Mac(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}

  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

  // Lower case, joined by ':'.
  std::string text() const;

  // Neither a group address (bit 0 of the first byte) nor all zeros, so an interface may have it.
  bool is_assignable() const;

  friend auto operator<=>(const Mac&, const Mac&) = default;

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace cni::inet
