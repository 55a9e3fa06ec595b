#include "schema.h"

#include <catch2/catch.hpp>

#include "spec.h"

using conformance::schema_fault;

TEST_CASE("schemas take and refuse what the vectors say", "[conformance]") {
  for (const auto& vector : conformance::spec::schema_vectors()) {
    INFO(vector.dump());
    CHECK(schema_fault(vector["schema"], vector["document"]).has_value() != vector["valid"]);
  }
}

TEST_CASE("a fault names its place", "[conformance]") {
  const auto document = nlohmann::json::parse(
      R"({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/8"}, {"address": 5}]})");
  CHECK_THAT(schema_fault("result-1.0.0.json", document).value_or(""),
             Catch::Matchers::StartsWith("/ips/1/address: is no "));
}

TEST_CASE("each version has a schema for its results", "[conformance]") {
  for (const std::string& version : conformance::spec::kVersions) {
    INFO(version);
    const auto& schema = conformance::spec::schema(conformance::result_schema(version));
    CHECK_THAT(schema["properties"]["cniVersion"].dump(), Catch::Matchers::Contains(version));
  }
}
