// What every target holds its parser to.
#pragma once

#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "protocol/error.h"

namespace cni::fuzz {

// A promise was broken: what libFuzzer keeps the input for, and the replay counts as failed.
class Violation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

void require(bool holds, const std::string& promise);

// Whether `parse` takes its input. It may refuse it only by an exception that this code base knows,
// with one of `codes` for the runtime; and the error can be printed and read again.
bool accepts(const std::function<void()>& parse, std::initializer_list<Code> codes);

// Codes of a configuration that is of no use.
inline constexpr std::initializer_list<Code> kConfigCodes = {
    Code::kIncompatibleVersion, Code::kUnsupportedField, Code::kInvalidEnvironment,
    Code::kDecodingFailure, Code::kInvalidConfig};

}  // namespace cni::fuzz
