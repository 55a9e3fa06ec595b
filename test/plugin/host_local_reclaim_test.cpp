// host-local-ipam: addresses of attachments that ended without a DEL come back by themselves, those
// of the living never.
#include <sys/mount.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "plugin/host_local_network.h"
#include "support/two_namespaces.h"

using cni::test::AddressNetwork;
using cni::test::kGoHostLocal;
using cni::test::kSize;
using cni::test::kSmall;
using cni::test::Namespace;
using cni::test::TempDirectory;
using nlohmann::json;

namespace {

using Valid = std::vector<std::pair<std::string, std::string>>;

// What a reboot changes first: the machine has another boot ID while this lives.
class OtherBoot {
 public:
  OtherBoot() {
    const std::string path = directory_.write(
        "boot_id", "00000000-0000-4000-8000-00000000000" + std::to_string(count_++ % 10) + "\n");
    REQUIRE(::mount(path.c_str(), kBootId, nullptr, MS_BIND, nullptr) == 0);
  }
  ~OtherBoot() { ::umount2(kBootId, MNT_DETACH); }

 private:
  static constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
  static inline int count_ = 0;
  TempDirectory directory_;
};

std::vector<std::unique_ptr<Namespace>> fill(const AddressNetwork& network,
                                             const std::string& plugin = "host-local-ipam") {
  std::vector<std::unique_ptr<Namespace>> containers;
  for (int at = 0; at < kSize; ++at) {
    containers.push_back(std::make_unique<Namespace>("c"));
    network.added_by({.verb = "ADD",
                      .id = "c" + std::to_string(at),
                      .netns = containers.back()->path(),
                      .plugin = plugin});
  }
  return containers;
}

// The stamp of the attachment that has the address, in the index.
std::string stamp_path(const AddressNetwork& network, const std::string& address) {
  for (const auto& entry :
       std::filesystem::directory_iterator(network.own_directory() + "/owners")) {
    const std::string content = cni::test::read_whole_file(entry.path());
    if (content.find("address " + address + "\n") != std::string::npos) return entry.path();
  }
  throw std::runtime_error("nothing is known about " + address);
}

std::string netns_line(const std::string& stamp) {
  const std::size_t start = stamp.find("netns ");
  REQUIRE(start != std::string::npos);
  return stamp.substr(start, stamp.find('\n', start) - start);
}

// As if the namespace of the attachment that has `to` had had another number, which the kernel has
// given to a new namespace since. It does so soon, but not always at once.
void reuse_number(const AddressNetwork& network, const std::string& to, const std::string& number) {
  const std::string path = stamp_path(network, to);
  std::string stamp = cni::test::read_whole_file(path);
  const std::string old = netns_line(stamp);
  stamp.replace(stamp.find(old), old.size(), number);
  cni::test::write_file(path, stamp);
}

}  // namespace

TEST_CASE("a full network reclaims what is dead and keeps what lives", "[host-local]") {
  AddressNetwork network(kSmall);
  const auto containers = fill(network);
  CHECK(network.add("more").code() == 999);
  containers[4]->remove();
  containers[7]->remove();
  const auto before = network.reserved();

  SECTION("on ADD") {
    const Namespace one("more");
    const Namespace two("more");
    const Namespace three("more");
    CHECK(network.added("m1", one.path()) == "10.1.2.6");
    CHECK(network.added("m2", two.path()) == "10.1.2.9");
    CHECK(network.add("m3", three.path()).code() == 999);
    CHECK(network.reserved() == before);
    CHECK(network.content("10.1.2.5") == "c3\r\neth0");
  }
  SECTION("unless it may not") {
    network.config["ipam"]["reclaim"] = false;
    CHECK(network.add("m1").code() == 999);
  }
  SECTION("and STATUS knows it beforehand") {
    CHECK(network.status().status == 0);
    network.config["ipam"]["reclaim"] = false;
    const auto status = network.status();
    CHECK(status.code() == 50);
    CHECK(status.message() ==
          "no IP addresses available in range set: 10.1.2.1-10.1.2.14: 10.1.2.0/28 "
          "(10.1.2.1-10.1.2.14): 13 used, 0 reclaimable, 0 cooling down, 0 held, 13 total");
  }
}

