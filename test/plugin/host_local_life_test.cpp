// host-local-ipam: the life of a reservation, and what the configuration says about it.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "plugin/host_local_network.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using cni::test::AddressNetwork;
using cni::test::difference;
using cni::test::run_plugin_binary;
using cni::test::Snapshot;
using nlohmann::json;

namespace {

const json kOneRange = {{"ranges", {{{{"subnet", "10.1.2.0/28"}}}}}};

json ranges(const std::vector<std::string>& subnets) {
  json sets = json::array();
  for (const std::string& subnet : subnets) {
    sets.push_back(json::array({json{{"subnet", subnet}}}));
  }
  return {{"ranges", sets}};
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("an address lives from ADD to DEL", "[host-local]") {
  const AddressNetwork network(kOneRange);
  const auto added = network.add("c1");
  INFO(added.text());
  REQUIRE(added.status == 0);
  CHECK(*added.json == json::parse(R"({"cniVersion": "1.1.0", "ips": [
      {"address": "10.1.2.2/28", "gateway": "10.1.2.1"}]})"));
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2"});

  json with_result = network.config;
  with_result["prevResult"] = *added.json;
  const auto check = [&](const json& config) {
    return run_plugin_binary({.plugin = "host-local-ipam",
                              .verb = "CHECK",
                              .config = config.dump(),
                              .container_id = "c1",
                              .netns = "/run/netns/none"});
  };
  CHECK(check(with_result).out.empty());
  with_result["prevResult"]["ips"][0]["address"] = "10.1.2.3/28";
  CHECK(
      check(with_result).message() ==
      "host-local: Failed to find address added by container c1: 10.1.2.3 is not reserved for it");
  with_result["prevResult"]["ips"][0]["address"] = "192.0.2.3/28";
  CHECK(check(with_result).status == 0);

  for (int turn = 0; turn < 2; ++turn) {
    const auto deleted = network.del("c1");
    INFO(deleted.text());
    CHECK(deleted.status == 0);
    CHECK(deleted.out.empty());
  }
  CHECK(network.reserved().empty());
  CHECK(check(network.config).message() ==
        "host-local: Failed to find address added by container c1: no address is reserved for it");
  CHECK(check(network.config).code() == 999);
}

TEST_CASE("the files are those of the Go suite, byte for byte", "[host-local]") {
  const ::mode_t before = ::umask(022);
  const AddressNetwork network(ranges({"10.1.2.0/28", "fd00:0:0::/120"}));
  CHECK(network.added("c1") == "10.1.2.2,fd00::2");
  ::umask(before);
  CHECK(network.content("10.1.2.2") == "c1\r\neth0");
  CHECK(network.content("fd00::2") == "c1\r\neth0");
  CHECK(network.content("last_reserved_ip.0") == "10.1.2.2");
  CHECK(network.content("last_reserved_ip.1") == "fd00::2");
  CHECK(network.content("lock").empty());
  CHECK(mode_of(network.directory()) == 0755);
  CHECK(mode_of(network.directory() + "/lock") == 0750);
  CHECK(mode_of(network.directory() + "/10.1.2.2") == 0600);
  CHECK(mode_of(network.directory() + "/last_reserved_ip.0") == 0600);

  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(network.directory())) {
    names.insert(entry.path().filename());
  }
  CHECK(names == std::set<std::string>{"10.1.2.2", "fd00::2", "last_reserved_ip.0",
                                       "last_reserved_ip.1", "lock"});
}

TEST_CASE("addresses are told by network, container and interface", "[host-local]") {
  AddressNetwork network(kOneRange);
  CHECK(network.added_by({.verb = "ADD", .ifname = "eth0"}) == "10.1.2.2");
  CHECK(network.added_by({.verb = "ADD", .ifname = "net1"}) == "10.1.2.3");
  const AddressNetwork::Call one{.verb = "DEL", .ifname = "net1"};
  network.config["name"] = "other";
  CHECK(network.added("c1") == "10.1.2.2");
  CHECK(network.call(one).status == 0);
  network.config["name"] = "net";
  CHECK(network.reserved().size() == 2);
  CHECK(network.call(one).status == 0);
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2"});
}

