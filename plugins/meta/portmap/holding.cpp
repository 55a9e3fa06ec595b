#include "holding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"
#include "chain_names.h"
#include "json/reader.h"
#include "protocol/args.h"

namespace cni::portmap {
namespace {

using netfilter::StoreChoice;

constexpr std::array<const char*, 3> kStores = {"native", "dialect", "legacy"};
constexpr std::array<const char*, 3> kMasquerades = {"none", "near", "all"};

// As a later process will find it, which starts elsewhere.
std::string absolute(const std::string& path) {
  std::error_code error;
  const std::string found = std::filesystem::absolute(path, error).string();
  return error ? std::string() : found;
}

std::size_t ensure_gate(std::vector<Gate>& gates, const Gate& gate) {
  const auto found = std::ranges::find(gates, gate);
  if (found != gates.end()) return static_cast<std::size_t>(found - gates.begin());
  gates.push_back(gate);
  return gates.size() - 1;
}

// [protocol, host address or "", host port, container port, count, gate or -1]
json::Value render(const std::vector<Run>& runs) {
  json::Value list = json::Value::array();
  for (const Run& run : runs) {
    json::Value one = json::Value::array();
    one.push_back(name(run.protocol));
    one.push_back(run.host_ip ? run.host_ip->text() : "");
    one.push_back(run.host_port);
    one.push_back(run.container_port);
    one.push_back(run.count);
    one.push_back(run.gate ? static_cast<std::int64_t>(*run.gate) : -1);
    list.push_back(std::move(one));
  }
  return list;
}

json::Value render(const std::vector<inet::Network>& networks) {
  json::Value list = json::Value::array();
  for (const inet::Network& network : networks) list.push_back(network.text());
  return list;
}

// The readers below throw json::ValueError at what this code does not write.

std::vector<Run> parse_runs(const json::Reader& list) {
  constexpr std::int64_t kLargestPort = 65535;
  std::vector<Run> runs;
  for (const json::Reader& element : list.elements()) {
    const std::vector<json::Reader> fields = element.elements();
    if (fields.size() != 6) element.refuse("no run of ports");
    const auto protocol = find_protocol(fields[0].string_or(""));
    const auto host_port = fields[2].find_integer(1, kLargestPort);
    const auto container_port = fields[3].find_integer(1, kLargestPort);
    if (!protocol || !host_port || !container_port) element.refuse("no run of ports");
    const std::int64_t most = kLargestPort + 1 - std::max(*host_port, *container_port);
    const auto count = fields[4].find_integer(1, most);
    if (!count) element.refuse("no run of ports");
    const std::int64_t gate = fields[5].find_integer().value_or(-1);
    runs.push_back(
        {.protocol = *protocol,
         .host_ip = fields[1].find_address(),
         .host_port = static_cast<std::uint16_t>(*host_port),
         .container_port = static_cast<std::uint16_t>(*container_port),
         .count = static_cast<std::uint32_t>(*count),
         .gate = gate < 0 ? std::nullopt : std::optional(static_cast<std::size_t>(gate))});
  }
  return runs;
}

std::vector<inet::Network> parse_networks(const json::Reader& list, inet::Family family) {
  std::vector<inet::Network> networks;
  for (const json::Reader& element : list.elements()) {
    const auto network = element.find_network();
    if (!network || network->family() != family) element.refuse("no network of this family");
    networks.push_back(*network);
  }
  return networks;
}

Gate parse_gate(const json::Reader& gate, inet::Family family) {
  // That they can be read is for those who use them.
  parse_conditions(gate["conditions"], family);
  return {.conditions = gate["conditions"].strings(),
          .sources = {.limited = gate["limited"].bool_or(false),
                      .allowed = parse_networks(gate["allowed"], family),
                      .denied = parse_networks(gate["denied"], family)}};
}

std::size_t parse_choice(const json::Reader& key, const std::array<const char*, 3>& choices) {
  const auto found = std::ranges::find(choices, key.string_or(""));
  if (found == choices.end()) key.refuse("no such choice");
  return static_cast<std::size_t>(found - choices.begin());
}

Holding parse(const netfilter::Owner& owner, const json::Reader& content) {
  const auto address = content["address"].find_network();
  if (!address) content["address"].refuse("no address");
  Holding holding{
      .owner = owner,
      .store = static_cast<StoreChoice>(parse_choice(content["store"], kStores)),
      .address = *address,
      .masquerade = static_cast<Masquerade>(parse_choice(content["masquerade"], kMasquerades)),
      .runs = parse_runs(content["ports"]),
      .waiting = parse_runs(content["waiting"]),
      .turn = static_cast<std::uint64_t>(content["turn"].find_integer().value_or(0)),
      .chain = content["chain"].string_or(""),
      .ended = content["ended"].bool_or(false),
      .pod = content["pod"].string_or(""),
      .netns_path = content["netns"]["path"].string_or("")};
  for (const json::Reader& gate : content["gates"].elements()) {
    holding.gates.push_back(parse_gate(gate, holding.family()));
  }
  for (const auto* runs : {&holding.runs, &holding.waiting}) {
    for (const Run& run : *runs) {
      if (run.gate && *run.gate >= holding.gates.size()) content["gates"].refuse("too few");
      if (run.host_ip && run.host_ip->family() != holding.family()) {
        content["ports"].refuse("an address of another family");
      }
    }
  }
  if (const auto interface = content["localnet"]["interface"].find_string()) {
    holding.localnet =
        Localnet{.interface = *interface, .reset = content["localnet"]["reset"].bool_or(false)};
  }
  const auto device = content["netns"]["device"].find_integer();
  const auto inode = content["netns"]["inode"].find_integer();
  if (device && inode) {
    holding.netns =
        netns::NetnsId{.device = static_cast<dev_t>(*device), .inode = static_cast<ino_t>(*inode)};
  }
  return holding;
}

}  // namespace

Holding wanted_holding(const Request& request, const Config& config, StoreChoice store,
                       inet::Family family) {
  const netfilter::Owner owner{.network = request.conf.name(),
                               .container_id = request.environment.container_id,
                               .ifname = request.environment.ifname};
  Holding holding{.owner = owner,
                  .store = store,
                  .address = *config.address(family),
                  .masquerade = config.masq_all ? Masquerade::kAll
                                : config.snat   ? Masquerade::kNear
                                                : Masquerade::kNone};
  std::vector<Run> runs;
  for (const Mapping& mapping : config.mappings) {
    if (!mapping.concerns(family)) continue;
    Run run{.protocol = mapping.protocol,
            .host_ip = mapping.host_ip && !mapping.host_ip->is_unspecified() ? mapping.host_ip
                                                                             : std::nullopt,
            .host_port = mapping.host_port,
            .container_port = mapping.container_port,
            .count = mapping.count};
    const Gate gate{.conditions = config.conditions(family).words,
                    .sources = {.limited = mapping.sources.limited,
                                .allowed = inet::of_family(mapping.sources.allowed, family),
                                .denied = inet::of_family(mapping.sources.denied, family)}};
    if (gate != Gate{}) run.gate = ensure_gate(holding.gates, gate);
    runs.push_back(run);
  }
  holding.runs = coalesce(runs);
  if (store != StoreChoice::kNative) {
    holding.chain = container_chain(owner.network, owner.container_id);
  }
  holding.pod = Args::parse_leniently(request.environment.args).pod().value_or("");
  if (request.netns) {
    holding.netns_path = absolute(request.environment.netns);
    holding.netns =
        netns::NetnsId{.device = request.netns->device(), .inode = request.netns->inode()};
  }
  return holding;
}

json::Value render(const Holding& holding) {
  json::Value content = json::Value::object();
  content["store"] = kStores.at(static_cast<std::size_t>(holding.store));
  content["address"] = holding.address.text();
  content["masquerade"] = kMasquerades.at(static_cast<std::size_t>(holding.masquerade));
  content["ports"] = render(holding.runs);
  if (!holding.waiting.empty()) {
    content["waiting"] = render(holding.waiting);
    content["turn"] = holding.turn;
  }
  for (const Gate& gate : holding.gates) {
    json::Value one = json::Value::object();
    one["conditions"] = gate.conditions;
    one["limited"] = gate.sources.limited;
    one["allowed"] = render(gate.sources.allowed);
    one["denied"] = render(gate.sources.denied);
    content["gates"].push_back(std::move(one));
  }
  if (!holding.chain.empty()) content["chain"] = holding.chain;
  if (holding.localnet) {
    content["localnet"]["interface"] = holding.localnet->interface;
    content["localnet"]["reset"] = holding.localnet->reset;
  }
  if (holding.ended) content["ended"] = true;
  if (!holding.pod.empty()) content["pod"] = holding.pod;
  if (holding.netns) {
    content["netns"]["path"] = holding.netns_path;
    content["netns"]["device"] = holding.netns->device;
    content["netns"]["inode"] = holding.netns->inode;
  }
  return content;
}

std::optional<Holding> parse_holding(const netfilter::Record& record) {
  try {
    return parse(record.owner, json::Reader(record.content));
  } catch (const json::ValueError&) {
    return std::nullopt;  // of another version of this code
  }
}

const Holding* find_holding(const std::vector<Holding>& holdings, const netfilter::Owner& owner) {
  const auto found = std::ranges::find_if(
      holdings, [&](const Holding& one) { return netfilter::same_attachment(one.owner, owner); });
  return found == holdings.end() ? nullptr : &*found;
}

std::string describe(const Holding& holding) {
  const auto& [network, container_id, ifname] = holding.owner;
  std::string text = fmt::format("container {} (network {}, interface {}", container_id,
                                 in_quotes(network), ifname);
  if (!holding.pod.empty()) text += ", pod " + holding.pod;
  return text + ")";
}

}  // namespace cni::portmap
