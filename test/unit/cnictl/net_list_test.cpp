#include "cnictl/net_list.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "protocol/error.h"
#include "support/sandbox.h"

using cni::cnictl::choose_version;
using cni::cnictl::find_network;
using cni::cnictl::NetList;
using cni::test::TempDirectory;

namespace {

std::string list_of(const std::string& name, const std::string& keys = "") {
  return R"({"cniVersion": "1.0.0", "name": ")" + name + R"(", )" + keys +
         R"("plugins": [{"type": "a"}, {"type": "b"}]})";
}

std::vector<std::string> types(const NetList& list) {
  std::vector<std::string> types;
  for (const auto& plugin : list.plugins) types.push_back(plugin.type);
  return types;
}

// The code and the message of the failure.
std::string failure(const std::string& directory, const std::string& name) {
  try {
    find_network(directory, name);
  } catch (const cni::Error& error) {
    return std::to_string(static_cast<unsigned>(error.code())) + " " + error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("The first list in byte order that has the name is taken", "[cnictl]") {
  const TempDirectory directory;
  directory.write("20.conflist", list_of("web", R"("disableCheck": true, )"));
  directory.write("10.conflist", list_of("other"));
  directory.write("3.conflist", list_of("web"));
  const NetList list = find_network(directory.path(), "web");
  CHECK(list.file == directory / "20.conflist");
  CHECK(list.disable_check);
  CHECK(types(list) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("A file that cannot be read ends the search and is named", "[cnictl]") {
  const TempDirectory directory;
  directory.write("20.conflist", list_of("web"));
  directory.write("10.conflist", "{\n  \"name\": }");
  CHECK(failure(directory.path(), "web") ==
        "6 " + directory / "10.conflist" + ": invalid JSON at line 2, column 11");
  directory.write("10.conflist", R"({"name": "x", "plugins": []})");
  CHECK(failure(directory.path(), "web") ==
        "7 " + directory / "10.conflist" + ": the list of plugins is empty");
}

TEST_CASE("A broken file behind the one that is meant does not matter", "[cnictl]") {
  const TempDirectory directory;
  directory.write("10.conflist", list_of("web"));
  directory.write("20.conflist", "{");
  CHECK(find_network(directory.path(), "web").file == directory / "10.conflist");
}

TEST_CASE("A single plugin becomes a list of one", "[cnictl]") {
  const TempDirectory directory;
  directory.write("10.conflist", list_of("other"));
  directory.write("20.json", R"({"type": "b", "name": "web", "cniVersion": "0.4.0", "k": "<"})");
  directory.write("30.conf", R"({"type": "c", "name": "web"})");
  const NetList list = find_network(directory.path(), "web");
  CHECK(list.file == directory / "20.json");
  CHECK(list.version_text == "0.4.0");
  CHECK(types(list) == std::vector<std::string>{"b"});
  CHECK(list.text == R"({"cniVersion":"0.4.0","name":"web","plugins":[)"
                     R"({"cniVersion":"0.4.0","k":"\u003c","name":"web","type":"b"}]})");
}

TEST_CASE("A list comes before a single plugin of the same name", "[cnictl]") {
  const TempDirectory directory;
  directory.write("10.conf", R"({"type": "c", "name": "web"})");
  directory.write("20.conflist", list_of("web"));
  CHECK(find_network(directory.path(), "web").file == directory / "20.conflist");
}

TEST_CASE("A network that is not there is an error that says where it was looked for", "[cnictl]") {
  const TempDirectory directory;
  CHECK(failure(directory.path(), "web") == "7 no network named \"web\" in " + directory.path());
  CHECK(failure(directory / "absent", "web") ==
        "7 no network named \"web\" in " + directory / "absent");
  CHECK(failure(directory.path(), "../web") == "7 invalid characters found in network name");
}

TEST_CASE("The folder of a network adds plugins", "[cnictl]") {
  const TempDirectory directory;
  directory.write("web/20.conf", R"({"type": "d"})");
  directory.write("web/10.conf", R"({"type": "c"})");
  directory.write("web/30.json", R"({"type": "e"})");
  directory.write("10.conflist", list_of("web"));
  CHECK(types(find_network(directory.path(), "web")) ==
        std::vector<std::string>{"a", "b", "c", "d"});

  SECTION("unless the list wants its own only") {
    const std::string flag = GENERATE("true", "\"true\"");
    directory.write("10.conflist", list_of("web", "\"loadOnlyInlinedPlugins\": " + flag + ", "));
    CHECK(types(find_network(directory.path(), "web")) == std::vector<std::string>{"a", "b"});
  }
  SECTION("also to a list that has none") {
    directory.write("10.conflist", R"({"name": "web"})");
    CHECK(types(find_network(directory.path(), "web")) == std::vector<std::string>{"c", "d"});
  }
}

TEST_CASE("Flags of a list are booleans or their text", "[cnictl]") {
  const TempDirectory directory;
  directory.write("1.conflist",
                  list_of("web", R"("disableGC": "true", "disableCheck": "false", )"));
  const NetList list = find_network(directory.path(), "web");
  CHECK(list.disable_gc);
  CHECK_FALSE(list.disable_check);
  directory.write("1.conflist", list_of("web", R"("disableGC": 1, )"));
  CHECK(failure(directory.path(), "web") ==
        "7 " + directory / "1.conflist" + ": key \"disableGC\" is neither true nor false");
}

TEST_CASE("Only capabilities that are declared true count", "[cnictl]") {
  const TempDirectory directory;
  directory.write("1.conf", R"({"type": "a", "name": "web",
                                "capabilities": {"mac": true, "ips": false, "dns": null}})");
  CHECK(find_network(directory.path(), "web").plugins.front().capabilities ==
        std::vector<std::string>{"mac"});
}

TEST_CASE("The highest version that can be spoken is chosen", "[cnictl]") {
  CHECK(choose_version({}, "f") == "");
  CHECK(choose_version({"0.4.0", "1.0.0", "0.3.1"}, "f") == "1.0.0");
  CHECK(choose_version({"1.0.0", "1.1.0", "1.2.0", "2.0.0"}, "f") == "1.1.0");
  CHECK(choose_version({"0.10.0", "0.4.0"}, "f") == "0.10.0");
  CHECK(choose_version({"9.0.0"}, "f") == "");
  for (const char* bad : {"1", "1.0", "1.0.x", "1.0.0.0", "", "-1.0.0"}) {
    CHECK_THROWS_WITH(choose_version({bad}, "f"),
                      "f: invalid version \"" + std::string(bad) + "\"");
  }
}

TEST_CASE("cniVersions beats cniVersion, which counts as one of them", "[cnictl]") {
  const TempDirectory directory;
  directory.write("1.conflist", list_of("web", R"("cniVersions": ["0.3.1", "0.4.0"], )"));
  CHECK(find_network(directory.path(), "web").version_text == "1.0.0");
  directory.write("1.conflist", list_of("web", R"("cniVersions": ["1.1.0", "7.0.0"], )"));
  CHECK(find_network(directory.path(), "web").version_text == "1.1.0");
}

TEST_CASE("A version that cannot be spoken is an error before anything is called", "[cnictl]") {
  const TempDirectory directory;
  directory.write("1.conf", R"({"type": "a", "name": "web", "cniVersion": "9.9.9"})");
  const NetList list = find_network(directory.path(), "web");
  CHECK_THROWS_WITH(list.version(), "incompatible CNI versions");
}
