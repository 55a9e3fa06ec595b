// No frame of a container passes before its rules are there: where they cannot be made, an end of
// its pair is never up.
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>
#include <string>

#include "plugin/network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// What the kernel tells of the links of a namespace, from here on.
class LinkNews {
 public:
  explicit LinkNews(const Namespace& where) {
    where.in([&] {
      fd_ = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
      sockaddr_nl address{};
      address.nl_family = AF_NETLINK;
      address.nl_groups = RTMGRP_LINK;
      if (fd_ < 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        throw std::runtime_error("cannot listen to news of links");
      }
    });
  }
  LinkNews(const LinkNews&) = delete;
  LinkNews& operator=(const LinkNews&) = delete;
  ~LinkNews() { ::close(fd_); }

  // The names of the links that were told to be up, so far.
  std::set<std::string> up() {
    alignas(nlmsghdr) std::array<char, 32768> buffer{};
    for (;;) {
      const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size < 0 && errno == EAGAIN) return up_;
      if (size < 0) throw std::runtime_error("news of links were lost");
      auto left = static_cast<std::uint32_t>(size);
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
           message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == RTM_NEWLINK) take(message);
      }
    }
  }

 private:
  void take(nlmsghdr* message) {
    auto* link = reinterpret_cast<ifinfomsg*>(NLMSG_DATA(message));
    if ((link->ifi_flags & IFF_UP) == 0) return;
    auto left = static_cast<std::uint32_t>(IFLA_PAYLOAD(message));
    for (auto* each = IFLA_RTA(link); RTA_OK(each, left); each = RTA_NEXT(each, left)) {
      if (each->rta_type == IFLA_IFNAME) up_.insert(reinterpret_cast<char*>(RTA_DATA(each)));
    }
  }

  int fd_ = -1;
  std::set<std::string> up_;
};

using Names = std::set<std::string>;

struct NewsOfPair {
  NewsOfPair(const Network& net, const Attached& attached)
      : host(net.host), container(*attached.container) {}

  LinkNews host;
  LinkNews container;

  // The ends that were up, the host's as "veth"; a bridge is up all the time.
  Names ends_up() {
    Names all = container.up();
    for (const std::string& name : host.up()) {
      if (name.starts_with("veth")) all.insert("veth");
    }
    return all;
  }
};

}  // namespace

TEST_CASE("a container is cut off until its rules are there",
          "[bridge][veth][macspoofchk][masquerade][forward-accept][nftables][iptables-nft]") {
  const std::string plugin = GENERATE("bridge", "veth");
  INFO(plugin);
  Network net(plugin);
  if (plugin == "bridge") net.config["isGateway"] = true;
  const Attached one = net.attachment("c1");
  // Each time something of the name that a rule needs is there, but of another kind.
  if (plugin == "bridge") {
    SECTION("macspoofchk") {
      net.config["macspoofchk"] = true;
      net.host.run("nft add table bridge nat");
      net.host.run(
          "nft add chain bridge nat cni-br-iface-c1-eth0 { type filter hook prerouting priority "
          "0 ; }");
      SECTION("with IPAM") {}
      SECTION("without") {
        net.without_ipam();
      }
    }
  }
  SECTION("ipMasq") {
    net.config["ipMasq"] = true;
    net.host.run("nft add table ip plumb_masquerade");
    net.host.run("nft add set ip plumb_masquerade attachments { type ipv4_addr ; }");
  }
  SECTION("forwardAccept") {
    net.config["forwardAccept"] = true;
    net.host.run("iptables-nft -P FORWARD DROP");
    net.host.run("nft add chain ip filter CNI-FORWARD { type filter hook forward priority 10 ; }");
  }
  NewsOfPair news(net, one);
  const PluginOutcome outcome = net.run("ADD", one);
  INFO(outcome.text());
  REQUIRE(outcome.status == 1);
  // These rules are by addresses, which come after the port of a bridge is up.
  const bool has_port = plugin == "bridge" && !net.config.contains("macspoofchk");
  CHECK(news.ends_up() == (has_port ? Names{"veth"} : Names()));
}

TEST_CASE("news of both ends of a pair are heard", "[bridge][veth]") {
  Network net(GENERATE("bridge", "veth"));
  Attached one = net.attachment("c1");
  NewsOfPair news(net, one);
  net.add(one);
  CHECK(news.ends_up() == Names{"eth0", "veth"});
}