TEST_CASE("the first ADD after a reboot reclaims what is dead", "[host-local]") {
  const AddressNetwork network(kSmall);
  const auto containers = fill(network);
  for (int at = 0; at < kSize; ++at) {
    // As after a real reboot, but for two that only the boot ID speaks against.
    if (at != 2 && at != 9) containers[static_cast<std::size_t>(at)]->remove();
  }
  const OtherBoot reboot;
  CHECK(network.status().status == 0);
  CHECK(network.reserved().size() == kSize);
  const Namespace container("new");
  CHECK(network.added("new", container.path()) == "10.1.2.2");
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.4", "10.1.2.11"});
  CHECK(network.content("10.1.2.4") == "c2\r\neth0");
}

TEST_CASE("what the Go suite reserved is reclaimed after the next reboot",
          "[host-local][reference-plugins]") {
  AddressNetwork network(kSmall, "1.0.0");
  const auto containers = fill(network, kGoHostLocal);
  // In this boot it may be alive for all we know.
  for (const auto& container : containers) container->remove();
  CHECK(network.add("more").code() == 999);
  const Namespace living("living");
  living.run("ip address add 10.1.2.7/28 dev lo");
  const OtherBoot reboot;
  CHECK(network.added("more") == "10.1.2.2");
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.7"});
}

TEST_CASE("unsynced stamps that a loss of power took count as old", "[host-local]") {
  const AddressNetwork network(kSmall);
  const auto containers = fill(network);
  const std::string owners = network.own_directory() + "/owners";
  for (const auto& entry : std::filesystem::directory_iterator(owners)) {
    cni::test::write_file(entry.path(), "");
  }
  for (const auto& container : containers) container->remove();
  const OtherBoot reboot;
  CHECK(network.added("more") == "10.1.2.2");
  CHECK(network.reserved().size() == 1);
}

TEST_CASE("a namespace that moved is alive", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/30"}});
  Namespace container("c");
  REQUIRE(network.added("c1", container.path()) == "10.1.2.2");
  const TempDirectory directory;
  const std::string other = directory.write("netns", "");
  REQUIRE(::mount(container.path().c_str(), other.c_str(), nullptr, MS_BIND, nullptr) == 0);
  container.remove();
  CHECK(network.add("c2").code() == 999);
  REQUIRE(::umount2(other.c_str(), MNT_DETACH) == 0);
  CHECK(network.added("c2") == "10.1.2.2");
}

TEST_CASE("a namespace number that is used again does not revive the dead", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}});
  for (const char* id : {"c1", "c2", "c3"}) network.added(id);
  Namespace first("c");
  REQUIRE(network.added("c4", first.path()) == "10.1.2.5");
  const Namespace second("c");
  REQUIRE(network.added("c5", second.path()) == "10.1.2.6");
  const std::string number =
      netns_line(cni::test::read_whole_file(stamp_path(network, "10.1.2.6")));
  first.remove();
  reuse_number(network, "10.1.2.5", number);
  CHECK(network.status().status == 0);
  CHECK(network.added("c6") == "10.1.2.5");
  CHECK(network.add("c7").code() == 999);
}

TEST_CASE("a container may start again in a namespace with its old number", "[host-local]") {
  const AddressNetwork network(kSmall);
  Namespace first("c");
  REQUIRE(network.added("c1", first.path()) == "10.1.2.2");
  const Namespace second("c");
  REQUIRE(network.added("c2", second.path()) == "10.1.2.3");
  const std::string number =
      netns_line(cni::test::read_whole_file(stamp_path(network, "10.1.2.3")));
  REQUIRE(network.del("c2").status == 0);
  first.remove();
  reuse_number(network, "10.1.2.2", number);
  CHECK(network.added("c1", second.path()) == "10.1.2.2");
}

TEST_CASE("a container that starts again keeps its address", "[host-local]") {
  const AddressNetwork network(kSmall);
  REQUIRE(network.added("c0") == "10.1.2.2");
  {
    const Namespace first("c");
    REQUIRE(network.added("c1", first.path()) == "10.1.2.3");
    CHECK(network.add("c1", first.path()).code() == 999);
  }
  const Namespace second("c");
  CHECK(network.added("c1", second.path()) == "10.1.2.3");
  CHECK(network.add("c1", second.path()).code() == 999);
  CHECK(network.reserved().size() == 2);
  {
    const OtherBoot reboot;
    CHECK(network.add("c1", second.path()).code() == 999);
    // What nobody knows a namespace of did not outlive the reboot.
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.3"});
  }
  CHECK(network.del("c1").status == 0);
  CHECK(network.reserved().empty());
}

