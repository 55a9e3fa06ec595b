#include "json/reader.h"

#include <catch2/catch.hpp>

#include "json/parse.h"

using Catch::Matchers::Contains;
using cni::json::parse;
using cni::json::Reader;
using cni::json::Value;
using cni::json::ValueError;

namespace {

// Message and place of the ValueError that `attempt` throws.
template <typename Attempt>
std::pair<std::string, std::string> failure_of(const Attempt& attempt) {
  try {
    attempt();
  } catch (const ValueError& error) {
    return {error.what(), error.place()};
  }
  FAIL("no ValueError");
  return {};
}

template <typename Attempt>
std::string message_of(const Attempt& attempt) {
  return failure_of(attempt).first;
}

}  // namespace

TEST_CASE("keys match in any letter case", "[json]") {
  const Value document = parse(R"({"isGateway":true,"MTU":9,"Cni.Dev/x":"y"})");
  const Reader reader(document);
  CHECK(reader["isgateway"].find_bool() == true);
  CHECK(reader["ISGATEWAY"].find_bool() == true);
  CHECK(reader["mtu"].find_integer() == 9);
  CHECK(reader["cni.dev/x"].find_string() == "y");
  CHECK_FALSE(reader["isGateway "].present());
  CHECK_FALSE(reader["isGate"].present());
}

TEST_CASE("of several keys the last counts, whatever its letter case", "[json]") {
  const Value document = parse(R"({"a":1,"A":2,"a":3,"b":1,"B":2,"c":1,"c":null})");
  const Reader reader(document);
  CHECK(reader["a"].find_integer() == 3);
  CHECK(reader["b"].find_integer() == 2);
  CHECK_FALSE(reader["c"].present());
}

TEST_CASE("null counts as absent", "[json]") {
  const Value document = parse(R"({"a":null,"l":[null,1],"o":{"x":null}})");
  const Reader reader(document);
  CHECK_FALSE(reader["a"].present());
  CHECK_FALSE(reader["a"]["b"].present());
  CHECK(reader["a"].find_string() == std::nullopt);
  CHECK(reader["a"].find_bool() == std::nullopt);
  CHECK(reader["a"].find_integer() == std::nullopt);
  CHECK(reader["a"].elements().empty());
  CHECK(reader["a"].members().empty());
  CHECK(reader["a"].strings().empty());
  CHECK(reader["a"].find_address() == std::nullopt);
  CHECK(reader["a"].find_network() == std::nullopt);
  CHECK(reader["a"].find_mac() == std::nullopt);
  CHECK(reader["a"].string_or("x") == "x");
  CHECK(reader["a"].bool_or(true));
  REQUIRE(reader["l"].elements().size() == 2);
  CHECK_FALSE(reader["l"].elements()[0].present());
  CHECK(reader["l"].elements()[1].find_integer() == 1);
  REQUIRE(reader["o"].members().size() == 1);
  CHECK_FALSE(reader["o"].members()[0].second.present());

  const Value null = parse("null");
  CHECK_FALSE(Reader(null).present());
  CHECK_FALSE(Reader(null)["a"].present());
}

TEST_CASE("an absent key of an absent object still has its path", "[json]") {
  const Value document = parse("{}");
  const Reader reader = Reader(document)["ipam"]["type"];
  CHECK_FALSE(reader.present());
  CHECK(reader.path() == "ipam.type");
  CHECK(reader.place() == "key \"ipam.type\" is missing");
  CHECK(Reader(document).path().empty());
  CHECK(Reader(document).place() == "the document is an object");
}

