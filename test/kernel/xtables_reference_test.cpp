// Rules of the reference suite's plugins, in both stores of xtables rules: read, written anew by
// us, and judged by the plugins that made them.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using Json = nlohmann::json;
using cni::inet::Family;
using cni::xtables::open_dialect;
using cni::xtables::open_legacy;
using cni::xtables::Rule;
using cni::xtables::Store;
using cni::xtables::StoredRule;
using cni::xtables::Table;

namespace {

struct Flavour {
  std::string name;
  std::unique_ptr<Store> (*open)();
};

Json ipam(const std::string& data, const std::string& subnet) {
  return {{"type", "host-local"}, {"dataDir", data}, {"ranges", {{{{"subnet", subnet}}}}}};
}

// A host whose `iptables` and `ip6tables` are of one flavour, and the plugins on it.
class ReferenceHost {
 public:
  ReferenceHost(const std::string& flavour, Family family)
      : is_ipv4_(family == Family::kIpv4), inside_(host_) {
    link(tools_, "iptables", flavour);
    link(tools_, "ip6tables", flavour);
    link(tools_of_family_, is_ipv4_ ? "iptables" : "ip6tables", flavour);
  }

  // Runs the plugins of the chain one after the other; ADD returns the last result.
  Json run(const std::string& verb, const Json& plugins, Namespace& container, Json result) {
    for (Json config : plugins) {
      config["cniVersion"] = "0.4.0";
      config["name"] = "web";
      if (!result.is_null()) config["prevResult"] = result;
      const PluginOutcome outcome =
          run_plugin_binary({.plugin = "/usr/lib/cni/" + config["type"].get<std::string>(),
                             .verb = verb,
                             .config = config.dump(),
                             .container_id = config["type"] == "ptp" ? "cid0002" : "cid0001",
                             .netns = container.path(),
                             .path = "/usr/lib/cni",
                             .environment = {{"PATH", path_for(verb, config)}}});
      INFO(verb << " " << config["type"]);
      INFO(outcome.text());
      REQUIRE(outcome.status == 0);
      if (verb == "ADD") result = *outcome.json;
    }
    return result;
  }

