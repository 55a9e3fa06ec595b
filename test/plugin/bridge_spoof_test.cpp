// macspoofchk: what a container sends with another MAC than its own does not get through.
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

constexpr std::uint16_t kEtherType = 0x88b5;  // for experiments (IEEE 802)
constexpr const char* kForeignMac = "02:00:00:00:00:77";

// A socket of the calling thread's namespace that sends and gets frames of a link.
class FrameSocket {
 public:
  FrameSocket(const Namespace& where, const std::string& link) {
    where.in([&] {
      fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, __builtin_bswap16(kEtherType));
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = __builtin_bswap16(kEtherType);
      address.sll_ifindex = static_cast<int>(::if_nametoindex(link.c_str()));
      if (fd_ < 0 || address.sll_ifindex == 0 ||
          ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        throw std::runtime_error("cannot listen on " + link);
      }
    });
  }
  FrameSocket(const FrameSocket&) = delete;
  FrameSocket& operator=(const FrameSocket&) = delete;
  ~FrameSocket() { ::close(fd_); }

  // To everybody.
  void send(const std::string& source) const {
    std::array<std::uint8_t, 60> frame{};
    std::fill_n(frame.begin(), ETH_ALEN, 0xff);
    for (std::size_t at = 0; at < ETH_ALEN; ++at) {
      frame[ETH_ALEN + at] =
          static_cast<std::uint8_t>(std::stoul(source.substr(at * 3, 2), nullptr, 16));
    }
    frame[12] = kEtherType >> 8U;
    frame[13] = kEtherType & 0xffU;
    REQUIRE(::send(fd_, frame.data(), frame.size(), 0) == ETH_ZLEN);
  }

  // The source of the next frame; "nothing" if none comes.
  std::string receive() const {
    pollfd waited{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&waited, 1, 5000) != 1) return "nothing";
    std::array<std::uint8_t, 1500> frame{};
    REQUIRE(::recv(fd_, frame.data(), frame.size(), 0) >= ETH_HLEN);
    return fmt::format("{:02x}",
                       fmt::join(frame.begin() + ETH_ALEN, frame.begin() + 2 * ETH_ALEN, ":"));
  }

 private:
  int fd_ = -1;
};

std::string mac_of(const Attached& attached) {
  return attached.result.at("interfaces").at(2).at("mac");
}

// Which of the frames that the container sends arrive at the host: one with a foreign MAC, one of a
// neighbour's, and then one with its own.
Texts arriving(const BridgeNetwork& net, const Attached& from, const std::string& neighbour) {
  const FrameSocket host(net.host, "br0");
  const FrameSocket container(*from.container, from.ifname);
  const std::string own = mac_of(from);
  for (const std::string& source : {std::string(kForeignMac), neighbour, own}) {
    container.send(source);
  }
  Texts arrived;
  do {
    arrived.push_back(host.receive());
  } while (arrived.back() != own && arrived.back() != "nothing");
  return arrived;
}

// The table without handles; empty if it is not there.
std::string rules(const BridgeNetwork& net) {
  return net.host.run("nft -s list tables").find("bridge nat") == std::string::npos
             ? ""
             : net.host.run("nft -s list table bridge nat");
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

struct SpoofNetwork : BridgeNetwork {
  SpoofNetwork() {
    config["macspoofchk"] = true;
    give_by_number();
  }
  // The shared table is there from the first ADD on.
  Snapshot settled() {
    del(add("c200"));
    return snapshot();
  }
};

}  // namespace

TEST_CASE("a container cannot send with another MAC than its own",
          "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Attached checked = net.add("c1");
  const Attached other = net.add("c2");
  net.config["macspoofchk"] = false;
  const Attached unchecked = net.add("c3");
  CHECK(arriving(net, checked, mac_of(other)) == Texts{mac_of(checked)});
  CHECK(arriving(net, other, mac_of(checked)) == Texts{mac_of(other)});
  CHECK(arriving(net, unchecked, mac_of(other)) ==
        Texts{kForeignMac, mac_of(other), mac_of(unchecked)});
  CHECK(ping(*checked.container, "10.1.2.1"));
  CHECK(ping(*checked.container, "10.1.2.3"));
  CHECK(ping(*checked.container, "fd00:1:2::3"));

  net.config["macspoofchk"] = true;
  net.del(checked);
  CHECK(arriving(net, other, kForeignMac) == Texts{mac_of(other)});
  CHECK(count(rules(net), "macspoofchk-c1-eth0") == 0);
}

