// A plugin that has no keys of its own.

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {

void loopback_config(std::string_view input) {
  accepts([&] { require_sound(request_of(input)); }, kConfigCodes);
}

}  // namespace cni::fuzz
