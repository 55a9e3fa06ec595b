#include "protocol/net_conf.h"

#include <catch2/catch.hpp>

#include "json/reader.h"
#include "protocol/error.h"

using Catch::Matchers::Contains;
using cni::Attachment;
using cni::Code;
using cni::Error;
using cni::NetConf;
using cni::Version;

namespace {

// Code and message of the Error or ValueError that `attempt` throws.
template <typename Attempt>
std::pair<Code, std::string> failure_of(const Attempt& attempt) {
  try {
    attempt();
  } catch (...) {
    const Error error = cni::to_error(std::current_exception());
    return {error.code(), error.what()};
  }
  return {Code{}, "nothing thrown"};
}

std::pair<Code, std::string> parse_failure(const std::string& text) {
  return failure_of([&] { NetConf::parse(text); });
}

// A configuration with the members `more`.
NetConf conf(const std::string& more) {
  return NetConf::parse(R"({"name":"n",)" + more + "}");
}

}  // namespace

TEST_CASE("a configuration keeps its text byte for byte", "[protocol]") {
  const std::string text = " {\"name\" : \"net-1_A.b\",\"x\":1.0, \"x\":\"\xff\\ud800\"}\n";
  const NetConf parsed = NetConf::parse(text);
  CHECK(parsed.text() == text);
  CHECK(parsed.name() == "net-1_A.b");
}

TEST_CASE("text that is no object cannot be decoded", "[protocol]") {
  for (const std::string text :
       {"", " ", "x", "{", "[]", "\"x\"", "1", "true", "{}x", R"({"name":"n"}{"name":"n"})",
        "\xef\xbb\xbf{\"name\":\"n\"}", "{\"name\":\"n\",}", "{\"name\":\"n\x01\"}",
        R"({"name":"n","a":NaN})", R"({"name":"n","a":+1})", R"({"name":1})",
        R"({"name":["n"]})"}) {
    INFO(text);
    const auto [code, message] = parse_failure(text);
    CHECK(code == Code::kDecodingFailure);
    CHECK_THAT(message, Catch::StartsWith("error unmarshall network config: "));
  }
  CHECK(parse_failure(std::string("{\"name\":\"n\"}\0{}", 15)).first == Code::kDecodingFailure);
}

TEST_CASE("a network needs a name", "[protocol]") {
  for (const char* text : {"null", "{}", R"({"name":null})", R"({"name":""})",
                           R"({"name":"n","NAME":""})", R"({"name":"n","name":null})"}) {
    INFO(text);
    CHECK(parse_failure(text) ==
          std::pair<Code, std::string>(Code::kInvalidConfig, "missing network name"));
  }
  CHECK(NetConf::parse(R"({"name":"a","NAME":"b"})").name() == "b");
}

TEST_CASE("network names obey the rule of container IDs", "[protocol]") {
  for (const char* name : {"../x", "a/b", ".a", "-a", "a b", "a\\n", "a\\u0000b", "a\\ud800",
                           "a\xff", "\xc3\xa4", "..", "a:b"}) {
    INFO(name);
    CHECK(parse_failure("{\"name\":\"" + std::string(name) + "\"}") ==
          std::pair<Code, std::string>(Code::kInvalidConfig,
                                       "invalid characters found in network name"));
  }
}

TEST_CASE("a network name is no longer than a file name may be", "[protocol]") {
  const auto named = [](std::size_t length) {
    return "{\"name\":\"" + std::string(length, 'n') + "\"}";
  };
  CHECK(NetConf::parse(named(255)).name().size() == 255);
  CHECK(parse_failure(named(256)).first == Code::kInvalidConfig);
}

