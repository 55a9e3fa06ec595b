// CHK: CHECK compares what is with what ADD gave.
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "clause.h"
#include "kernel.h"
#include "netfilter.h"
#include "netns.h"

namespace conformance {
namespace {

void served(Bench& bench) {
  bench.add();
  bench.check(bench.attachment(), "after ADD");
}

void silent(Bench& bench) {
  bench.add();
  expect_silence(bench.call("CHECK", bench.attachment()), "CHECK");
}

void expectation_from_result(Bench& bench) {
  const Attachment one = bench.attachment();
  json result = bench.add(one);
  json config = bench.config();
  expect_error(bench.call("CHECK", one, config), "CHECK without prevResult");
  if (bench.kind() != kMain) return;
  result["ips"][0]["address"] = "10.88.0.200/24";
  config["prevResult"] = result;
  expect_error(bench.call("CHECK", one, config), "CHECK with another address");
}

void others_may_add(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  in_netns(bench.netns(one), [&] {
    kernel::add_bridge("other0");
    kernel::set_up("other0", true);
    if (bench.kind() == kMain) kernel::add_address(one.ifname, "192.0.2.77/32");
    kernel::add_address("other0", "192.0.2.78/24");
    kernel::add_route("other0", {.destination = "198.51.100.0/24"});
  });
  bench.check(one, "with an interface, addresses and a route more");
}

// Each fault is made in an attachment of its own.
void finds(Bench& bench, const std::string& fault, const std::function<void()>& damage) {
  static int number = 0;
  const std::string name = fmt::format("d{}", ++number);
  const Attachment one = bench.attachment(name, name);
  bench.add(one);
  bench.check(one, "before any fault");
  in_netns(bench.netns(one), damage);
  expect_error(bench.call("CHECK", one), "CHECK with " + fault);
  bench.del(one);
}

void tracked_resources(Bench& bench) {
  const std::string name = bench.subject().ifname;
  finds(bench, "the interface down", [&] { kernel::set_up(name, false); });
  if (bench.kind() == kLoopback) return;
  finds(bench, "the interface gone", [&] { kernel::delete_link(name); });
  finds(bench, "an address gone",
        [&] { kernel::delete_address(name, kernel::addresses_of(name).at(0)); });
  finds(bench, "the default route gone", [&] {
    for (const kernel::Route& route : kernel::routes()) {
      if (route.destination == "0.0.0.0/0") kernel::delete_route(route);
    }
  });
  finds(bench, "the interface of another kind", [&] {
    const auto addresses = kernel::addresses_of(name);
    kernel::delete_link(name);
    kernel::add_bridge(name);
    kernel::set_up(name, true);
    for (const std::string& address : addresses) kernel::add_address(name, address);
  });
}

void untracked_resources(Bench& bench) {
  const Attachment one = bench.attachment();
  if (bench.kind() == kIpam) {
    const json result = bench.add(one);
    const std::string address = addresses_in(result).at(0);
    const std::string file = "/var/lib/cni/networks/net1/" + address.substr(0, address.find('/'));
    expect(std::filesystem::remove(file), "no reservation in " + file);
    expect_error(bench.call("CHECK", one), "CHECK without reservation");
    return;
  }
  bench.add(one);
  applies(netfilter::flush_nf_tables(), "it has no rules in nf_tables");
  expect_error(bench.call("CHECK", one), "CHECK without rules");
}

void unreachable(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one));
  for (const json& interface : result["interfaces"]) {
    const auto link = kernel::find_link(interface.value("name", ""));
    if (link && link->kind == "veth" && interface.value("sandbox", "").empty()) {
      kernel::set_up(link->name, false);
    }
  }
  expect_error(bench.call("CHECK", one), "CHECK with the host's end down");
}

void at_once(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.ipam().give(json::parse(R"({"ips": [
      {"address": "10.88.0.9/24", "gateway": "10.88.0.1"},
      {"address": "fd00:88::9/64", "gateway": "fd00:88::1"}], "routes": [{"dst": "::/0"}]})"));
  for (int i = 0; i < 10; ++i) {
    bench.add(one);
    bench.check(one, "at once after ADD");
    bench.del(one);
  }
}

void delegated(Bench& bench) {
  const Attachment one = bench.attachment();
  const json result = bench.add(one);
  bench.ipam().forget_calls();
  bench.check(one, "after ADD");
  const auto calls = bench.ipam().calls();
  expect(calls.size() == 1 && calls[0].verb == "CHECK", "the IPAM plugin got no CHECK");
  expect(json::parse(calls[0].input).value("prevResult", json()) == result,
         "the IPAM plugin got another prevResult");
  bench.ipam().fail("CHECK", 123, "no reservation");
  expect_mention(expect_error(bench.call("CHECK", one), "CHECK with a failing delegate", {123}),
                 "no reservation", "CHECK");
}

void only_looks(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  Snapshot before = take_snapshot();
  bench.check(one, "after ADD");
  expect_same(before, "CHECK changes something");
  if (bench.kind() == kMain || bench.kind() == kLoopback) {
    in_netns(bench.netns(one), [&] { kernel::set_up(one.ifname, false); });
  } else if (bench.kind() == kChained) {
    netfilter::flush_nf_tables();
  }
  before = take_snapshot();
  bench.call("CHECK", one);
  expect_same(before, "CHECK repairs something");
}

void foreign_interfaces(Bench& bench) {
  const Attachment one = bench.attachment();
  json result = bench.add(one);
  result["interfaces"].push_back(
      {{"name", "other0"}, {"mac", "0a:00:00:00:00:99"}, {"sandbox", "/run/netns/another"}});
  json address = {{"address", "203.0.113.5/24"}, {"interface", result["interfaces"].size() - 1}};
  if (bench.version() < "1.0.0") address["version"] = "4";
  result["ips"].push_back(address);
  bench.remember(one, result);
  bench.check(one, "with another's interface in prevResult");
}

constexpr Clause kClauses[] = {
    {"CHK-01", kAny, served, true},
    {"CHK-02", kAny, silent},
    {"CHK-03", kMain | kChained, expectation_from_result},
    {"CHK-04", kAny, others_may_add},
    {"CHK-05", kMain | kLoopback, tracked_resources},
    {"CHK-06", kIpam | kChained, untracked_resources},
    {"CHK-07", kMain, unreachable},
    {"CHK-08", kMain, at_once},
    {"CHK-09", kMain, delegated},
    {"CHK-10", kAny, only_looks},
    {"CHK-11", kMain | kChained, foreign_interfaces},
};

}  // namespace

std::span<const Clause> check_clauses() {
  return kClauses;
}

}  // namespace conformance
