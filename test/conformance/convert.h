// Results of 1.1.0 in older versions, written down a second time: what plugins say is compared.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace conformance {

// A result of 1.1.0 in the shape of `version`. Without any address there is none for 0.1.0 and
// 0.2.0: then it has neither ip4 nor ip6.
nlohmann::json converted(nlohmann::json result, const std::string& version);

// Without lists, objects and texts that are empty.
nlohmann::json without_empty(const nlohmann::json& document);

bool is_ipv6(const std::string& address);

}  // namespace conformance
