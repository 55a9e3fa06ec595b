// All fuzz targets: functions that take any bytes, and throw Violation if what they test breaks a
// promise. README.md says how to add one.
#pragma once

#include <array>
#include <string_view>

namespace cni::fuzz {

using Run = void (*)(std::string_view input);

struct Target {
  std::string_view name;  // of its file and of its folder in corpus/
  Run run;
};

#define CNI_FUZZ_TARGET(name) void name(std::string_view input);
#include "fuzz/targets.inc"
#undef CNI_FUZZ_TARGET

// Runs it, and throws Violation also if that takes more than the second of processor time that the
// plugins have for any input.
void run(const Target& target, std::string_view input);

}  // namespace cni::fuzz
