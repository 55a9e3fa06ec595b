// IPM: being the plugin that others ask for addresses.
#include <algorithm>
#include <filesystem>
#include <set>

#include "clause.h"
#include "netns.h"

namespace conformance {
namespace {

json ranges(const std::string& text) {
  return {{"ipam", {{"ranges", json::parse(text)}}}};
}

json addresses_of(const json& result) {
  return in_newest(result)["ips"];
}

void answer(Bench& bench) {
  const json result = in_newest(bench.add());
  expect(result["ips"].size() == 1, "ips are " + result["ips"].dump());
  const json address = result["ips"][0];
  expect(address["address"].get<std::string>().starts_with("10.77.0.") &&
             address["address"].get<std::string>().ends_with("/27"),
         "the address is " + address.dump());
  expect(address.value("gateway", "") == "10.77.0.1", "the gateway is in " + address.dump());
  const json routes = result["routes"];
  expect(routes.size() == 1 && routes[0].value("dst", "") == "0.0.0.0/0",
         "routes are " + routes.dump());
}

void abbreviated(Bench& bench) {
  expect_schema("ipam-result.json", bench.add(), "the result");
}

void version_of_answer(Bench& bench) {
  const json result = bench.add();
  expect(result.value("cniVersion", "") == bench.version(), "cniVersion of " + result.dump());
}

void settings(Bench& bench) {
  const Attachment one = bench.attachment();
  const json parent = json::parse(
      R"({"bridge": "b0", "subnet": "192.0.2.0/24", "ranges": 5, "isGateway": true, "mtu": 1400})");
  const json result = bench.add(one, parent);
  expect(addresses_in(result).at(0).starts_with("10.77.0."), "the result is " + result.dump());
  bench.del(one);
  json bare = bench.config();
  bare.erase("ipam");
  expect_error(bench.call("ADD", one, bare), "ADD without ipam");
}

void without_namespace(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  const Snapshot before = take_snapshot();
  bench.add(one);
  const json request = bench.request("DEL", one);
  bench.end_container(one);
  expect_success(bench.call("DEL", one, request), "DEL");
  expect_same(before, "after DEL without the namespace");
}

void owners(Bench& bench) {
  const Attachment first = bench.attachment();
  const Attachment second{"c1", "net1", "a"};
  const json other = {{"name", "net2"}};
  bench.add(first);
  bench.add(first, other);
  const Snapshot wanted = take_snapshot();
  bench.add(second);
  bench.del(second);
  expect_same(wanted, "DEL of net1 of the container");
  expect_success(bench.call("DEL", first, bench.request("DEL", first, {{"name", "net3"}})),
                 "DEL in a third network");
  expect_same(wanted, "DEL in a third network");
  bench.check(first, "after DEL of others");
}

void reservation_missing(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  bench.check(one, "after ADD");
  const json request = bench.request("CHECK", one);
  bench.del(one);
  expect_error(bench.call("CHECK", one, request), "CHECK after DEL");
}

void no_address_twice(Bench& bench) {
  std::vector<Program> programs;
  for (int i = 0; i < 29; ++i) {  // a /27 without network, gateway and broadcast
    const Attachment one = bench.attachment(fmt::format("p{}", i), "a");
    programs.push_back(bench.program("ADD", one, bench.config()));
  }
  std::set<std::string> given;
  for (const Outcome& outcome : run_together(programs)) {
    const json result = expect_result(outcome, "one of 29 ADDs");
    const std::string address = addresses_of(result).at(0).at("address");
    expect(given.insert(address).second, address + " was given twice");
  }
  expect_error(bench.call("ADD", bench.attachment("last")), "ADD without a free address");
}

void all_or_nothing(Bench& bench) {
  bench.warm_up();
  bench.netns();
  const Snapshot before = take_snapshot();
  // The only address of the second is its gateway.
  const json config = bench.config(ranges(R"([[{"subnet": "10.77.0.0/27"}],
      [{"subnet": "10.78.0.0/24", "rangeStart": "10.78.0.1", "rangeEnd": "10.78.0.1"}]])"));
  expect_error(bench.call("ADD", bench.attachment(), config), "ADD with a full range");
  expect_same(before, "after an ADD with a full range");
}

void one_of_a_family(Bench& bench) {
  bench.warm_up();
  bench.netns();
  const Snapshot before = take_snapshot();
  const json config =
      bench.config(ranges(R"([[{"subnet": "10.77.0.0/27"}], [{"subnet": "10.78.0.0/24"}]])"));
  expect_error(bench.call("ADD", bench.attachment(), config), "ADD of two IPv4 addresses");
  expect_same(before, "after an ADD of two IPv4 addresses");
}

void status_and_gc(Bench& bench) {
  const Attachment one = bench.attachment();
  const json small = ranges(
      R"([[{"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.9", "rangeEnd": "10.77.0.9"}]])");
  bench.add(one, small);
  const auto status = [&] { return bench.call("STATUS", one, bench.config(small)); };
  expect_error(status(), "STATUS without a free address");
  bench.end_container(one);
  expect_success(bench.call("GC", one, bench.gc_config({}, small)), "GC");
  expect_success(status(), "STATUS after GC");
  bench.add(bench.attachment("c2", "b"), small);
}

constexpr Clause kClauses[] = {
    {"IPM-01", kIpam, answer, true},
    {"IPM-02", kIpam, abbreviated, true},
    {"IPM-03", kIpam, version_of_answer, true},
    {"IPM-04", kIpam, settings},
    {"IPM-05", kIpam, without_namespace},
    {"IPM-06", kIpam, owners},
    {"IPM-07", kIpam, reservation_missing},
    {"IPM-08", kIpam, no_address_twice},
    {"IPM-09", kIpam, all_or_nothing},
    {"IPM-10", kIpam, one_of_a_family, true},
    {"IPM-11", kIpam, status_and_gc},
};

}  // namespace

std::span<const Clause> ipam_clauses() {
  return kClauses;
}

}  // namespace conformance
