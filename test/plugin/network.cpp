#include "plugin/network.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <stdexcept>

namespace cni::test {
namespace {

constexpr const char* kAddressesByNumber = R"sh(
n=${CNI_CONTAINERID#c}
n=$((n + 1))
printf '{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.%d/24","gateway":"10.1.2.1"},' "$n"
printf '{"address":"fd00:1:2::%x/64","gateway":"fd00:1:2::1"}]}' "$n"
)sh";

}  // namespace

Network::Network(const std::string& plugin_name)
    : plugin(plugin_name), ipam(directory.path(), "fake-ipam") {
  config = {{"cniVersion", "1.1.0"},
            {"name", "net1"},
            {"type", plugin},
            {"ipam", {{"type", "fake-ipam"}}}};
  give({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}});
  set_sysctl(host, "net/ipv4/ip_forward", "1");
  set_sysctl(host, "net/ipv6/conf/all/forwarding", "1");
  // Else the link-local address of a bridge would get its routes at some later time.
  set_sysctl(host, "net/ipv6/conf/default/accept_dad", "0");
}

void Network::give(Json answer) {
  if (!answer.contains("cniVersion")) answer["cniVersion"] = "1.1.0";
  ipam.reply("ADD", {.out = answer.dump()});
}

void Network::give_dual_stack(const std::string& cni_version) {
  give({{"cniVersion", cni_version},
        {"ips",
         {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
          {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
        {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}});
}

void Network::give_by_number() {
  ipam.reply("ADD", {.before = kAddressesByNumber});
}

void Network::give_by_number_unrecorded() {
  directory.write(
      "plain-ipam",
      std::string("#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] || exit 0\n") + kAddressesByNumber, 0755);
  config["ipam"]["type"] = "plain-ipam";
}

std::vector<std::string> Network::take_ipam_verbs() {
  const std::vector<FakePlugin::Call> calls = ipam.calls();
  std::vector<std::string> verbs;
  for (std::size_t at = seen_calls_; at < calls.size(); ++at) verbs.push_back(calls[at].verb());
  seen_calls_ = calls.size();
  return verbs;
}

Attached Network::attachment(const std::string& id) {
  return {.container = &host.add_container(), .id = id};
}

PluginCall Network::call(const std::string& verb, const Attached& attached) const {
  Json with_result = config;
  if (!attached.result.is_null()) with_result["prevResult"] = attached.result;
  return {.plugin = plugin,
          .verb = verb,
          .config = with_result.dump(),
          .container_id = attached.id,
          .netns = attached.container->path(),
          .ifname = attached.ifname,
          .args = args,
          .path = directory.path(),
          .host = host.path()};
}

PluginOutcome Network::run(const std::string& verb, const Json& changed_config,
                           const Attached& attached) const {
  PluginCall changed = call(verb, attached);
  changed.config = changed_config.dump();
  return run_plugin_binary(changed);
}

PluginCall Network::in_mount_namespace(PluginCall call, const std::string& commands) const {
  call.plugin = directory.write("wrapped/" + plugin,
                                "#!/bin/sh\nexec unshare --mount sh -c '" + commands +
                                    "; exec \"$0\"' " + plugin_directory() + "/" + plugin + "\n",
                                0755);
  return call;
}

PluginOutcome Network::run_reference(const std::string& name, const std::string& verb,
                                     const Attached& attached) const {
  PluginCall reference = call(verb, attached);
  reference.plugin = "/usr/lib/cni/" + name;
  PluginOutcome outcome = run_plugin_binary(reference);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  return outcome;
}

Attached Network::add(const std::string& id) {
  Attached attached = attachment(id);
  add(attached);
  return attached;
}

void Network::add(Attached& attached) const {
  attached.result = {};
  const PluginOutcome outcome = run("ADD", attached);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  REQUIRE(outcome.json);
  attached.result = *outcome.json;
}

void Network::del(const Attached& attached) const {
  const PluginOutcome outcome = run("DEL", attached);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  CHECK(outcome.out.empty());
}

void Network::check(const Attached& attached) const {
  const PluginOutcome outcome = run("CHECK", attached);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
}

void Network::check_reach(const Attached& attached) const {
  for (const Json& ip : attached.result.at("ips")) {
    const std::string cidr = ip.at("address");
    const std::string address = cidr.substr(0, cidr.find('/'));
    INFO(address);
    CHECK(ping(host, address));
    const std::string gateway = ip.at("gateway");
    CHECK(ping(*attached.container,
               gateway.starts_with("fe80") ? gateway + "%" + attached.ifname : gateway));
  }
}

PluginCall Network::call_for_network(const std::string& verb, const Json& more) const {
  Json with_more = config;
  with_more.update(more);
  return {.plugin = plugin,
          .verb = verb,
          .config = with_more.dump(),
          .path = directory.path(),
          .environment = {{"CNI_CONTAINERID", std::nullopt},
                          {"CNI_NETNS", std::nullopt},
                          {"CNI_IFNAME", std::nullopt}},
          .host = host.path()};
}

PluginOutcome Network::gc(const Json& valid) const {
  return run_plugin_binary(call_for_network("GC", {{"cni.dev/valid-attachments", valid}}));
}

Snapshot Network::snapshot() const {
  return Snapshot::take(host.path(), {"/var/lib/cni"});
}

Json attachment_of(const Attached& attached) {
  return {{"containerID", attached.id}, {"ifname", attached.ifname}};
}

std::string port_name(const Json& result) {
  return result.at("interfaces").at(1).at("name");
}

std::string host_end(const Json& result) {
  const Json& interfaces = result.at("interfaces");
  return interfaces.at(interfaces.size() - 2).at("name");
}

Json link(const Namespace& where, const std::string& name) {
  return Json::parse(where.run("ip -d -j link show dev " + name)).at(0);
}

std::vector<std::string> addresses(const Namespace& where, const std::string& link) {
  std::vector<std::string> list;
  for (const Json& entry : Json::parse(where.run("ip -j address show dev " + link))) {
    for (const Json& info : entry.value("addr_info", Json::array())) {
      if (info.at("scope") == "link") continue;
      list.push_back(info.at("local").get<std::string>() + "/" +
                     std::to_string(info.at("prefixlen").get<int>()));
    }
  }
  return list;
}

std::string sysctl(const Namespace& where, const std::string& name) {
  std::string value;
  where.in([&] { value = read_whole_file("/proc/sys/" + name); });
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

void set_sysctl(const Namespace& where, const std::string& name, const std::string& value) {
  where.in([&] {
    // What is on procfs has no mode to set.
    std::ofstream file("/proc/sys/" + name);
    if (!(file << value << std::flush)) throw std::runtime_error("cannot set " + name);
  });
}

bool ping(const Namespace& from, const std::string& to) {
  return run({.argv = {"ping", "-c1", "-W1", to}, .netns = from.path()}).status == 0;
}

}  // namespace cni::test