TEST_CASE("addresses go round, past the gateway", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"gateway", "10.1.2.4"}});
  for (const char* address : {"10.1.2.1", "10.1.2.2", "10.1.2.3", "10.1.2.5", "10.1.2.6"}) {
    CHECK(network.added(std::string("c-") + address) == address);
  }
  const auto full = network.add("more");
  CHECK(full.code() == 999);
  CHECK(full.message() ==
        "failed to allocate for range 0: no IP addresses available in range set: "
        "10.1.2.1-10.1.2.6");
  CHECK(network.del("c-10.1.2.2").status == 0);
  CHECK(network.del("c-10.1.2.5").status == 0);
  CHECK(network.added("more") == "10.1.2.2");
  CHECK(network.added("last") == "10.1.2.5");
}

TEST_CASE("an ADD that gets one address too few keeps none", "[host-local]") {
  const AddressNetwork network(ranges({"10.1.2.0/28", "10.1.3.0/30"}));
  CHECK(network.added("c1") == "10.1.2.2,10.1.3.2");
  const auto before = Snapshot::take("", {network.directory()});
  const auto failed = network.add("c2");
  CHECK(failed.message() ==
        "failed to allocate for range 1: no IP addresses available in range set: "
        "10.1.3.1-10.1.3.2");
  CHECK(difference(before, Snapshot::take("", {network.directory()})) == "");
}

TEST_CASE("the second ADD of an attachment changes nothing", "[host-local]") {
  const AddressNetwork network(kOneRange);
  CHECK(network.added("c1") == "10.1.2.2");
  const auto before = Snapshot::take("", {network.data_dir()});
  const auto again = network.add("c1");
  CHECK(again.code() == 999);
  CHECK(
      again.message() ==
      "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is "
      "not allowed: " +
          network.directory() + "/10.1.2.2");
  CHECK(difference(before, Snapshot::take("", {network.data_dir()})) == "");
}

TEST_CASE("a result that cannot be written releases the address", "[host-local]") {
  const AddressNetwork network(kOneRange);
  REQUIRE(network.added("c0") == "10.1.2.2");
  const auto failed = network.call({.verb = "ADD", .stdout_path = "/dev/full"});
  CHECK(failed.status == 1);
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2"});
  CHECK(network.added("c1") == "10.1.2.4");
}

TEST_CASE("addresses can be asked for", "[host-local]") {
  AddressNetwork network(ranges({"10.1.2.0/28", "10.1.3.0/28"}));

  SECTION("by capability") {
    network.config["runtimeConfig"]["ips"] = {"10.1.3.7", "10.1.2.9/24"};
    CHECK(network.added("c1") == "10.1.2.9,10.1.3.7");
    CHECK(network.content("last_reserved_ip.0") == "10.1.2.9");
    const auto taken = network.add("c2");
    CHECK(taken.message() ==
          "failed to allocate for range 0: requested IP address 10.1.2.9 is not available in range "
          "set 10.1.2.1-10.1.2.14: reserved for container c1");
    CHECK(network.reserved().size() == 2);
  }
  SECTION("by CNI_ARGS") {
    CHECK(network.added_by({.verb = "ADD", .args = "IP=10.1.3.5"}) == "10.1.2.2,10.1.3.5");
  }
  SECTION("by args, which CNI_ARGS do not add to") {
    network.config["args"]["cni"]["ips"] = {"10.1.2.5"};
    CHECK(network.added_by({.verb = "ADD", .args = "IP=10.1.3.5"}) == "10.1.2.5,10.1.3.2");
  }
  SECTION("the first request of a set counts, and all must be met") {
    network.config["runtimeConfig"]["ips"] = {"10.1.2.9", "10.1.2.8"};
    CHECK(network.add("c1").message() == "failed to allocate all requested IPs: 10.1.2.8");
    CHECK(network.reserved().empty());
  }
  SECTION("but not the gateway") {
    CHECK(network.call({.verb = "ADD", .args = "IP=10.1.2.1"}).message() ==
          "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway");
  }
  SECTION("ranges too, which come first") {
    network.config["runtimeConfig"]["ipRanges"] = ranges({"10.9.0.0/28"})["ranges"];
    CHECK(network.added("c1") == "10.9.0.2,10.1.2.2,10.1.3.2");
  }
}

TEST_CASE("reserved addresses are given on request only", "[host-local]") {
  AddressNetwork network(
      {{"subnet", "10.1.2.0/28"}, {"reserved", {"10.1.2.2-10.1.2.4", "10.1.2.8/30", "10.1.2.6"}}});
  CHECK(network.added("c1") == "10.1.2.5");
  CHECK(network.added("c2") == "10.1.2.7");
  CHECK(network.added("c3") == "10.1.2.12");
  CHECK(network.added_by({.verb = "ADD", .id = "c4", .args = "IP=10.1.2.3"}) == "10.1.2.3");
  network.config["ipam"]["reserved"] = {"10.1.2.4-10.1.2.3"};
  const auto bad = network.add("c5");
  CHECK(bad.code() == 7);
  CHECK(bad.message().find("ipam.reserved[0]") != std::string::npos);
}

