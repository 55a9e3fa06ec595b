// RES: what a result looks like.
#include <algorithm>

#include "clause.h"
#include "convert.h"
#include "kernel.h"
#include "netns.h"
#include "schema.h"
#include "spec.h"

namespace conformance {
namespace {

// Two families, a gateway and a route of each, and dns.
const json kFull = json::parse(R"({"ips": [
    {"address": "10.88.0.9/24", "gateway": "10.88.0.1"},
    {"address": "fd00:88::9/64", "gateway": "fd00:88::1"}],
    "routes": [{"dst": "10.1.0.0/16", "gw": "10.88.0.1"}, {"dst": "fd01::/32", "gw": "fd00:88::1"}],
    "dns": {"nameservers": ["10.0.0.1"], "domain": "a", "search": ["b"], "options": ["c"]}})");

json full_result(Bench& bench, const Attachment& attachment) {
  if (bench.kind() == kMain) bench.ipam().give(kFull);
  return bench.add(attachment);
}

json full_result(Bench& bench) {
  return full_result(bench, bench.attachment());
}

void obeys_schema(Bench& bench) {
  expect_schema(result_schema(bench.version()), full_result(bench), "the result");
}

void needs_an_address(Bench& bench) {
  const json result = full_result(bench);
  expect(result.contains("ip4") || result.contains("ip6"), "the result is " + result.dump());
  if (bench.kind() != kMain || !bench.subject().config.contains("bridge")) return;
  const Attachment two = bench.attachment("c2", "b");
  expect_error(bench.call("ADD", two, bench.config({{"ipam", nullptr}})),
               "ADD without any address");
}

void key_of_list(Bench& bench) {
  const json result = full_result(bench);
  expect(result.contains("ips") && !result.contains("ip"), "the result is " + result.dump());
}

void family_said(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& address : result["ips"]) {
    const bool ipv6 = is_ipv6(address.at("address"));
    expect(address.value("version", json()) == (ipv6 ? "6" : "4"),
           "an address is " + address.dump());
    expect(is_ipv6(address.value("gateway", ipv6 ? "::" : "")) == ipv6,
           "its gateway is of the other family: " + address.dump());
  }
}

void family_not_said(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& address : result["ips"]) {
    expect(!address.contains("version"), "an address is " + address.dump());
  }
}

void host_part_kept(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& address : result["ips"]) {
    expect(address.value("address", "").find('/') != std::string::npos,
           "an address without prefix: " + address.dump());
    expect(address.value("gateway", "").find('/') == std::string::npos,
           "a gateway with prefix: " + address.dump());
  }
  if (bench.kind() != kMain) return;
  expect(addresses_in(result) == addresses_in(kFull), "ips are " + result["ips"].dump());
}

void integer_index(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& address : result["ips"]) {
    const json index = address.value("interface", json());
    expect(index.is_number_integer() && index >= 0 && index < result["interfaces"].size(),
           "an address is " + address.dump());
  }
}

void routes_of_interface(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = in_newest(full_result(bench, one));
  in_netns(bench.netns(one), [&] {
    const int index = kernel::find_link(one.ifname).value().index;
    const auto there = kernel::routes();
    for (const json& route : result["routes"]) {
      expect(std::ranges::any_of(there,
                                 [&](const kernel::Route& real) {
                                   return route["dst"] == real.destination && real.link == index;
                                 }),
             "not on the interface: " + route.dump());
    }
  });
}

void families_of_routes(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& route : result["routes"]) {
    expect(!route.contains("gw") || is_ipv6(route["gw"]) == is_ipv6(route["dst"]),
           "a route is " + route.dump());
  }
}

void route_numbers(Bench& bench) {
  const json given = json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}],
      "routes": [{"dst": "10.1.0.0/16", "gw": "10.88.0.1", "mtu": 1300, "advmss": 1200,
                  "priority": 77, "table": 4711}]})");
  bench.ipam().give(given);
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one));
  const json wanted = given["routes"][0];
  const auto same = [&](const json& route) { return without_empty(route) == wanted; };
  expect(std::ranges::any_of(result["routes"], same), "routes are " + result["routes"].dump());
  in_netns(bench.netns(one), [&] {
    const auto there = kernel::routes();
    expect(std::ranges::any_of(there,
                               [](const kernel::Route& route) {
                                 return route.destination == "10.1.0.0/16" && route.mtu == 1300 &&
                                        route.advmss == 1200 && route.priority == 77 &&
                                        route.table == 4711;
                               }),
           "the kernel has not the route with mtu 1300, advmss 1200, priority 77, table 4711");
  });
}

void keys_of_dns(Bench& bench) {
  const json dns = full_result(bench).value("dns", json::object());
  const json wrapped = {{"cniVersion", "1.1.0"}, {"dns", dns}};
  expect_schema("result-1.1.0.json", wrapped, "dns");
  if (bench.kind() == kMain) expect(dns == kFull["dns"], "dns is " + dns.dump());
}

void gateway_said(Bench& bench) {
  const json result = in_newest(full_result(bench));
  for (const json& address : result["ips"]) {
    expect(address.contains("gateway"), "the gateway is missing: " + address.dump());
  }
}

// What differs from one attachment to the next of the same plugin.
json comparable(json result) {
  for (json& interface : result["interfaces"]) {
    for (const char* key : {"mac", "mtu"}) interface.erase(key);
    if (interface.value("sandbox", "").empty()) interface["name"] = "of the host";
  }
  return without_empty(result);
}

void older_version(Bench& bench) {
  const Attachment one = bench.attachment();
  if (bench.kind() == kMain) bench.ipam().give(kFull);
  json config = bench.config({{"cniVersion", "1.0.0"}});
  if (bench.kind() == kChained) config["prevResult"] = bench.base_result(one, "1.0.0");
  const json newest = expect_result(bench.call("ADD", one, config), "ADD in 1.0.0");
  expect_success(bench.call("DEL", one, config), "DEL in 1.0.0");
  const json result = bench.add(one);
  json wanted = converted(in_newest(newest), bench.version());
  if (bench.kind() == kIpam) {
    // The next address, or the same: either may be given.
    for (const char* key : {"ip4", "ips"}) wanted.erase(key);
    json rest = result;
    for (const char* key : {"ip4", "ips"}) rest.erase(key);
    expect(without_empty(rest) == without_empty(wanted), "the result is " + result.dump());
    return;
  }
  expect(comparable(result) == comparable(wanted),
         fmt::format("1.0.0 gives {}, {} gives {}", newest.dump(), bench.version(), result.dump()));
}

constexpr Clause kClauses[] = {
    {"RES-01", kAny, obeys_schema, true},
    {"RES-02", kAny, needs_an_address, true},
    {"RES-03", kAny, key_of_list, true},
    {"RES-04", kAny, family_said, true},
    {"RES-05", kAny, family_not_said, true},
    {"RES-06", kAny, host_part_kept, true},
    {"RES-07", kMain | kLoopback, integer_index, true},
    {"RES-08", kMain, routes_of_interface, true},
    {"RES-09", kAny, families_of_routes, true},
    {"RES-10", kMain, route_numbers},
    {"RES-11", kAny, keys_of_dns, true},
    {"RES-12", kMain | kIpam, gateway_said, true},
    {"RES-13", kAny, older_version, true},
};

}  // namespace

std::span<const Clause> result_clauses() {
  return kClauses;
}

}  // namespace conformance
