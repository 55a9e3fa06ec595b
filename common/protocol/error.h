// What a plugin tells the runtime when it fails.
#pragma once

#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

#include "json/value.h"
#include "protocol/version.h"

namespace cni {

// CNI spec 1.1.0, section "Error"; kInvalidNetns and kInternal are usage of the Go suite.
enum class Code : unsigned {
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,
  kInvalidEnvironment = 4,
  kIoFailure = 5,
  kDecodingFailure = 6,
  kInvalidConfig = 7,
  kInvalidNetns = 8,
  kTryAgainLater = 11,
  kNotAvailable = 50,         // STATUS only
  kLimitedConnectivity = 51,  // STATUS only
  kInternal = 999,
};

class Error : public std::runtime_error {
 public:
  explicit Error(Code code, const std::string& message, std::string details = {})
      : std::runtime_error(message), code_(code), details_(std::move(details)) {}

  // A code may also be one of a delegate's own.
  Code code() const { return code_; }
  const std::string& details() const { return details_; }

 private:
  Code code_;
  std::string details_;
};

// The error for any exception of this code base: the code is chosen by what failed.
Error to_error(const std::exception_ptr& failure);

json::Value error_document(const Error& error, Version version);

// The error that a delegate printed; nothing if `document` is none.
std::optional<Error> parse_error_document(const json::Value& document);

}  // namespace cni