TEST_CASE("GC frees what is not on the list, but no address in use", "[host-local]") {
  const AddressNetwork network(kSmall);
  const Namespace in_use("c");
  in_use.run("ip address add 10.1.2.4/28 dev lo");
  const Namespace idle("c");
  REQUIRE(network.added("c1") == "10.1.2.2");
  REQUIRE(network.added_by({.verb = "ADD", .id = "c1", .ifname = "net1"}) == "10.1.2.3");
  REQUIRE(network.added("c3", in_use.path()) == "10.1.2.4");
  REQUIRE(network.added("c4", idle.path()) == "10.1.2.5");
  cni::test::write_file(network.directory() + "/10.1.2.9", "old");
  cni::test::write_file(network.directory() + "/notes", "c1\r\nnet1");
  std::filesystem::create_directory(network.directory() + "/deeper");
  cni::test::write_file(network.directory() + "/deeper/10.1.2.9", "c1\r\nnet1");

  SECTION("by pair") {
    CHECK(network.gc(Valid{{"c1", "eth0"}, {"old", "eth7"}}).status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.4", "10.1.2.9"});
    CHECK(network.gc(Valid{{"c1", "eth0"}, {"old", "eth7"}}).status == 0);
    CHECK(network.del("c3").status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.9"});
  }
  SECTION("with an empty list") {
    CHECK(network.gc(Valid{}).status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.4"});
  }
  SECTION("without a list what may be alive is kept as well") {
    CHECK(network.gc(std::nullopt).status == 0);
    CHECK(network.reserved() ==
          std::set<std::string>{"10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.9"});
  }
  CHECK(network.content("notes") == "c1\r\nnet1");
  CHECK(network.content("deeper/10.1.2.9") == "c1\r\nnet1");
}

TEST_CASE("GC leaves an ADD alone that is still going on", "[host-local]") {
  const AddressNetwork network(kSmall);
  const Namespace container("c");
  // The plugin that delegates has the same CNI_COMMAND and CNI_CONTAINERID while it works.
  const TempDirectory directory;
  const std::string config = directory.write("config", network.config.dump());
  const std::string parent =
      directory.write("parent",
                      "#!/bin/sh\n" + cni::test::plugin_directory() + "/host-local-ipam < " +
                          config + "\ntouch " + directory.path() + "/reserved\nwhile [ ! -e " +
                          directory.path() + "/go ]; do sleep 0.02; done\n",
                      0755);
  std::thread adding([&] {
    cni::test::run({.argv = {parent}, .environment = [&] {
                      auto environment = cni::test::plain_environment();
                      environment["CNI_COMMAND"] = "ADD";
                      environment["CNI_CONTAINERID"] = "c1";
                      environment["CNI_NETNS"] = container.path();
                      environment["CNI_IFNAME"] = "eth0";
                      environment["CNI_PATH"] = "/";
                      return environment;
                    }()});
  });
  while (!std::filesystem::exists(directory / "reserved")) std::this_thread::yield();
  CHECK(network.gc(Valid{}).status == 0);
  CHECK(network.reserved().size() == 1);
  directory.write("go", "");
  adding.join();
  CHECK(network.gc(Valid{}).status == 0);
  CHECK(network.reserved().empty());
}

TEST_CASE("GC goes on after an error and reports it", "[host-local]") {
  const AddressNetwork network(kSmall);
  for (const char* id : {"c1", "c2", "c3"}) network.added(id);
  // A mount point cannot be deleted.
  const std::string path = network.directory() + "/10.1.2.3";
  REQUIRE(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0);
  const auto collected = network.gc(Valid{});
  INFO(collected.text());
  CHECK(collected.code() == 5);
  CHECK(collected.message().find("10.1.2.3: device or resource busy") != std::string::npos);
  CHECK(network.reserved() == std::set<std::string>{"10.1.2.3"});
  REQUIRE(::umount2(path.c_str(), MNT_DETACH) == 0);
  CHECK(network.gc(Valid{}).status == 0);
  CHECK(network.reserved().empty());
}