TEST_CASE("every spec version gets its form of the result", "[host-local]") {
  for (const char* version : {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    AddressNetwork network(ranges({"10.1.2.0/28", "fd00::/120"}), version);
    const auto added = network.add("c1");
    INFO(version << added.text());
    REQUIRE(added.status == 0);
    CHECK(added.json->at("cniVersion") == version);
    CHECK_FALSE(added.json->contains("interfaces"));
    if (added.json->contains("ip4")) {
      CHECK(added.json->at("ip4").at("ip") == "10.1.2.2/28");
      CHECK(added.json->at("ip6").at("ip") == "fd00::2/120");
    } else {
      CHECK(added.json->at("ips").at(1).at("address") == "fd00::2/120");
      CHECK_FALSE(added.json->at("ips").at(1).contains("interface"));
    }
    CHECK(network.del("c1").status == 0);
    CHECK(network.reserved().empty());
  }
}

TEST_CASE("old spec versions have one address of a family", "[host-local]") {
  const AddressNetwork network(ranges({"10.1.2.0/28", "10.1.3.0/28"}), "0.2.0");
  const auto refused = network.add("c1");
  CHECK(refused.code() == 7);
  CHECK(refused.message() == "CNI version 0.2.0 does not support more than 1 address per family");
  CHECK_FALSE(std::filesystem::exists(network.data_dir()));
}

TEST_CASE("routes and DNS settings are passed on", "[host-local]") {
  AddressNetwork network(kOneRange);
  const cni::test::TempDirectory files;
  network.config["ipam"]["routes"] = {{{"dst", "0.0.0.0/0"}},
                                      {{"dst", "10.9.0.0/16"}, {"mtu", 1400}}};
  network.config["ipam"]["resolvConf"] =
      files.write("resolv.conf", "# x\nnameserver 192.0.2.1\nsearch a b\noptions ndots:2\n");
  const auto added = network.add("c1");
  REQUIRE(added.status == 0);
  CHECK(added.json->at("routes").at(1) == json{{"dst", "10.9.0.0/16"}, {"mtu", 1400}});
  CHECK(added.json->at("dns") ==
        json{{"nameservers", {"192.0.2.1"}}, {"search", {"a", "b"}}, {"options", {"ndots:2"}}});
  for (const char* path : {"/nowhere", "/dev/zero", "/"}) {
    network.config["ipam"]["resolvConf"] = path;
    CHECK(network.add("c2").code() == 5);
  }
  network.config["ipam"]["resolvConf"] = files.write("long", std::string((1U << 20U) + 1, 'x'));
  CHECK(network.add("c2").code() == 5);
  CHECK(network.reserved().size() == 1);
}

TEST_CASE("DEL needs nothing of the configuration but the directory", "[host-local]") {
  AddressNetwork network(kOneRange);
  REQUIRE(network.added("c1") == "10.1.2.2");
  network.config["ipam"]["ranges"] = "gone";
  network.config["ipam"]["cooldown"] = "nonsense";
  network.config["ipam"]["sticky"] = 17;
  const auto deleted = network.call({.verb = "DEL", .netns = "", .args = "IP=xx;garbage"});
  INFO(deleted.text());
  CHECK(deleted.status == 0);
  CHECK(network.reserved().empty());
}

TEST_CASE("DEL, CHECK, GC and STATUS make no directory", "[host-local]") {
  const AddressNetwork network(kOneRange);
  CHECK(network.del("c1").status == 0);
  CHECK(network.gc(std::vector<std::pair<std::string, std::string>>{}).status == 0);
  CHECK(network.status().status == 0);
  CHECK(network.call({.verb = "CHECK"}).code() == 999);
  CHECK_FALSE(std::filesystem::exists(network.data_dir()));
}

TEST_CASE("reservations of the old form belong to the container", "[host-local]") {
  const AddressNetwork network(kOneRange);
  REQUIRE(network.added("c1") == "10.1.2.2");
  cni::test::write_file(network.directory() + "/10.1.2.9", "old\n");
  cni::test::write_file(network.directory() + "/last_reserved_ip.7", "old");
  CHECK(network.call({.verb = "CHECK", .id = "old"}).status == 0);
  CHECK(network.add("old").message().find("10.1.2.9 has been allocated to old") !=
        std::string::npos);
  CHECK(network.del("old").status == 0);
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2"});
  CHECK(network.content("last_reserved_ip.7") == "old");
}

TEST_CASE("the size of a range costs nothing", "[host-local]") {
  const AddressNetwork network(ranges({"10.0.0.0/8", "::/0"}));
  CHECK(network.added("c1") == "10.0.0.2,::2");
  CHECK(network.call({.verb = "ADD", .id = "c2", .args = "IP=10.255.255.254"}).status == 0);
  CHECK(network.added("c3") == "10.0.0.3,::4");
  CHECK(network.status().status == 0);
}

TEST_CASE("the address space of IPv6 that looks like IPv4 stays IPv6", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "::1.2.3.0/120"}});
  CHECK(network.added("c1") == "::102:302");
}

