// Kernels that have iptables and no nf_tables: what asks for nf_tables is told so, and nothing is
// left of it; what leaves the choice to us works.
#include <catch2/catch.hpp>

#include "plugin/traffic_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

Json with_ip_masq(const TrafficHost& net, const std::string& backend) {
  Json bridge = net.bridge("a");
  bridge["ipMasq"] = true;
  bridge["ipMasqBackend"] = backend;
  return bridge;
}

Json with_backend(Json config, const std::string& backend) {
  config["backend"] = backend;
  return config;
}

bool names_the_feature(const std::string& message) {
  return message.find("nf_tables") != std::string::npos ||
         message.find("nft_") != std::string::npos;
}

}  // namespace

TEST_CASE("a kernel without nf_tables is named as the reason, and nothing is left",
          "[traffic][nftables-without-ip][iptables-legacy]") {
  TrafficHost net(Store::kNative);
  // What all attachments share comes with the first.
  net.del(net.add("net-a", "first", {with_ip_masq(net, "auto")}));
  const Json bridge = net.bridge("a");
  const Json portmap =
      with_backend(net.portmap(Json::array({mapping(8080, 80, Protocol::kTcp)})), "nftables");
  const Json masquerade = {{"type", "masquerade"}, {"backend", "nftables"}};
  const std::vector<std::vector<Json>> chains = {
      {with_ip_masq(net, "nftables")}, {bridge, portmap}, {bridge, masquerade}};
  const Snapshot before = net.snapshot();
  int number = 0;
  for (const auto& chain : chains) {
    INFO(chain.back().at("type"));
    Pod pod = net.attachment("net-a", "pod-" + std::to_string(++number), chain);
    const auto outcomes = net.run("ADD", pod);
    INFO(outcomes.back().text());
    CHECK(outcomes.back().status != 0);
    CHECK(names_the_feature(outcomes.back().message()));
    // A runtime ends with DEL what it could not begin.
    for (const PluginOutcome& outcome : net.run("DEL", pod)) {
      INFO(outcome.text());
      CHECK(outcome.status == 0);
    }

    for (Json& config : pod.chain) config["cniVersion"] = "1.1.0";
    const PluginOutcome status = net.run("STATUS", pod).back();
    INFO(status.text());
    CHECK(status.code() == 50);
    CHECK(names_the_feature(status.message()));
  }
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a kernel without nf_tables has host ports and masquerading",
          "[traffic][nftables-without-ip][iptables-legacy]") {
  TrafficHost net(Store::kNative);
  Json mappings = Json::array();
  for (const Protocol protocol : net.protocols) mappings.push_back(mapping(8080, 80, protocol));
  const Json portmap = with_backend(net.portmap(mappings), "auto");
  net.servers.serve_everywhere(net.lan, "lan", Protocol::kTcp, 80);
  net.del(net.add_server("net-a", "first", {with_ip_masq(net, "auto"), portmap}));
  const Snapshot before = net.snapshot();
  Pod& pod = net.add_server("net-a", "pod", {with_ip_masq(net, "auto"), portmap});
  for (const Family& family : {kIpv4, kIpv6}) {
    INFO(family.name);
    for (const Protocol protocol : net.protocols) {
      CHECK(ask(net.lan, {.to = family.host, .port = 8080, .protocol = protocol}).text() ==
            std::string("pod saw ") + family.lan);
    }
    CHECK(ask(*pod.container, {.to = family.lan, .port = 80}).text() ==
          std::string("lan saw ") + family.host);
  }
  net.del(pod);
  CHECK(difference(before, net.snapshot()) == "");
}
