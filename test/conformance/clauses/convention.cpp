// CAP and ARG: what runtimes and users hand in besides the configuration.
#include <algorithm>

#include "clause.h"
#include "kernel.h"
#include "netns.h"

namespace conformance {
namespace {

bool maps_ports(const Bench& bench) {
  return bench.subject().config.contains("runtimeConfig");
}

bool takes_mac(const Bench& bench) {
  return bench.subject().config.contains("bridge");
}

json runtime(const std::string& text) {
  return {{"runtimeConfig", json::parse(text)}};
}

std::string only_address(const json& result) {
  const auto addresses = addresses_in(result);
  return addresses.empty() ? "" : addresses.front();
}

void malformed_data(Bench& bench) {
  std::vector<json> wrong;
  if (maps_ports(bench)) {
    wrong = {runtime(R"({"portMappings": [{"hostPort": "x", "containerPort": 80}]})"),
             runtime(R"({"portMappings": [{"hostPort": 70000, "containerPort": 80,
                                           "protocol": "tcp"}]})"),
             runtime(R"({"portMappings": 5})")};
  } else if (bench.kind() == kIpam) {
    wrong = {runtime(R"({"ips": ["x"]})"), runtime(R"({"ips": 5})"),
             runtime(R"({"ipRanges": [[{"subnet": "x"}]]})")};
  } else if (takes_mac(bench)) {
    wrong = {runtime(R"({"mac": "x"})"), runtime(R"({"mac": 5})")};
  }
  applies(!wrong.empty(), "it takes no data of the runtime");
  const Attachment one = bench.attachment();
  for (const json& patch : wrong) {
    expect_error(bench.call("ADD", one, bench.request("ADD", one, patch)),
                 "ADD with " + patch.dump());
  }
}

void port_mappings(Bench& bench) {
  applies(maps_ports(bench), "it forwards no ports");
  const Attachment one = bench.attachment();
  bench.request("ADD", one);
  bench.netns(one);
  const Snapshot before = take_snapshot();
  bench.add(one, runtime(R"({"portMappings": []})"));
  expect_same(before, "ADD without mappings changes something");
  bench.del(one);
  bench.add(one);
  expect(!difference(before, take_snapshot()).empty(), "a mapping changes nothing");
  bench.del(one);
  const json patch = runtime(
      R"({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "smoke"}]})");
  expect_error(bench.call("ADD", one, bench.request("ADD", one, patch)),
               "ADD with an unknown protocol");
}

void ip_ranges(Bench& bench) {
  const json result = in_newest(bench.add(
      bench.attachment(),
      runtime(R"({"ipRanges": [[{"subnet": "10.97.0.0/24"}], [{"subnet": "10.98.0.0/24"}]]})")));
  std::vector<std::string> given;
  for (const json& address : result["ips"]) given.push_back(address["address"]);
  expect(given.size() == 3 && given[0].starts_with("10.97.0.") &&
             given[1].starts_with("10.98.0.") && given[2].starts_with("10.77.0."),
         fmt::format("the addresses are {}", fmt::join(given, ", ")));
}

void requested_addresses(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const char* wanted : {"10.77.0.23", "10.77.0.24/27"}) {
    const json patch = {{"runtimeConfig", {{"ips", json::array({wanted})}}}};
    const std::string given = only_address(bench.add(one, patch));
    expect(given.starts_with(std::string(wanted).substr(0, 10)),
           fmt::format("{} was asked for, {} given", wanted, given));
    bench.del(one, patch);
  }
}

void requested_mac(Bench& bench) {
  applies(takes_mac(bench), "it takes no MAC");
  const Attachment one = bench.attachment();
  const json result = in_newest(bench.add(one, runtime(R"({"mac": "0a:00:00:12:34:56"})")));
  bool said = false;
  for (const json& interface : result["interfaces"]) {
    said = said || (interface.value("name", "") == one.ifname &&
                    interface.value("mac", "") == "0a:00:00:12:34:56");
  }
  expect(said, "the result is " + result.dump());
  in_netns(bench.netns(one), [&] {
    expect(kernel::find_link(one.ifname).value().mac == "0a:00:00:12:34:56",
           "the interface has another MAC");
  });
}

void no_data(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one);
  for (const json& data : {json(), json::object()}) {
    config.erase("runtimeConfig");
    if (!data.is_null()) config["runtimeConfig"] = data;
    expect_result(bench.call("ADD", one, config), "ADD with runtimeConfig " + data.dump());
    expect_success(bench.call("DEL", one, config), "DEL with runtimeConfig " + data.dump());
  }
}

void pairs(Bench& bench) {
  applies(bench.kind() == kIpam || takes_mac(bench), "it reads no CNI_ARGS");
  const Attachment one = bench.attachment();
  const auto call = [&](const char* text) {
    return bench.call("ADD", one, bench.request("ADD", one), {{"CNI_ARGS", text}});
  };
  expect_error(call("FOO=BAR"), "ADD with CNI_ARGS FOO=BAR");
  expect_error(call("junk"), "ADD with CNI_ARGS junk");
  expect_result(call("IgnoreUnknown=1;FOO=BAR"), "ADD with CNI_ARGS IgnoreUnknown=1;FOO=BAR");
}

json asked_by_args(const char* address) {
  return {{"args", {{"cni", {{"ips", json::array({address})}}}}}};
}

void args_over_variable(Bench& bench) {
  const Attachment one = bench.attachment();
  const json config = bench.request("ADD", one, asked_by_args("10.77.0.21"));
  const json result = expect_result(bench.call("ADD", one, config, {{"CNI_ARGS", "IP=10.77.0.22"}}),
                                    "ADD with args.cni.ips and IP in CNI_ARGS");
  expect(addresses_in(result) == std::vector<std::string>{"10.77.0.21/27"},
         "the result is " + result.dump());
}

void asked_for(Bench& bench) {
  const std::string given =
      only_address(bench.add(bench.attachment(), asked_by_args("10.77.0.21")));
  expect(given == "10.77.0.21/27", "10.77.0.21 was asked for, " + given + " given");
}

void labels(Bench& bench) {
  const json patch = json::parse(
      R"({"args": {"labels": [{"key": "app", "value": "x"}], "cni": {"labels": {"a": "b"}}}})");
  const Attachment one = bench.attachment();
  bench.add(one, patch);
  bench.del(one, patch);
}

constexpr Clause kClauses[] = {
    {"CAP-01", kMain | kIpam | kChained, malformed_data},
    {"CAP-02", kChained, port_mappings},
    {"CAP-03", kIpam, ip_ranges},
    {"CAP-06", kIpam, requested_addresses},
    {"CAP-07", kMain, requested_mac},
    {"CAP-09", kAny, no_data},
    {"ARG-01", kMain | kIpam, pairs},
    {"ARG-02", kIpam, args_over_variable},
    {"ARG-03", kIpam, asked_for},
    {"ARG-04", kAny, labels},
};

}  // namespace

std::span<const Clause> convention_clauses() {
  return kClauses;
}

}  // namespace conformance