TEST_CASE("the rules of the MAC check are those that other suites know",
          "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Attached one = net.add("c1");
  const std::string listed = rules(net);
  INFO(listed);
  for (const std::string& line :
       Texts{"type filter hook prerouting priority dstnat; policy accept;",
             "iifname \"" + port_name(one.result) +
                 "\" jump cni-br-iface-c1-eth0 comment \"macspoofchk-c1-eth0\"",
             "jump cni-br-iface-c1-eth0-mac comment \"macspoofchk-c1-eth0\"",
             "ether saddr " + mac_of(one) + " return comment \"macspoofchk-c1-eth0\"",
             "drop comment \"macspoofchk-c1-eth0\""}) {
    CHECK_THAT(listed, Contains(line));
  }
  CHECK(count(listed, "comment") == 4);
}

TEST_CASE("DEL removes the MAC check, and nothing else of the table",
          "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Snapshot before = net.settled();
  Attached one = net.add("c1");
  CHECK(difference(before, net.snapshot()) != "");
  PluginCall call = net.call("DEL", one);
  SECTION("as it was added") {}
  SECTION("without the namespace") {
    call.netns.clear();
    one.container->remove();
  }
  SECTION("without the key") {
    Json config = net.config;
    config.erase("macspoofchk");
    call.config = config.dump();
  }
  SECTION("after somebody took a chain's rules out") {
    net.host.run("nft flush chain bridge nat cni-br-iface-c1-eth0");
  }
  SECTION("after somebody took the table out") {
    net.host.run("nft delete table bridge nat");
    net.host.run("nft add table bridge nat");
    net.host.run(
        "nft add chain bridge nat PREROUTING { type filter hook prerouting priority -300 ; }");
  }
  for (int time = 0; time < 2; ++time) {
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    CHECK(outcome.status == 0);
    CHECK(outcome.out.empty());
    CHECK(outcome.err.empty());
    CHECK(difference(before, net.snapshot()) == "");
  }
}

TEST_CASE("DEL makes no table", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  net.del(net.attachment("c1"));
  CHECK(rules(net).empty());
}

TEST_CASE("where others have rules for bridges DEL and GC write no file",
          "[bridge][macspoofchk][nftables]") {
  BridgeNetwork net;
  net.without_ipam();
  net.host.run("nft add table bridge nat");
  net.host.run(
      "nft add chain bridge nat PREROUTING { type filter hook prerouting priority -300 ; }");
  net.host.run("nft add rule bridge nat PREROUTING ether saddr 02:00:00:00:00:01 drop");
  PluginCall call = net.call("DEL", net.attachment("c1"));
  SECTION("DEL") {}
  SECTION("GC") {
    call.verb = "GC";
    call.container_id.clear();
    call.netns.clear();
    call.ifname.clear();
  }
  const PluginOutcome outcome =
      run_plugin_binary(net.in_mount_namespace(call, "mount -o remount,bind,ro /run"));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
}

TEST_CASE("an ADD that fails takes the MAC check back", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Snapshot before = net.settled();
  const Attached one = net.attachment("c1");
  SECTION("in IPAM") {
    net.ipam.reply("ADD", {.out = R"({"code": 11, "msg": "later"})", .status = 1});
    CHECK(net.run("ADD", one).code() == 11);
  }
  SECTION("at its very end") {
    PluginCall call = net.call("ADD", one);
    call.stdout_path = "/dev/full";
    CHECK(run_plugin_binary(call).status != 0);
  }
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a repeated ADD replaces the MAC check", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  net.add("c1");
  const Attached again = net.add("c1");  // in a new namespace: the node was restarted, say
  CHECK(count(rules(net), "macspoofchk-c1-eth0") == 4);
  CHECK(arriving(net, again, kForeignMac) == Texts{mac_of(again)});
}