TEST_CASE("an integer is an integer literal in range", "[json]") {
  const auto read = [](const std::string& number, std::int64_t least, std::int64_t most) {
    const Value document = parse("{\"n\":" + number + "}");
    return Reader(document)["n"].find_integer(least, most);
  };
  constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  CHECK(read("0", 0, 5) == 0);
  CHECK(read("-0", 0, 5) == 0);
  CHECK(read("5", 0, 5) == 5);
  CHECK(read("-9223372036854775808", kLeast, kMost) == kLeast);
  CHECK(read("9223372036854775807", kLeast, kMost) == kMost);
  CHECK_THROWS_AS(read("-1", -10, -5), ValueError);
  CHECK_THROWS_AS(read("-11", -10, -5), ValueError);
  CHECK(read("-7", -10, -5) == -7);
  for (const char* bad : {"6", "-1", "9223372036854775808", "18446744073709551615", "4294967297"}) {
    INFO(bad);
    CHECK_THROWS_AS(read(bad, 0, 5), ValueError);
  }
  for (const char* bad :
       {"1.0", "1e0", "1E3", "1e400", "-0.0", "9223372036854775808", "18446744073709551615",
        "18446744073709551616", "-9223372036854775809", "\"1\"", "\"\"", "true", "[1]", "{}"}) {
    INFO(bad);
    CHECK_THROWS_AS(read(bad, kLeast, kMost), ValueError);
  }
}

TEST_CASE("a wrong type is an error, also where the value is not needed", "[json]") {
  const Value document = parse(R"({"s":"x","n":1,"b":true,"l":[],"o":{},"zero":0,"f":"false"})");
  const Reader reader(document);
  for (const char* key : {"n", "b", "l", "o"}) {
    INFO(key);
    CHECK_THROWS_AS(reader[key].find_string(), ValueError);
    CHECK_THROWS_AS(reader[key].string_or(""), ValueError);
    CHECK_THROWS_AS(reader[key].find_address(), ValueError);
    CHECK_THROWS_AS(reader[key].find_network(), ValueError);
    CHECK_THROWS_AS(reader[key].find_mac(), ValueError);
  }
  for (const char* key : {"s", "n", "l", "o", "zero", "f"}) {
    INFO(key);
    CHECK_THROWS_AS(reader[key].find_bool(), ValueError);
  }
  for (const char* key : {"s", "n", "b", "o"}) {
    INFO(key);
    CHECK_THROWS_AS(reader[key].elements(), ValueError);
    CHECK_THROWS_AS(reader[key].strings(), ValueError);
  }
  for (const char* key : {"s", "n", "b", "l"}) {
    INFO(key);
    CHECK_THROWS_AS(reader[key].members(), ValueError);
    CHECK_THROWS_AS(reader[key]["x"], ValueError);
  }
}

TEST_CASE("messages name key path, value and what was wanted", "[json]") {
  const Value document =
      parse(R"({"mtu":"1500","ipam":{"ranges":[[{"subnet":7}]],"n":70000,"b":1.5}})");
  const Reader reader(document);
  CHECK(failure_of([&] { reader["mtu"].find_integer(); }) ==
        std::pair<std::string, std::string>(
            "failed to load netconf: key \"mtu\" is \"1500\", not an integer",
            "key \"mtu\" is \"1500\""));
  CHECK(message_of([&] { reader["ipam"]["n"].find_integer(0, 65535); }) ==
        "failed to load netconf: key \"ipam.n\" is 70000, not an integer from 0 to 65535");
  CHECK(message_of([&] { reader["ipam"]["b"].find_bool(); }) ==
        "failed to load netconf: key \"ipam.b\" is 1.5, not true or false");
  const Reader subnet = reader["ipam"]["ranges"].elements()[0].elements()[0]["subnet"];
  CHECK(subnet.path() == "ipam.ranges[0][0].subnet");
  CHECK(message_of([&] { subnet.find_network(); }) ==
        "failed to load netconf: key \"ipam.ranges[0][0].subnet\" is 7, not a string");
  // The spelling of the path is that of our key, not that of the document.
  CHECK(failure_of([&] { reader["MTU"].refuse("no"); }) ==
        std::pair<std::string, std::string>("no", "key \"MTU\" is \"1500\""));
}

