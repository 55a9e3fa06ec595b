// ipMasq of veth, by what a peer outside sees.
#include <catch2/catch.hpp>

#include "plugin/veth_network.h"
#include "support/echo.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint16_t kEchoPort = 7000;

// A peer beyond the host's uplink that knows no way to the containers.
class MasqueradedNetwork : public VethNetwork {
 public:
  MasqueradedNetwork() {
    host.run("ip link add uplink type veth peer name eth0 netns " + peer.path());
    host.run("ip link set uplink up addrgenmode none");
    peer.run("ip link set eth0 up addrgenmode none");
    host.run("ip address add 192.0.2.1/24 dev uplink");
    peer.run("ip address add 192.0.2.2/24 dev eth0");
    host.run("ip address add 2001:db8::1/64 dev uplink nodad");
    peer.run("ip address add 2001:db8::2/64 dev eth0 nodad");
    servers.serve_everywhere(peer, "peer", Protocol::kTcp, kEchoPort);
    for (const char* address : {"192.0.2.2", "2001:db8::2"}) {
      wait_for_answer(host, {.to = address, .port = kEchoPort});
    }
    config["ipMasq"] = true;
    give_dual_stack();
  }

  // What the peer at `address` sees of a container.
  std::string seen(const Attached& attached, const std::string& address) const {
    return ask(*attached.container,
               {.to = address, .port = kEchoPort, .limit = std::chrono::milliseconds(700)})
        .text();
  }

  Namespace& peer = host.add_container("peer");
  EchoServers servers;
};

}  // namespace

TEST_CASE("ipMasq of veth gives both families the host's address", "[veth][masquerade][ipv6]") {
  MasqueradedNetwork net;
  const std::string backend = GENERATE("", "nftables", "iptables");
  INFO(backend);
  if (!backend.empty()) net.config["ipMasqBackend"] = backend;
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  CHECK(net.seen(one, "192.0.2.2") == "peer saw 192.0.2.1");
  CHECK(net.seen(one, "2001:db8::2") == "peer saw 2001:db8::1");
  net.check(one);
  CHECK(net.run("STATUS", one).status == 0);

  // The others of its network see the container itself.
  net.give({{"ips", {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}}}}});
  const Attached two = net.add("c2");
  net.servers.serve_everywhere(*two.container, "c2", Protocol::kTcp, kEchoPort);
  CHECK(net.seen(one, "10.1.2.6") == "c2 saw 10.1.2.5");
  net.servers.stop("c2");

  net.del(two);
  CHECK(net.seen(one, "192.0.2.2") == "peer saw 192.0.2.1");
  for (int round = 0; round < 2; ++round) net.del(one);
  if (backend == "iptables") {
    CHECK_THAT(net.snapshot().text(), !Contains("MASQUERADE") && !Contains("CNI-"));
  } else {
    CHECK(difference(before, net.snapshot()) == "");
  }
}

TEST_CASE("veth does not masquerade unasked", "[veth][masquerade][ipv6]") {
  MasqueradedNetwork net;
  SECTION("at all") {
    net.config["ipMasq"] = false;
    const Snapshot before = net.snapshot();
    const Attached one = net.add("c1");
    CHECK(net.seen(one, "192.0.2.2") == "silence");
    net.del(one);
    CHECK(difference(before, net.snapshot()) == "");
  }
  SECTION("IPv6") {
    net.config["ipMasq"] = {{"ipv6", false}};
    const Attached one = net.add("c1");
    CHECK(net.seen(one, "192.0.2.2") == "peer saw 192.0.2.1");
    CHECK(net.seen(one, "2001:db8::2") == "silence");
  }
}

TEST_CASE("a failed ADD of veth takes its masquerading back", "[veth][masquerade][rollback]") {
  MasqueradedNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}},
            {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}});
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = net.run("ADD", net.attachment("c1"));
  INFO(outcome.text());
  CHECK_THAT(outcome.message(), Contains("failed to add route"));
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("CHECK of veth misses masquerading that others removed", "[veth][masquerade][check]") {
  MasqueradedNetwork net;
  const Attached one = net.add("c1");
  net.host.run("nft flush ruleset");
  const PluginOutcome outcome = net.run("CHECK", one);
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK_THAT(outcome.message(), Contains("masquerade"));
  net.del(one);
}

TEST_CASE("masquerading goes without the container's namespace", "[veth][masquerade][gc]") {
  MasqueradedNetwork net;
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  SECTION("DEL without CNI_NETNS and prevResult") {
    PluginCall call = net.call("DEL", one);
    call.netns = "";
    call.config = net.config.dump();
    CHECK(run_plugin_binary(call).status == 0);
  }
  SECTION("DEL with a configuration that does not ask for it any more") {
    net.config.erase("ipMasq");
    net.del(one);
  }
  SECTION("GC") {
    CHECK(run_plugin_binary(net.call_for_network("GC")).status == 0);
  }
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("masquerading of the reference suite's ptp goes with our DEL",
          "[veth][masquerade][reference]") {
  MasqueradedNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"},
            {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}}}});
  Attached one = net.attachment("c1");
  one.result = *net.run_reference("ptp", "ADD", one).json;
  CHECK(net.seen(one, "192.0.2.2") == "peer saw 192.0.2.1");
  net.check(one);
  net.del(one);
  CHECK_THAT(net.snapshot().text(), !Contains("MASQUERADE") && !Contains("CNI-"));
}
