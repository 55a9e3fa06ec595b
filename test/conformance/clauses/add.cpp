// ADD: an attachment comes to be.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "clause.h"
#include "kernel.h"
#include "netns.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names(const std::vector<kernel::Link>& links) {
  std::vector<std::string> list;
  for (const kernel::Link& link : links) list.push_back(link.name);
  std::ranges::sort(list);
  return list;
}

std::vector<std::string> container_names(const Bench& bench, const Attachment& attachment) {
  std::vector<std::string> list;
  in_netns(bench.netns(attachment), [&] { list = names(kernel::links()); });
  return list;
}

std::vector<std::string> new_ones(const std::vector<std::string>& before,
                                  const std::vector<std::string>& after) {
  std::vector<std::string> list;
  std::ranges::set_difference(after, before, std::back_inserter(list));
  return list;
}

void expect_balance(const Bench& bench, const std::string& what) {
  const std::size_t adds = bench.ipam().count("ADD");
  const std::size_t dels = bench.ipam().count("DEL");
  expect(dels >= adds, fmt::format("{}: the IPAM plugin got {} ADD and {} DEL", what, adds, dels));
}

void has_effect(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  bench.add(one);
  expect(!difference(before, take_snapshot()).empty(), "nothing is different after ADD");
  if ((bench.kind() & (kMain | kLoopback)) == 0) return;
  in_netns(bench.netns(one), [&] {
    const auto link = kernel::find_link(one.ifname);
    expect(link.has_value(), one.ifname + " is not in the container");
    expect(link->up, one.ifname + " is not up");
  });
}

void exact_name(Bench& bench) {
  const Attachment one{"c1", "fifteen-letters", "a"};
  const auto before = container_names(bench, one);
  bench.add(one);
  const auto made = new_ones(before, container_names(bench, one));
  expect(made == std::vector<std::string>{one.ifname},
         fmt::format("new in the container: {}", fmt::join(made, ", ")));
}

void taken_name(Bench& bench) {
  bench.warm_up();
  const Attachment one = bench.attachment();
  in_netns(bench.netns(one), [&] {
    kernel::add_bridge(one.ifname);
    kernel::add_address(one.ifname, "192.0.2.7/24");
  });
  const Snapshot before = take_snapshot();
  expect_error(bench.call("ADD", one), "ADD over an interface");
  expect_same(before, "ADD over an interface changes something");
  expect_balance(bench, "ADD over an interface");
}

void prints_result(Bench& bench) {
  const json result = bench.add();
  expect(result.contains("cniVersion"), "the result has no cniVersion: " + result.dump());
}

void all_interfaces(Bench& bench) {
  const Attachment one = bench.attachment();
  const auto container = container_names(bench, one);
  const auto host = names(kernel::links());
  const json result = in_newest(bench.add(one));
  std::vector<std::string> listed;
  for (const json& interface : result["interfaces"]) listed.push_back(interface.value("name", ""));
  auto made = new_ones(host, names(kernel::links()));
  std::ranges::copy(new_ones(container, container_names(bench, one)), std::back_inserter(made));
  for (const std::string& name : made) {
    expect(std::ranges::find(listed, name) != listed.end(), name + " is not in interfaces");
  }
}

void sandbox_as_given(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.netns(one);
  fs::create_directory_symlink("/run/netns", "/run/conformance/link");
  const std::string path = "/run/conformance//link/" + one.container;
  const Outcome outcome = bench.call("ADD", one, bench.request("ADD", one), {{"CNI_NETNS", path}});
  const json result = in_newest(expect_result(outcome, "ADD"));
  bool seen = false;
  for (const json& interface : result["interfaces"]) {
    const std::string sandbox = interface.value("sandbox", "");
    seen = seen || sandbox == path;
    expect(sandbox.empty() || sandbox == path, "sandbox is " + sandbox + ", not " + path);
    const bool inside = interface.value("name", "") == one.ifname;
    expect(inside == !sandbox.empty(), "sandbox of " + interface.dump());
  }
  expect(seen, "no interface has the sandbox " + path);
}

void macs(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one));
  for (const json& interface : result["interfaces"]) {
    const auto compare = [&] {
      const auto link = kernel::find_link(interface.value("name", ""));
      expect(link && link->mac == interface.value("mac", ""),
             fmt::format("the kernel has {}, the result {}", link ? link->mac : "nothing",
                         interface.dump()));
    };
    if (interface.value("sandbox", "").empty()) {
      compare();
    } else {
      in_netns(bench.netns(one), compare);
    }
  }
}

