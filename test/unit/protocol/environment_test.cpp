#include "protocol/environment.h"

#include <catch2/catch.hpp>
#include <map>
#include <optional>

#include "base/text.h"
#include "protocol/error.h"

using cni::Code;
using cni::Environment;
using cni::Error;

namespace {

using Variables = std::map<std::string, std::string>;

const Variables kComplete = {{"CNI_COMMAND", "ADD"},
                             {"CNI_CONTAINERID", "c1"},
                             {"CNI_NETNS", "/run/netns/c1"},
                             {"CNI_IFNAME", "eth0"},
                             {"CNI_PATH", "/opt/cni/bin"}};

Variables with(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}
Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

Environment read(const Variables& variables, bool makes_interface = false) {
  return cni::read_environment(
      [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? "" : found->second;
      },
      makes_interface);
}

// "message (details)" of the Error 4; "" if the environment is fine.
std::string refusal_of(const Variables& variables, bool makes_interface = false) {
  try {
    read(variables, makes_interface);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Code::kInvalidEnvironment);
    return error.what() + (error.details().empty() ? "" : " (" + error.details() + ")");
  }
}

std::string ifname_refusal(const std::string& name, bool makes_interface = false) {
  const std::string refusal = refusal_of(with(kComplete, "CNI_IFNAME", name), makes_interface);
  return refusal.substr(0, refusal.find(" ("));
}

const std::string kTooLong = "interface name is too long";
const std::string kDots = "interface name is . or ..";
const std::string kBadCharacter = "interface name contains / or : or whitespace characters";
const std::string kNotUsable = "interface name is not usable";

}  // namespace

TEST_CASE("the variables are handed on as they are", "[protocol]") {
  Variables variables = with(kComplete, "CNI_ARGS", "A=b;c");
  const Environment environment = read(variables);
  CHECK(environment.command == "ADD");
  CHECK(environment.container_id == "c1");
  CHECK(environment.netns == "/run/netns/c1");
  CHECK(environment.ifname == "eth0");
  CHECK(environment.args == "A=b;c");
  CHECK(environment.path == "/opt/cni/bin");
  CHECK_FALSE(environment.netns_override);
}

TEST_CASE("the override is 1 or true in any letter case", "[protocol]") {
  for (const char* yes : {"1", "true", "True", "TRUE"}) {
    CHECK(read(with(kComplete, "CNI_NETNS_OVERRIDE", yes)).netns_override);
  }
  for (const char* no : {"", "0", "false", "yes", "2", "true "}) {
    CHECK_FALSE(read(with(kComplete, "CNI_NETNS_OVERRIDE", no)).netns_override);
  }
}

