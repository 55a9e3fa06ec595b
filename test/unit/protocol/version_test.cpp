#include "protocol/version.h"

#include <algorithm>
#include <catch2/catch.hpp>

using cni::find_version;
using cni::ResultFamily;
using cni::Version;

TEST_CASE("the seven versions are known by their exact text", "[protocol]") {
  std::vector<std::string_view> texts;
  for (const Version version : cni::kVersions) {
    texts.push_back(text(version));
    CHECK(find_version(text(version)) == version);
  }
  CHECK(texts == std::vector<std::string_view>{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0",
                                               "1.1.0"});
  CHECK(std::ranges::is_sorted(cni::kVersions));
  CHECK(cni::kNewestVersion == cni::kVersions.back());
}

TEST_CASE("no version is the oldest one", "[protocol]") {
  CHECK(find_version("") == Version::k0_1_0);
}

TEST_CASE("what is not a version to the letter is none", "[protocol]") {
  for (const char* text :
       {"1.0", "1", "1.0.0-rc1", "v1.0.0", " 1.0.0", "1.0.0 ", "1.0.0\n", "01.0.0", "1.0.0.0",
        "0.3.2", "0.5.0", "1.2.0", "2.0.0", "9.9.9", "abc", "99999999999999999999.0.0"}) {
    INFO(text);
    CHECK(find_version(text) == std::nullopt);
  }
  CHECK(find_version(std::string_view("1.0.0\0", 6)) == std::nullopt);
}

TEST_CASE("three families of result shapes", "[protocol]") {
  CHECK(result_family(Version::k0_1_0) == ResultFamily::kIp4Ip6);
  CHECK(result_family(Version::k0_2_0) == ResultFamily::kIp4Ip6);
  CHECK(result_family(Version::k0_3_0) == ResultFamily::kVersionedIps);
  CHECK(result_family(Version::k0_3_1) == ResultFamily::kVersionedIps);
  CHECK(result_family(Version::k0_4_0) == ResultFamily::kVersionedIps);
  CHECK(result_family(Version::k1_0_0) == ResultFamily::kIps);
  CHECK(result_family(Version::k1_1_0) == ResultFamily::kIps);
}