  Json bridge_chain() const {
    return {{{"type", "bridge"},
             {"bridge", "cni7"},
             {"isGateway", true},
             {"ipMasq", true},
             {"hairpinMode", true},
             {"ipam", ipam(data_ / "one", is_ipv4_ ? "10.9.0.0/24" : "fd00:9::/64")}},
            {{"type", "portmap"},
             {"snat", true},
             {"conditionsV4", {"!", "-s", "192.0.2.0/25"}},
             {"conditionsV6", {"-i", "eth+"}},
             {"runtimeConfig",
              {{"portMappings",
                {{{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
                 {{"hostPort", 53}, {"containerPort", 5353}, {"protocol", "udp"}},
                 {{"hostPort", 7}, {"containerPort", 7}, {"protocol", "sctp"}},
                 {{"hostPort", 8083},
                  {"containerPort", 83},
                  {"protocol", "tcp"},
                  {"hostIP", is_ipv4_ ? "192.0.2.2" : "2001:db8::2"}}}}}}},
            {{"type", "firewall"}, {"backend", "iptables"}}};
  }

  Json ptp_chain() const {
    return {{{"type", "ptp"},
             {"ipMasq", true},
             {"ipam", ipam(data_ / "two", is_ipv4_ ? "10.8.0.0/24" : "fd00:8::/64")}}};
  }

  Namespace& add_container() { return host_.add_container(); }
  const Host& host() const { return host_; }

 private:
  static void link(const TempDirectory& directory, const std::string& tool,
                   const std::string& flavour) {
    const std::string target = "/usr/sbin/xtables-" + flavour + "-multi";
    if (::symlink(target.c_str(), (directory / tool).c_str()) != 0) {
      throw std::runtime_error("cannot link " + tool);
    }
  }

  // CHECK of portmap wants the rules of the container's family in every table it has a tool for.
  std::string path_for(const std::string& verb, const Json& config) const {
    return verb == "CHECK" && config["type"] == "portmap"
               ? tools_of_family_.path()
               : tools_.path() + ":/usr/sbin:/usr/bin:/bin";
  }

  bool is_ipv4_;
  Host host_;
  Inside inside_;
  TempDirectory tools_;
  TempDirectory tools_of_family_;
  TempDirectory data_;
};

// The chains with rules of a table, as the tool lists them.
std::vector<std::string> chains_of(const std::string& flavour, Family family,
                                   const std::string& table) {
  const std::string tool = (family == Family::kIpv4 ? "iptables-" : "ip6tables-") + flavour;
  std::istringstream output(run_checked({.argv = {"sh", "-c", tool + " -t " + table + " -S"}}));
  std::vector<std::string> chains;
  for (std::string line; std::getline(output, line);) {
    std::istringstream words(line);
    std::string command;
    std::string chain;
    words >> command >> chain;
    if (command != "-A") chains.push_back(chain);
  }
  return chains;
}

// What the tool lists of a chain, without "-A <chain> ".
std::vector<std::string> listed(const std::string& flavour, Family family, const std::string& table,
                                const std::string& chain) {
  const std::string tool = (family == Family::kIpv4 ? "iptables-" : "ip6tables-") + flavour;
  std::istringstream output(
      run_checked({.argv = {"sh", "-c", tool + " -t " + table + " -S " + chain}}));
  std::vector<std::string> rules;
  const std::string prefix = "-A " + chain + " ";
  for (std::string line; std::getline(output, line);) {
    if (line.starts_with(prefix)) rules.push_back(line.substr(prefix.size()));
  }
  return rules;
}

// Reads every rule of the table, and writes it anew. Returns how many there are.
std::size_t rewrite(const Flavour& flavour, Family family, const std::string& table) {
  std::size_t count = 0;
  const auto chains = chains_of(flavour.name, family, table);
  std::vector<std::pair<std::string, std::vector<std::string>>> before;
  for (const std::string& chain : chains) {
    before.emplace_back(chain, listed(flavour.name, family, table, chain));
  }
  flavour.open()->change(family, table, [&](Table& changed) {
    for (const auto& [chain, lines] : before) {
      const std::vector<StoredRule> rules = changed.rules(chain);
      REQUIRE(rules.size() == lines.size());
      if (rules.empty()) continue;
      changed.flush(chain);
      for (std::size_t i = 0; i < rules.size(); ++i) {
        INFO(chain << " " << lines[i]);
        REQUIRE(rules[i].rule.has_value());
        CHECK(render(*rules[i].rule) == lines[i]);
        changed.append(chain, *rules[i].rule);
        ++count;
      }
    }
  });
  for (const auto& [chain, lines] : before) {
    CHECK(listed(flavour.name, family, table, chain) == lines);
  }
  return count;
}

std::vector<std::string> all_rules() {
  const auto sections = Snapshot::take("").sections();
  std::vector<std::string> rules = sections.at("nftables");
  const std::vector<std::string>& legacy = sections.at("iptables");
  rules.insert(rules.end(), legacy.begin(), legacy.end());
  return rules;
}

void test_with(const Flavour& flavour) {
  const Family family = GENERATE(Family::kIpv4, Family::kIpv6);
  INFO(name(family));
  ReferenceHost host(flavour.name, family);
  const Json bridge = host.bridge_chain();
  const Json ptp = host.ptp_chain();
  Namespace& one = host.add_container();
  Namespace& two = host.add_container();
  const Json first = host.run("ADD", bridge, one, nullptr);
  const Json second = host.run("ADD", ptp, two, nullptr);

  // Two masquerades of three rules each; portmap has three built-in jumps, the mark and its
  // masquerade, an entry per protocol, and three rules per mapping (in IPv6 two: not for
  // localhost).
  CHECK(rewrite(flavour, family, "nat") == 6 + 5 + 3 + 4 * (family == Family::kIpv4 ? 3 : 2));
  // Of firewall: a jump to its chain and from there to the admin's, and two rules per address.
  CHECK(rewrite(flavour, family, "filter") == 4);

  host.run("CHECK", bridge, one, first);
  host.run("CHECK", ptp, two, second);
  // Nothing is missing, so nothing is added.
  const auto before = all_rules();
  host.run("ADD", Json::array({bridge[1], bridge[2]}), one, first);
  CHECK(all_rules() == before);

  host.run("DEL", Json::array({bridge[2], bridge[1], bridge[0]}), one, first);
  host.run("DEL", ptp, two, second);
  const auto table = flavour.open()->find(family, "nat");
  REQUIRE(table != nullptr);
  for (const std::string& chain : table->chains()) CHECK(chain.starts_with("CNI-HOSTPORT-"));
  CHECK(table->rules("CNI-HOSTPORT-DNAT").empty());
  CHECK(flavour.open()->find(family, "filter")->rules("CNI-FORWARD").size() == 1);
}

}  // namespace

TEST_CASE("rules of the reference suite are understood, and ours by it, in nf_tables",
          "[xtables][reference-plugins][iptables-nft][bridge][veth][ipv6]") {
  test_with({.name = "nft", .open = open_dialect});
}

TEST_CASE("rules of the reference suite are understood, and ours by it, in the legacy tables",
          "[xtables][reference-plugins][iptables-legacy][bridge][veth][ipv6]") {
  test_with({.name = "legacy", .open = [] { return open_legacy(); }});
}