TEST_CASE("what no key of ours needs may be anything", "[protocol]") {
  std::string lists;
  for (int depth = 0; depth < 9'999; ++depth) lists += '[';
  for (int depth = 0; depth < 9'999; ++depth) lists += ']';
  for (const std::string& value : {std::string("1e400"), "1" + std::string(30, '0'),
                                   std::string("\"\xff\""), std::string(R"("\ud800")"), lists}) {
    CHECK(conf("\"x\":" + value).name() == "n");
  }
  CHECK(parse_failure("{\"name\":\"n\",\"x\":[" + lists + "]}").first == Code::kDecodingFailure);
}

TEST_CASE("a key is found in any letter case", "[protocol]") {
  const NetConf parsed = conf(R"("IPAM":{"Type":"x"})");
  CHECK(parsed["ipam"]["type"].find_string() == "x");
  CHECK(parsed["type"].path() == "type");
  CHECK_FALSE(parsed["type"].present());
}

TEST_CASE("a copy outlives what it was copied from", "[protocol]") {
  std::optional<NetConf> original = conf(R"("type":"x")");
  const NetConf copy = *original;
  original.reset();
  CHECK(copy["type"].find_string() == "x");
}

TEST_CASE("the version", "[protocol]") {
  CHECK(conf(R"("cniVersion":"0.4.0")").version() == Version::k0_4_0);
  CHECK(conf(R"("CNIVERSION":"1.1.0")").version() == Version::k1_1_0);
  for (const char* none : {R"("a":1)", R"("cniVersion":"")", R"("cniVersion":null)"}) {
    CHECK(conf(none).version() == Version::k0_1_0);
    CHECK(conf(none).version_text() == "0.1.0");
  }
}

TEST_CASE("a version that is no string cannot be decoded", "[protocol]") {
  for (const char* bad : {"1", "1.0", "true", "[]", "{}"}) {
    INFO(bad);
    const auto [code, message] =
        failure_of([&] { conf("\"cniVersion\":" + std::string(bad)).version(); });
    CHECK(code == Code::kDecodingFailure);
    CHECK_THAT(message, Catch::StartsWith("decoding version from network config: "));
  }
}

TEST_CASE("a version we do not speak is incompatible", "[protocol]") {
  const std::string huge(1000, '9');
  for (const std::string& bad :
       {std::string("9.9.9"), std::string("1.0"), std::string("a.b.c"), huge + ".0.0"}) {
    INFO(bad);
    try {
      static_cast<void>(conf("\"cniVersion\":\"" + bad + "\"").version());
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == Code::kIncompatibleVersion);
      CHECK(error.what() == std::string("incompatible CNI versions"));
      CHECK_THAT(error.details(), Contains("plugin supports [\"0.1.0\" \"0.2.0\" \"0.3.0\" "
                                           "\"0.3.1\" \"0.4.0\" \"1.0.0\" \"1.1.0\"]"));
      CHECK(error.details().size() < 300);
    }
  }
  CHECK_THROWS_WITH(conf(R"("cniVersion":"9.9.9")").version(), "incompatible CNI versions");
}

TEST_CASE("no previous result", "[protocol]") {
  for (const char* none : {R"("a":1)", R"("prevResult":null)"}) {
    CHECK_FALSE(conf(none).find_prev_result().has_value());
    CHECK_FALSE(conf(none).hint_prev_result().has_value());
    CHECK(failure_of([&] { conf(none).get_prev_result(); }) ==
          std::pair<Code, std::string>(Code::kInvalidConfig, "Required prevResult missing"));
  }
}

TEST_CASE("a previous result without a version is in that of the configuration", "[protocol]") {
  for (const Version version : cni::kVersions) {
    const std::string ips = result_family(version) == cni::ResultFamily::kIp4Ip6
                                ? R"("ip4":{"ip":"10.1.2.3/24"})"
                                : R"("ips":[{"version":"4","address":"10.1.2.3/24"}])";
    INFO(text(version));
    const NetConf parsed =
        conf("\"cniVersion\":\"" + std::string(text(version)) + "\",\"prevResult\":{" + ips + "}");
    REQUIRE(parsed.get_prev_result().ips.size() == 1);
    CHECK(parsed.get_prev_result().ips[0].address.text() == "10.1.2.3/24");
    CHECK(parsed.hint_prev_result()->ips.size() == 1);
  }
  CHECK(conf(R"("prevResult":{})").get_prev_result().ips.empty());
}

TEST_CASE("a previous result may be in a version of the same family only", "[protocol]") {
  for (const Version configured : cni::kVersions) {
    for (const Version given : cni::kVersions) {
      INFO(text(configured) << " and " << text(given));
      const NetConf parsed =
          conf("\"cniVersion\":\"" + std::string(text(configured)) +
               "\",\"prevResult\":{\"cniVersion\":\"" + std::string(text(given)) + "\"}");
      if (result_family(configured) == result_family(given)) {
        CHECK_NOTHROW(parsed.get_prev_result());
      } else {
        const auto [code, message] = failure_of([&] { parsed.get_prev_result(); });
        CHECK(code == Code::kInvalidConfig);
        CHECK_THAT(message, Contains("could not parse prevResult"));
        CHECK_FALSE(parsed.hint_prev_result().has_value());
      }
    }
  }
  // An empty version is the oldest, an absent one that of the configuration.
  CHECK_NOTHROW(conf(R"("prevResult":{"cniVersion":""})").get_prev_result());
  CHECK_THROWS_AS(conf(R"("cniVersion":"1.0.0","prevResult":{"cniVersion":""})").get_prev_result(),
                  Error);
  CHECK_NOTHROW(conf(R"("cniVersion":"1.0.0","prevResult":{"cniVersion":null})").get_prev_result());
}

TEST_CASE("a previous result that cannot be used", "[protocol]") {
  for (const char* bad :
       {"[]",
        "\"x\"",
        "1",
        R"({"cniVersion":"7.0.0"})",
        R"({"cniVersion":1})",
        R"({"ips":{}})",
        R"({"ips":[{"address":"x"}]})",
        R"({"ips":[{"address":"10.0.0.1"}]})",
        R"({"ips":[{}]})",
        R"({"ips":[{"address":"10.0.0.1/8","gateway":"x"}]})",
        R"({"ips":[{"address":"10.0.0.1/8","interface":0}]})",
        R"({"interfaces":[{"name":"a"}],"ips":[{"address":"10.0.0.1/8","interface":1}]})",
        R"({"interfaces":[{"name":"a"}],"ips":[{"address":"10.0.0.1/8","interface":-2}]})",
        R"({"interfaces":[{"name":"a"}],"ips":[{"address":"10.0.0.1/8","interface":"0"}]})",
        R"({"interfaces":[{"name":1}]})",
        R"({"interfaces":[{"name":"a","mtu":-1}]})",
        R"({"interfaces":[{"name":"a","mtu":4294967296}]})",
        R"({"routes":[{}]})",
        R"({"routes":[{"dst":"x"}]})",
        R"({"routes":[{"dst":"10.0.0.0/8","gw":"x"}]})",
        R"({"routes":[{"dst":"10.0.0.0/8","scope":256}]})",
        R"({"routes":[{"dst":"10.0.0.0/8","table":-1}]})",
        R"({"routes":[{"dst":"10.0.0.0/8","mtu":"1"}]})",
        R"({"dns":[]})",
        R"({"dns":{"search":"x"}})"}) {
    INFO(bad);
    const NetConf parsed = conf("\"cniVersion\":\"1.0.0\",\"prevResult\":" + std::string(bad));
    CHECK(failure_of([&] { parsed.find_prev_result(); }).first == Code::kInvalidConfig);
    CHECK_FALSE(parsed.hint_prev_result().has_value());
  }
  CHECK(failure_of([&] {
          conf(R"("cniVersion":"1.0.0","prevResult":{"ips":[{"address":"x"}]})").find_prev_result();
        }) == std::pair<Code, std::string>(Code::kInvalidConfig, "invalid CIDR address: x"));
}

TEST_CASE("the attachments in use come under either key", "[protocol]") {
  const std::string one =
      R"([{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"x"}])";
  const std::vector<Attachment> expected = {{"a", "eth0"}, {"b", "x"}};
  CHECK(conf("\"cni.dev/valid-attachments\":" + one).find_valid_attachments() == expected);
  CHECK(conf("\"cni.dev/attachments\":" + one).find_valid_attachments() == expected);
  CHECK(conf("\"cni.dev/attachments\":[],\"cni.dev/valid-attachments\":" + one)
            .find_valid_attachments() == expected);
  CHECK(conf("\"cni.dev/valid-attachments\":[],\"cni.dev/attachments\":" + one)
            .find_valid_attachments() == std::vector<Attachment>{});
  CHECK(conf("\"cni.dev/valid-attachments\":null,\"cni.dev/attachments\":" + one)
            .find_valid_attachments() == expected);
}

TEST_CASE("no list of attachments is not an empty one", "[protocol]") {
  CHECK_FALSE(conf(R"("a":1)").find_valid_attachments().has_value());
  CHECK(conf(R"("cni.dev/valid-attachments":[])").find_valid_attachments()->empty());
}

TEST_CASE("a list of attachments in another shape is refused", "[protocol]") {
  for (const char* bad : {"{}", "\"x\"", "[1]", R"([{"containerID":1,"ifname":"x"}])"}) {
    INFO(bad);
    const NetConf parsed = conf("\"cni.dev/valid-attachments\":" + std::string(bad));
    CHECK(failure_of([&] { parsed.find_valid_attachments(); }).first == Code::kInvalidConfig);
  }
}
