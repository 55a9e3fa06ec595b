#include "cnictl/options.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "cnictl/commands.h"

using cni::cnictl::Options;
using cni::cnictl::UsageError;

namespace {

Options parse(const cni::cnictl::Subcommand& command, const std::vector<std::string>& words,
              const std::map<std::string, std::string>& variables = {}) {
  return cni::cnictl::parse_options(command, words, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

}  // namespace

// cnitool's names, from `printf %s /run/netns/c1 | sha512sum`.
TEST_CASE("A container is named like cnitool names it", "[cnictl]") {
  CHECK(cni::cnictl::derived_container_id("/run/netns/c1") == "cnitool-20b4ff582526573bbe7d");
}

TEST_CASE("A namespace is a path or a name below /run/netns", "[cnictl]") {
  CHECK(cni::cnictl::netns_path("c1") == "/run/netns/c1");
  CHECK(cni::cnictl::netns_path("/proc//self/./ns/net/") == "/proc/self/ns/net");
  CHECK(cni::cnictl::netns_path("./c1") == std::filesystem::current_path().string() + "/c1");
}

TEST_CASE("Without options and variables the usual places are used", "[cnictl]") {
  const Options options = parse(cni::cnictl::add_command(), {"web", "c1"});
  CHECK(options.arguments == std::vector<std::string>{"web", "c1"});
  CHECK(options.conf_dir == "/etc/cni/net.d");
  CHECK(options.cni_path == "/opt/cni/bin");
  CHECK(options.cache_dir == "/var/lib/cni");
  CHECK(options.ifname == "eth0");
  CHECK(options.rollback);
  CHECK_FALSE(options.json);
}

TEST_CASE("Options beat variables", "[cnictl]") {
  const std::map<std::string, std::string> variables = {
      {"NETCONFPATH", "/n"}, {"CNI_PATH", "/p"}, {"CNI_IFNAME", "net1"}, {"CNI_CONTAINERID", "id"}};
  Options options = parse(cni::cnictl::add_command(), {"web", "c1"}, variables);
  CHECK(options.conf_dir == "/n");
  CHECK(options.cni_path == "/p");
  CHECK(options.ifname == "net1");
  CHECK(options.container_id == "id");

  options =
      parse(cni::cnictl::add_command(),
            {"--conf-dir=/c", "web", "-i", "net2", "c1", "--json", "--cni-path", "/q"}, variables);
  CHECK(options.conf_dir == "/c");
  CHECK(options.cni_path == "/q");
  CHECK(options.ifname == "net2");
  CHECK(options.json);
  CHECK(options.arguments == std::vector<std::string>{"web", "c1"});
}

TEST_CASE("Wrong usage is told from failure", "[cnictl]") {
  const auto add = cni::cnictl::add_command();
  CHECK_THROWS_AS(parse(add, {"web"}), UsageError);
  CHECK_THROWS_AS(parse(add, {"web", "c1", "more"}), UsageError);
  CHECK_THROWS_AS(parse(add, {"web", "c1", "--nonsense"}), UsageError);
  CHECK_THROWS_AS(parse(add, {"web", "c1", "--valid", "a/b"}), UsageError);
  CHECK_THROWS_AS(parse(add, {"web", "c1", "-i"}), UsageError);
  CHECK_THROWS_AS(parse(add, {"web", "c1", "--json=1"}), UsageError);
  CHECK_THROWS_AS(parse(cni::cnictl::gc_command(), {"web", "--valid", "noslash"}), UsageError);
  CHECK(parse(add, {"--help"}).help);
  CHECK(parse(add, {"--", "-web", "c1"}).arguments.front() == "-web");
}

TEST_CASE("Attachments in use are pairs", "[cnictl]") {
  const Options options =
      parse(cni::cnictl::gc_command(), {"web", "--valid", "c1/eth0", "--valid=c2/net1"});
  REQUIRE(options.valid.size() == 2);
  CHECK(options.valid[1] == cni::Attachment{.container_id = "c2", .ifname = "net1"});
}

TEST_CASE("CNI_ARGS and CAP_ARGS are checked before anything is done", "[cnictl]") {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  CHECK(cni::cnictl::parse_args("").empty());
  CHECK(cni::cnictl::parse_args("A=1;B=") == Pairs{{"A", "1"}, {"B", ""}});
  for (const char* bad : {"A", "A=1;", "A=b=c", ";"}) {
    CHECK_THROWS_AS(cni::cnictl::parse_args(bad), UsageError);
  }
  CHECK(cni::cnictl::parse_capability_args("").empty());
  CHECK(cni::cnictl::parse_capability_args(R"({"mac": "x"})")["mac"] == "x");
  CHECK_THROWS_AS(cni::cnictl::parse_capability_args("{"), UsageError);
  CHECK_THROWS_AS(cni::cnictl::parse_capability_args("[]"), UsageError);
}

TEST_CASE("Every command's help names its options and no others", "[cnictl]") {
  const std::string help = cni::cnictl::command_help(cni::cnictl::gc_command());
  CHECK(help.find("usage: cnictl gc NETWORK") == 0);
  CHECK(help.find("--dry-run") != std::string::npos);
  CHECK(help.find("--no-rollback") == std::string::npos);
}
