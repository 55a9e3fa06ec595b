// Results as JSON in the shape of each spec version.
#pragma once

#include <optional>

#include "json/reader.h"
#include "json/value.h"
#include "protocol/result.h"
#include "protocol/version.h"

namespace cni {

// Throws Error 999 `cannot convert: no valid IP addresses` for 0.1.0 and 0.2.0 without an address.
// These carry the first address of a family only, and no interfaces.
json::Value render_result(const Result& result, Version version);

// Reads a result that is in the shape of `version`. Unknown members are passed over. Throws
// json::ValueError.
Result parse_result(const json::Reader& document, Version version);

}  // namespace cni
