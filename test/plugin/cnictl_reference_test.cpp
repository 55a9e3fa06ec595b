// cnictl as the runtime of plugins that others wrote: the Go suite's, as Debian packages them.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kReferencePlugins = "/usr/lib/cni";

struct BothConfigurations {
  Host host;
  Namespace& container = host.add_container();
  TempDirectory directory;

  // The kernel gives links IPv6 addresses of their own in its own time, and snapshots would differ.
  BothConfigurations() { host.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1"); }

  void write(const std::string& version) const {
    const nlohmann::json list = {
        {"cniVersion", version},
        {"name", "web"},
        {"plugins",
         {{{"type", "bridge"},
           {"bridge", "br7"},
           {"isGateway", true},
           {"ipam",
            {{"type", "host-local"},
             {"dataDir", directory / "ipam"},
             {"subnet", "10.9.0.0/24"},
             {"routes", {{{"dst", "0.0.0.0/0"}}}}}}},
          {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}}}}};
    directory.write("net.d/web.conflist", list.dump());
  }

  Outcome run(const std::vector<std::string>& words, const std::string& cap_args = "") const {
    std::vector<std::string> argv = {plugin_directory() + "/cnictl"};
    argv.insert(argv.end(), words.begin(), words.end());
    Environment environment = plain_environment();
    environment["NETCONFPATH"] = directory / "net.d";
    environment["CNI_PATH"] = kReferencePlugins;
    environment["CAP_ARGS"] = cap_args;
    return cni::test::run({.argv = argv, .environment = environment, .netns = host.path()});
  }
};

}  // namespace

TEST_CASE("cnictl runs the reference plugins through an attachment's life",
          "[cnictl][reference-plugins][bridge][veth][iptables-nft]") {
  const BothConfigurations network;
  network.write(GENERATE("0.4.0", "1.0.0"));
  const std::string netns = network.container.path();
  // The bridge, its address and forwarding stay for good, and so do portmap's chains. DEL has to be
  // told of the mappings, or portmap leaves its rules: here they come from the cache.
  REQUIRE(network
              .run({"add", "web", netns}, R"({"portMappings": [
      {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})")
              .status == 0);
  REQUIRE(network.run({"del", "web", netns}).status == 0);
  const Snapshot before = Snapshot::take(network.host.path());

  const Outcome added = network.run({"add", "web", netns, "--json"}, R"({"portMappings": [
      {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]})");
  INFO(added.text());
  REQUIRE(added.status == 0);
  CHECK(nlohmann::json::parse(added.out)["ips"][0]["address"] == "10.9.0.3/24");
  CHECK_THAT(network.container.run("ip -4 addr show eth0"), Contains("10.9.0.3/24"));
  CHECK_THAT(network.host.run("iptables-nft -t nat -S"), Contains("--dport 8080"));

  // Told of the mappings, this version of portmap looks for IPv6 rules that it did not make.
  const Outcome checked = network.run({"check", "web", netns}, "{}");
  INFO(checked.text());
  CHECK(checked.status == 0);
  network.container.run("ip link set eth0 down");
  network.container.run("ip addr flush dev eth0");
  CHECK(network.run({"check", "web", netns}, "{}").status == 1);

  CHECK(network.run({"del", "web", netns}).status == 0);
  CHECK_FALSE(network.container.has_link("eth0"));
  CHECK(difference(before, Snapshot::take(network.host.path())) == "");
  CHECK(network.run({"del", "web", netns}).status == 0);
}

TEST_CASE("cnictl leaves nothing of an attachment that a reference plugin refused",
          "[cnictl][reference-plugins][bridge][veth][iptables-nft]") {
  const BothConfigurations network;
  network.write("1.0.0");
  const Outcome failed = network.run({"add", "web", network.container.path()}, R"({"portMappings": [
      {"hostPort": -1, "containerPort": 80, "protocol": "tcp"}]})");
  CHECK(failed.status == 1);
  CHECK_THAT(failed.err, Contains("ADD failed in plugin 2 of 2, portmap"));
  // portmap refuses the DEL with the same data as well, and DEL stops there, as the CNI library's
  // does. Without the data it goes through.
  CHECK_THAT(failed.err, Contains("roll-back  failed"));
  CHECK(network.run({"del", "web", network.container.path()}).status == 0);
  CHECK_FALSE(network.container.has_link("eth0"));
}

TEST_CASE("cnictl tells the versions of the reference plugins", "[cnictl][reference-plugins]") {
  const BothConfigurations network;
  const Outcome told = network.run({"version", "--json"});
  CHECK(told.status == 0);
  int plugins = 0;
  const nlohmann::json document = nlohmann::json::parse(told.out);
  for (const nlohmann::json& program : document["programs"]) {
    INFO(program.dump());
    CHECK(program["plugin"] == true);
    CHECK(program["supportedVersions"].back() == "1.0.0");
    ++plugins;
  }
  CHECK(plugins > 10);
}