TEST_CASE("no content of a container gets into a message", "[json]") {
  const Value document = parse(R"({"o":{"password":"hunter2"},"l":["hunter2"]})");
  const Reader reader(document);
  for (const char* key : {"o", "l"}) {
    CHECK_THAT(message_of([&] { reader[key].find_string(); }), !Contains("hunter2"));
    CHECK_THAT(reader[key].place(), !Contains("hunter2"));
  }
  CHECK(reader["o"].place() == "key \"o\" is an object");
  CHECK(reader["l"].place() == "key \"l\" is a list");
  CHECK_THAT(message_of([&] { reader.find_string(); }), !Contains("hunter2"));
}

TEST_CASE("a value in a message is cut and escaped", "[json]") {
  Value document = Value::object();
  document["a"] = std::string(1000, 'x') + "secret";
  document["b"] = "x\n\"\x01";
  const Reader reader(document);
  for (const auto& message : {message_of([&] { reader["a"].find_bool(); }),
                              message_of([&] { reader["a"].find_address(); }),
                              message_of([&] { reader["a"].find_network(); }),
                              message_of([&] { reader["a"].find_mac(); })}) {
    CHECK_THAT(message, Contains(std::string(64, 'x') + "..."));
    CHECK_THAT(message, !Contains("secret"));
  }
  CHECK(message_of([&] { reader["b"].find_address(); }) == "invalid IP address: x\\x0a\\\"\\x01");
}

TEST_CASE("text forms are read, and empty text is none", "[json]") {
  const Value document =
      parse(R"({"ip":"10.1.2.3","net":"10.1.2.3/24","mac":"0A-bb-cc-dd-ee-ff","e":"","z":"x"})");
  const Reader reader(document);
  CHECK(reader["ip"].find_address()->text() == "10.1.2.3");
  CHECK(reader["net"].find_network()->text() == "10.1.2.3/24");
  CHECK(reader["mac"].find_mac()->text() == "0a:bb:cc:dd:ee:ff");
  CHECK(reader["e"].find_address() == std::nullopt);
  CHECK(reader["e"].find_network() == std::nullopt);
  CHECK(reader["e"].find_mac() == std::nullopt);
  CHECK(reader["e"].find_string() == "");
  CHECK(reader["e"].string_or("x") == "");
  CHECK(message_of([&] { reader["z"].find_address(); }) == "invalid IP address: x");
  CHECK(message_of([&] { reader["ip"].find_network(); }) == "invalid CIDR address: 10.1.2.3");
  CHECK(message_of([&] { reader["z"].find_mac(); }) == "address x: invalid MAC address");
}

TEST_CASE("a list of strings may hold null but nothing else", "[json]") {
  const Value document = parse(R"({"good":["a",null,"b"],"bad":["a",1]})");
  const Reader reader(document);
  CHECK(reader["good"].strings() == std::vector<std::string>{"a", "", "b"});
  CHECK(message_of([&] { reader["bad"].strings(); }) ==
        "failed to load netconf: key \"bad[1]\" is 1, not a string");
}

TEST_CASE("members come in order, a repeated one where it was last", "[json]") {
  const Value document = parse(R"({"o":{"a":1,"b":2,"a":3,"A":4}})");
  std::vector<std::string> seen;
  for (const auto& [key, member] : Reader(document)["o"].members()) {
    seen.push_back(key + " " + member.path() + " " + std::to_string(*member.find_integer()));
  }
  CHECK(seen == std::vector<std::string>{"b o.b 2", "a o.a 3", "A o.A 4"});
}

TEST_CASE("many members take no time to speak of", "[json]") {
  // A minute and more if each were compared with all before it.
  std::string text = "{";
  for (int number = 0; number < 100'000; ++number) text += "\"" + std::to_string(number) + "\":1,";
  const Value document = parse(text + "\"0\":2}");
  const auto members = Reader(document).members();
  CHECK(members.size() == 100'000);
  CHECK(members.back().first == "0");
}