std::string prefix(const std::string& address, const std::string& fallback) {
  return address.find('/') == std::string::npos ? address + fallback : address;
}

bool has_route(const std::vector<kernel::Route>& routes, const json& route) {
  return std::ranges::any_of(routes, [&](const kernel::Route& one) {
    return one.destination == prefix(route.value("dst", ""), "") &&
           (!route.contains("gw") || route["gw"] == one.gateway);
  });
}

void truth(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one));
  in_netns(bench.netns(one), [&] {
    const auto there = kernel::addresses_of(one.ifname);
    expect(there == addresses_in(result), fmt::format("the kernel has {}, the result {}",
                                                      fmt::join(there, " "), result["ips"].dump()));
    for (const json& route : result["routes"]) {
      expect(has_route(kernel::routes(), route), "the kernel lacks the route " + route.dump());
    }
  });
}

void indexes(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one));
  for (const json& address : result["ips"]) {
    const json index = address.value("interface", json());
    expect(index.is_number_integer() && index >= 0 && index < result["interfaces"].size(),
           "interface of " + address.dump());
    const json interface = result["interfaces"][index.get<std::size_t>()];
    expect(interface.value("name", "") == one.ifname && !interface.value("sandbox", "").empty(),
           "an address points at " + interface.dump());
  }
}

void ipam_repeated(Bench& bench) {
  const json given = json::parse(R"({"ips": [
      {"address": "10.88.0.9/24", "gateway": "10.88.0.1"},
      {"address": "10.89.0.9/24", "gateway": "10.89.0.1"},
      {"address": "fd00:88::9/64", "gateway": "fd00:88::1"}],
      "dns": {"nameservers": ["10.0.0.2", "10.0.0.1"], "search": ["b", "a"], "options": ["x", "x"]}})");
  bench.ipam().give(given);
  json result = in_newest(bench.add(bench.attachment(), {{"isGateway", false}}));
  for (json& address : result["ips"]) {
    address.erase("interface");
    address.erase("version");
  }
  expect(result["ips"] == given["ips"], "ips are " + result["ips"].dump());
  expect(result.value("dns", json()) == given["dns"], "dns is " + result.dump());
}

void nothing_left(Bench& bench) {
  bench.warm_up();
  const Attachment one = bench.attachment();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  Program deaf = bench.program("ADD", one, bench.request("ADD", one));
  deaf.out = Stream::kFullDevice;
  expect(run(deaf).status != 0, "ADD with stdout on a full device succeeds");
  if (bench.kind() == kLoopback) return;  // lo is nobody's own
  expect_same(before, "after an ADD that could not print its result");
  expect_balance(bench, "an ADD that could not print its result");
  if (bench.kind() != kMain) return;
  bench.ipam().give(json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}],
                                    "routes": [{"dst": "10.1.0.0/16", "gw": "192.0.2.1"}]})"));
  expect_error(bench.call("ADD", one), "ADD with a route that cannot be");
  expect_same(before, "after an ADD with a route that cannot be");
  bench.ipam().fail("ADD", 100, "no");
  expect_error(bench.call("ADD", one), "ADD with a failing delegate");
  expect_same(before, "after an ADD with a failing delegate");
  expect_balance(bench, "after failed ADDs");
}

void bad_netns(Bench& bench) {
  bench.warm_up();
  const Attachment one = bench.attachment();
  std::ofstream("/run/conformance/file").close();
  bench.netns(one);
  const Snapshot before = take_snapshot();
  for (const char* path : {"/nonexistent", "/run/conformance/file", "/run/conformance"}) {
    expect_error(bench.call("ADD", one, bench.config(), {{"CNI_NETNS", path}}),
                 fmt::format("ADD with the namespace {}", path));
    if (bench.makes_interface()) expect_same(before, fmt::format("after an ADD with {}", path));
  }
  expect_balance(bench, "ADDs without a namespace");
}

void two_names(Bench& bench) {
  const Attachment first = bench.attachment();
  const Attachment second{"c1", "net1", "a"};
  bench.netns(first);
  const json one = bench.add(first);
  const Snapshot before = take_snapshot();
  const json two = bench.add(second);
  if (bench.kind() != kChained) {
    expect(addresses_in(one) != addresses_in(two), "both got " + in_newest(one)["ips"].dump());
    bench.del(second);
    expect_same(before, "DEL of the second name changes something of the first");
  } else {
    bench.del(second);
  }
  if (bench.serves("0.4.0")) bench.check(first, "of the first name after DEL of the second");
}