TEST_CASE("CHECK sees a MAC check that is not whole", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Attached one = net.add("c1");
  const auto check = [&](const std::string& expected) {
    const PluginOutcome outcome = net.run("CHECK", one);
    INFO(outcome.text());
    CHECK(outcome.code() == (expected.empty() ? 0 : 999));
    if (expected.empty()) {
      CHECK(outcome.status == 0);
    } else {
      CHECK_THAT(outcome.message(), Contains("check the MAC " + mac_of(one) + " of bridge port") &&
                                        Contains(expected));
    }
  };
  check("");
  const std::string table = "bridge nat ";
  const std::string chain = "cni-br-iface-c1-eth0";
  SECTION("nothing leads to it") {
    net.host.run("nft flush chain " + table + "PREROUTING");
    check("are missing");
  }
  SECTION("it ends half-way") {
    net.host.run("nft flush chain " + table + chain);
    check("are not complete");
  }
  SECTION("it does not drop") {
    net.host.run("nft flush chain " + table + chain + "-mac");
    net.host.run("nft add rule " + table + chain + "-mac ether saddr " + mac_of(one) + " return");
    check("are not complete");
  }
  SECTION("it lets another MAC pass") {
    net.host.run("nft insert rule " + table + chain + "-mac ether saddr " + kForeignMac +
                 " return");
    check("are not complete");
  }
  SECTION("it is another MAC") {
    net.host.run("nft flush chain " + table + chain + "-mac");
    net.host.run("nft add rule " + table + chain + "-mac ether saddr " + kForeignMac + " return");
    net.host.run("nft add rule " + table + chain + "-mac drop");
    check("are not complete");
  }
  SECTION("the table is gone") {
    net.host.run("nft delete table bridge nat");
    check("are missing");
  }
}

TEST_CASE("GC removes the MAC checks of no valid attachment", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Attached valid = net.add("c1");
  const Attached stale = net.add("c2");
  net.config["name"] = "net2";
  const Attached foreign = net.add("c3");
  net.config["name"] = "net1";
  // Rules of the reference suite do not say of which network they are.
  net.host.run("nft add chain bridge nat cni-br-iface-c4-eth0");
  net.host.run(
      "nft add rule bridge nat PREROUTING iifname veth4 jump cni-br-iface-c4-eth0 comment "
      "\"macspoofchk-c4-eth0\"");
  const PluginOutcome outcome = net.gc(Json::array({attachment_of(valid)}));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  const std::string left = rules(net);
  INFO(left);
  CHECK(count(left, "comment \"macspoofchk-c1-eth0\"") == 4);
  CHECK(count(left, "c2-eth0") == 0);
  CHECK(count(left, "comment \"macspoofchk-c3-eth0\"") == 4);
  CHECK(count(left, "comment \"macspoofchk-c4-eth0\"") == 1);
}

TEST_CASE("a long container ID has a MAC check, a longer one an error",
          "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}});
  const Snapshot before = net.settled();
  // "cni-br-iface-" + ID + "-eth0-mac" is what the kernel takes as name: 255 bytes.
  const Attached longest = net.add(std::string(233, 'c'));
  CHECK(arriving(net, longest, kForeignMac) == Texts{mac_of(longest)});
  net.check(longest);
  net.del(longest);
  CHECK(difference(before, net.snapshot()) == "");

  const Attached longer = net.attachment(std::string(234, 'c'));
  const PluginOutcome refused = net.run("ADD", longer);
  CHECK(refused.code() == 4);
  CHECK_THAT(refused.message(), Contains("macspoofchk") && Contains("1 bytes longer"));
  CHECK(difference(before, net.snapshot()) == "");
  net.del(longer);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("STATUS tries the MAC check and leaves no rule", "[bridge][macspoofchk][nftables]") {
  SpoofNetwork net;
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = net.status();
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("the reference suite removes our MAC check and we remove its",
          "[bridge][macspoofchk][nftables][reference-plugins]") {
  SpoofNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"},
            {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}}}});
  const Snapshot before = net.settled();
  Attached one = net.attachment("c1");
  const auto check = [&] {
    const PluginOutcome outcome = net.run("CHECK", one);
    INFO(outcome.text());
    INFO(rules(net));
    CHECK(outcome.status == 0);
  };
  SECTION("their ADD, our CHECK and DEL") {
    one.result = *net.run_reference("bridge", "ADD", one).json;
    CHECK(count(rules(net), "macspoofchk-c1-eth0") == 4);
    check();
    CHECK(arriving(net, one, kForeignMac) == Texts{mac_of(one)});
    net.del(one);
  }
  SECTION("our ADD, their CHECK and DEL") {
    net.add(one);
    CHECK(arriving(net, one, kForeignMac) == Texts{mac_of(one)});
    net.run_reference("bridge", "CHECK", one);
    net.run_reference("bridge", "DEL", one);
  }
  CHECK(count(rules(net), "c1") == 0);
  CHECK(difference(before, net.snapshot()) == "");
}