TEST_CASE("bad configurations are refused before anything is written", "[host-local]") {
  struct Bad {
    json ipam;
    std::string message;
  };
  const json gateway = {{"subnet", "10.1.2.0/28"}};
  const std::vector<Bad> cases = {
      {json::object(), "no IP ranges specified"},
      {{{"subnet", "10.1.2.0"}}, "invalid CIDR address: 10.1.2.0"},
      {{{"subnet", "10.1.2.1/28"}},
       "invalid range set 0: Network has host bits set. For a subnet mask of length 28 the network "
       "address is 10.1.2.0"},
      {{{"subnet", "10.1.2.0/31"}},
       "invalid range set 0: Network 10.1.2.0/31 too small to allocate from"},
      {{{"subnet", "10.1.2.0/24"}, {"rangeStart", "10.1.3.1"}},
       "invalid range set 0: RangeStart 10.1.3.1 not in network 10.1.2.0/24"},
      {{{"subnet", "10.1.2.0/24"}, {"rangeEnd", "10.1.3.1"}},
       "invalid range set 0: RangeEnd 10.1.3.1 not in network 10.1.2.0/24"},
      {{{"subnet", "10.1.2.0/24"}, {"rangeStart", "10.1.2.9"}, {"rangeEnd", "10.1.2.8"}},
       "invalid range set 0: RangeStart 10.1.2.9 not in network 10.1.2.0/24"},
      {{{"ranges", json::array({json::array()})}}, "invalid range set 0: empty range set"},
      {{{"ranges", {{json::object()}}}}, "invalid range set 0: IP <nil> not v4 nor v6"},
      {{{"ranges", {{{{"subnet", "10.1.2.0/28"}}, {{"subnet", "fd00::/120"}}}}}},
       "invalid range set 0: mixed address families"},
      {{{"ranges", {{{{"subnet", "10.1.2.0/28"}}, {{"subnet", "10.1.0.0/16"}}}}}},
       "invalid range set 0: subnets 10.1.2.1-10.1.2.14 and 10.1.0.1-10.1.255.254 overlap"},
      {ranges({"10.1.2.0/28", "10.1.2.0/24"}), "range set 0 overlaps with 1"},
      {{{"subnet", "10.1.2.0/28"}, {"cooldown", "soon"}}, "not a duration"},
      {{{"subnet", "10.1.2.0/28"}, {"sticky", {{"ttl", -1}}}}, "not a duration"},
      {{{"subnet", "10.1.2.0/28"}, {"gateway", "x"}}, "invalid IP address: x"},
  };
  for (const Bad& bad : cases) {
    const AddressNetwork network(bad.ipam);
    const auto refused = network.add("c1");
    INFO(network.config.dump() << '\n' << refused.text());
    CHECK(refused.code() == 7);
    CHECK(refused.message().find(bad.message) == 0);
    CHECK_FALSE(std::filesystem::exists(network.data_dir()));
  }
  AddressNetwork network(kOneRange);
  network.config["runtimeConfig"]["ips"] = {nullptr};
  CHECK(network.add("c1").message().find("cannot understand ip: IP <nil> not v4 nor v6") == 0);
  network.config.erase("runtimeConfig");
  CHECK(network.call({.verb = "ADD", .args = "IP=xx"}).message() ==
        "ARGS: error parsing value of pair \"IP=xx\": invalid IP address xx");
  CHECK(network.call({.verb = "ADD", .args = "FOO=BAR"}).code() == 7);
  network.config.erase("ipam");
  const auto without = network.add("c1");
  CHECK(without.code() == 7);
  CHECK(without.message().find("IPAM config missing 'ipam' key") == 0);
}