void repeated(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  const Snapshot before = take_snapshot();
  expect_error(bench.call("ADD", one), "a second ADD");
  expect_same(before, "a second ADD changes something");
  if (bench.serves("0.4.0")) bench.check(one, "after a second ADD");
}

void two_default_routes(Bench& bench) {
  const json first = json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}],
                                     "routes": [{"dst": "0.0.0.0/0"}]})");
  const json second = json::parse(R"({"ips": [{"address": "10.89.0.9/24", "gateway": "10.89.0.1"}],
                                      "routes": [{"dst": "0.0.0.0/0"}]})");
  bench.ipam().give(first);
  bench.add();
  bench.ipam().give(second);
  json other = {{"name", "net2"}};
  if (bench.subject().config.contains("bridge")) other["bridge"] = "test1";
  bench.add({"c1", "net1", "a"}, other);
}

void gateway_is_no_route(Bench& bench) {
  bench.ipam().give(
      json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}]})"));
  const Attachment one = bench.attachment();
  bench.add(one);
  in_netns(bench.netns(one), [] {
    for (const kernel::Route& route : kernel::routes()) {
      expect(route.destination != "0.0.0.0/0", "there is a default route");
    }
  });
}

void independent_of_status(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  bench.del(one);
  json broken = bench.config();
  if (bench.kind() == kMain) broken["ipam"]["type"] = "nobody";
  if (bench.kind() == kIpam) broken["ipam"]["dataDir"] = "/proc/nowhere";
  const Outcome status = bench.call("STATUS", one, broken);
  expect(status.signal == 0, "STATUS: " + status.text());
  bench.add(one);
}

void try_again(Bench& bench) {
  applies(!bench.subject().config.value("runtimeConfig", json()).is_null(),
          "it has nothing that two containers could want");
  const Attachment first = bench.attachment("c1", "a");
  const Attachment second = bench.attachment("c2", "b");
  bench.add(first);
  const Outcome outcome = bench.call("ADD", second);
  applies(outcome.status != 0, "it lets two containers ask for one port");
  expect_error(outcome, "ADD with a port that is taken", {11});
  bench.del(first);
  bench.add(second);
}

void dns_in_order(Bench& bench) {
  const json dns = json::parse(R"({"nameservers": ["10.0.0.9", "10.0.0.1", "10.0.0.5"],
      "domain": "b.a", "search": ["z", "a"], "options": ["ndots:5", "edns0", "ndots:5"]})");
  const json result = bench.add(bench.attachment(), {{"dns", dns}});
  expect(result.value("dns", json()) == dns, "dns is " + result.value("dns", json()).dump());
}

void killed(Bench& bench) {
  bench.warm_up();
  const Attachment one = bench.attachment();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  for (int step = 1; step <= 12; ++step) {
    Program program = bench.program("ADD", one, bench.request("ADD", one));
    program.kill_after = std::chrono::milliseconds(step * step / 2 + 1);
    const Outcome outcome = run(program);
    bench.del(one);
    const std::string what = fmt::format("DEL after an ADD killed at {} ms", step * step / 2 + 1);
    if (bench.kind() != kLoopback) expect_same(before, what);
    if (outcome.signal == 0) break;
  }
}

constexpr Clause kClauses[] = {
    {"ADD-01", kAny, has_effect, true},
    {"ADD-02", kMain, exact_name},
    {"ADD-03", kMain, taken_name},
    {"ADD-04", kAny, prints_result, true},
    {"ADD-05", kMain, all_interfaces, true},
    {"ADD-06", kMain, sandbox_as_given, true},
    {"ADD-07", kMain, macs, true},
    {"ADD-08", kMain | kLoopback, truth, true},
    {"ADD-09", kMain, indexes, true},
    {"ADD-10", kMain, ipam_repeated},
    {"ADD-11", kAny, nothing_left},
    {"ADD-12", kMain | kLoopback, bad_netns},
    {"ADD-13", kMain | kIpam | kChained, two_names},
    {"ADD-14", kMain | kIpam, repeated},
    {"ADD-15", kMain, two_default_routes, true},
    {"ADD-16", kMain, gateway_is_no_route},
    {"ADD-17", kAny, independent_of_status},
    {"ADD-18", kChained, try_again},
    {"ADD-19", kMain, dns_in_order, true},
    {"ADD-20", kAny, killed},
};

}  // namespace

std::span<const Clause> add_clauses() {
  return kClauses;
}

}  // namespace conformance
