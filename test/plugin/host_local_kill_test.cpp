// host-local-ipam: killed at any moment it leaves nothing that the next calls stumble over.
#include <catch2/catch.hpp>

#include "plugin/host_local_network.h"

using cni::test::AddressNetwork;
using cni::test::run_traced;
using cni::test::Trace;
using nlohmann::json;

namespace {

// Every kind of state there is.
const json kEverything = {{"subnet", "10.1.2.0/28"}, {"cooldown", "1h"}, {"sticky", true}};

void use(const AddressNetwork& network) {
  const std::string pod = "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=a";
  network.added("c1");
  network.added("c2");
  network.added_by({.verb = "ADD", .id = "c3", .args = pod});
  REQUIRE(network.del("c2").status == 0);
}

}  // namespace

TEST_CASE("an ADD that is killed leaves nothing after its DEL", "[host-local][traced]") {
  int kill_at = 0;
  for (bool killed = true; killed; ++kill_at) {
    INFO("killed at stop " << kill_at);
    const AddressNetwork network(kEverything);
    use(network);
    killed = run_traced(network, "ADD", Trace::kYes, kill_at).status == -1;
    REQUIRE(network.del("one").status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.4"});
    CHECK(network.add("one").status == 0);
    CHECK(network.del("c3").status == 0);
    CHECK(network.reserved().size() == 2);
  }
  CHECK(kill_at > 50);
}

TEST_CASE("a DEL that is killed can be repeated", "[host-local][traced]") {
  int kill_at = 0;
  for (bool killed = true; killed; ++kill_at) {
    INFO("killed at stop " << kill_at);
    const AddressNetwork network(kEverything);
    use(network);
    network.added("one");
    killed = run_traced(network, "DEL", Trace::kYes, kill_at).status == -1;
    CHECK(network.del("one").status == 0);
    CHECK(network.reserved() == std::set<std::string>{"10.1.2.2", "10.1.2.4"});
    CHECK(network.add("one").status == 0);
    CHECK(network.reserved().size() == 3);
  }
  CHECK(kill_at > 50);
}
