// Inputs in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/request.h"

namespace cni::fuzz {

// Takes pieces off the front of an input; at its end there are zeros and empty pieces.
class Pieces {
 public:
  explicit Pieces(std::string_view input) : rest_(input) {}

  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  std::uint8_t byte();
  // Two bytes, little endian.
  std::uint16_t number();
  // At most `size` bytes.
  std::string_view take(std::size_t size);
  // As long as its first two bytes say.
  std::string_view sized() { return take(number()); }
  // Up to the next NUL, which is left out: what is text stays readable in the corpus.
  std::string_view text();

 private:
  std::string_view rest_;
};

std::span<const std::byte> bytes(std::string_view text);

// A call of a plugin: the configuration, then CNI_ARGS, then the command if it is not ADD. Throws
// as NetConf does.
Request request_of(std::string_view input);

// What every plugin does with its configuration before it looks at keys of its own, and the keys
// that all have.
void require_sound(const Request& request);

}  // namespace cni::fuzz