TEST_CASE("all that is missing is listed, in order", "[protocol]") {
  const auto missing = [](const std::string& names) {
    return "required env variables [" + names + "] missing";
  };
  CHECK(refusal_of({{"CNI_COMMAND", "ADD"}}) == missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"));
  CHECK(refusal_of({{"CNI_COMMAND", "CHECK"}}) == missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"));
  CHECK(refusal_of({{"CNI_COMMAND", "DEL"}}) == missing("CNI_CONTAINERID,CNI_IFNAME"));
  CHECK(refusal_of({{"CNI_COMMAND", "GC"}}) == missing("CNI_PATH"));
  CHECK(refusal_of({{"CNI_COMMAND", "STATUS"}}).empty());
  CHECK(refusal_of({{"CNI_COMMAND", "VERSION"}}).empty());
  CHECK(refusal_of({{"CNI_COMMAND", "NOPE"}}).empty());
  for (const char* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
    CHECK(refusal_of(without(kComplete, name)) == missing(name));
    CHECK(refusal_of(with(kComplete, name, "")) == missing(name));
  }
  // Needed only where a delegate has to be found.
  CHECK(refusal_of(without(kComplete, "CNI_PATH")).empty());
  CHECK(refusal_of(without(with(kComplete, "CNI_COMMAND", "DEL"), "CNI_NETNS")).empty());
}

TEST_CASE("an invalid value is told before what is missing", "[protocol]") {
  CHECK(refusal_of({{"CNI_COMMAND", "ADD"}, {"CNI_IFNAME", "a/b"}}) ==
        kBadCharacter + " (CNI_IFNAME is \"a/b\")");
  CHECK(refusal_of({{"CNI_COMMAND", "ADD"}, {"CNI_IFNAME", "a/b"}, {"CNI_CONTAINERID", "a/b"}}) ==
        "invalid characters in containerID (CNI_CONTAINERID is \"a/b\")");
}

TEST_CASE("a value that the command does not need is not looked at", "[protocol]") {
  for (const char* command : {"GC", "STATUS", "VERSION", "NOPE"}) {
    CHECK(refusal_of({{"CNI_COMMAND", command},
                      {"CNI_CONTAINERID", "../x"},
                      {"CNI_IFNAME", "a/b"},
                      {"CNI_PATH", "/x"}})
              .empty());
  }
}

TEST_CASE("container IDs", "[protocol]") {
  for (const std::string& id : {std::string("a"), std::string("A_9.-"), std::string("0"),
                                std::string("a..b"), std::string(4096, 'x')}) {
    CHECK(refusal_of(with(kComplete, "CNI_CONTAINERID", id)).empty());
  }
  for (const std::string id : {"../x", "/a", ".a", "-a", "_a", "a b", "a\n", "\na", "a\tb",
                               "a/../b", "\xc3\xa4", "a\xc3\xa4", "a:b", "a\x7f", "a\xff", "a*"}) {
    INFO(id);
    for (const char* command : {"ADD", "CHECK", "DEL"}) {
      const Variables variables =
          with(with(kComplete, "CNI_COMMAND", command), "CNI_CONTAINERID", id);
      CHECK(refusal_of(variables).starts_with("invalid characters in containerID"));
    }
  }
  CHECK_FALSE(cni::is_valid_identifier(std::string_view("a\0", 2)));
  CHECK_FALSE(cni::is_valid_identifier(""));
}

TEST_CASE("interface names the kernel has no trouble with", "[protocol]") {
  for (const char* name : {"e", "eth0", "123456789012345", "a.b", "...", "a-b_c@d", "\xc3\xa4",
                           "all0", "lo", "default1", "ALL"}) {
    INFO(name);
    CHECK(ifname_refusal(name).empty());
  }
}

TEST_CASE("interface names are counted in bytes", "[protocol]") {
  CHECK(ifname_refusal("1234567890123456") == kTooLong);
  CHECK(ifname_refusal("12345678901234\xc3\xa4") == kTooLong);
  CHECK(ifname_refusal("1234567890123\xc3\xa4").empty());
  // The length is looked at first.
  CHECK(ifname_refusal("/234567890123456") == kTooLong);
  CHECK(refusal_of(with(kComplete, "CNI_IFNAME", "1234567890123456"))
            .starts_with(kTooLong + " (interface name should be less than 16 characters"));
}

TEST_CASE("interface names of dots", "[protocol]") {
  CHECK(ifname_refusal(".") == kDots);
  CHECK(ifname_refusal("..") == kDots);
}

TEST_CASE("blanks and separators in interface names", "[protocol]") {
  for (const char* name :
       {"a/b", "a:b", "a b", " ", "a\t", "a\n", "\v", "\f", "a\r", "\x01", "a\x1f",
        // the blanks of Unicode: next line, no-break space, ogham, quads, separators, narrow,
        // mathematical, ideographic
        "\u0085", "a\u00a0", "\u1680", "\u2000", "\u2003", "\u200a", "\u2028", "\u2029", "\u202f",
        "\u205f", "\u3000b"}) {
    INFO(name);
    CHECK(ifname_refusal(name) == kBadCharacter);
  }
}

TEST_CASE("interface names with a meaning of their own", "[protocol]") {
  for (const char* name : {"eth%d", "%", "all", "default", "a\"b", "a'b", "a\\b", "\x7f", "a\xff",
                           "\xc3", "\xed\xa0\x80"}) {
    INFO(name);
    CHECK(ifname_refusal(name) == kNotUsable);
  }
  CHECK(ifname_refusal("lo", true) == kNotUsable);
  CHECK(ifname_refusal("lo", false).empty());
}

TEST_CASE("commands are matched to the letter", "[protocol]") {
  for (const auto command : {cni::Command::kAdd, cni::Command::kCheck, cni::Command::kDel,
                             cni::Command::kGc, cni::Command::kStatus, cni::Command::kVersion}) {
    CHECK(cni::parse_command(std::string(text(command))) == command);
  }
  for (const std::string bad : {"add", " ADD", "ADD ", "ADD\n", "NOPE", "UPDATE"}) {
    try {
      cni::parse_command(bad);
      FAIL("accepted: " << bad);
    } catch (const Error& error) {
      CHECK(error.code() == Code::kInvalidEnvironment);
      CHECK(error.what() == "unknown CNI_COMMAND: " + cni::cut(bad));
    }
  }
}
