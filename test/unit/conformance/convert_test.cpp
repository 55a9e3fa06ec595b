#include "convert.h"

#include <catch2/catch.hpp>

#include "spec.h"
#include "support/sandbox.h"

using conformance::without_empty;

TEST_CASE("the second conversion agrees with the golden results", "[conformance]") {
  const std::string folder = CNI_SOURCE_DIRECTORY "/cni-spec/vectors/result/";
  for (const char* name :
       {"from-0.1.0", "from-0.4.0", "from-1.1.0", "ipv6-only", "foreign-index"}) {
    const auto golden =
        nlohmann::json::parse(cni::test::read_whole_file(folder + name + ".out.json"));
    for (const std::string& version : conformance::spec::kVersions) {
      INFO(name << " in " << version);
      CHECK(without_empty(conformance::converted(golden["1.1.0"], version)) ==
            without_empty(golden[version]));
    }
  }
}
