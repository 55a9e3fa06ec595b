#include "condition_rules.h"

#include <fmt/format.h>

#include <utility>

#include "json/reader.h"

namespace cni::portmap {
namespace {

namespace expr = nftables::expr;
using Field = Condition::Field;
using inet::Family;
using inet::Network;
using nftables::Expression;
using Rules = std::vector<std::vector<Expression>>;

// Whether the packet is in the network, or not.
void append_comparison(std::vector<Expression>& rule, const Network& network, bool source,
                       expr::Compare operation) {
  const nftables::Bytes address = nftables::bytes_of(network.address);
  rule.push_back(source ? expr::source_address(network.family(), 0)
                        : expr::destination_address(network.family(), 0));
  const auto width = static_cast<unsigned>(network.address.width());
  const auto length = static_cast<unsigned>(network.prefix_length);
  if (length < width) {
    nftables::Bytes mask(address.size());
    for (unsigned bit = 0; bit < length; ++bit) mask[bit / 8] |= std::byte(0x80U >> (bit % 8));
    rule.push_back(expr::bitwise(0, 0, mask, nftables::Bytes(address.size())));
  }
  rule.push_back(expr::compare(operation, 0, address));
}

void append_interface(std::vector<Expression>& rule, const Condition& condition,
                      expr::Compare operation) {
  const bool in = condition.field == Field::kInInterface;
  rule.push_back(expr::meta(in ? expr::Meta::kInInterfaceName : expr::Meta::kOutInterfaceName, 0));
  nftables::Bytes name = nftables::padded_name(condition.interface);
  if (condition.interface.ends_with('+')) name.resize(condition.interface.size() - 1);
  if (!name.empty()) rule.push_back(expr::compare(operation, 0, name));
}

// Applies exactly if the condition does not hold.
Rules missed(const Condition& condition) {
  const auto unequal = condition.inverted ? expr::Compare::kEqual : expr::Compare::kNotEqual;
  Rules rules(1);
  switch (condition.field) {
    case Field::kSource:
    case Field::kDestination: {
      const bool source = condition.field == Field::kSource;
      if (!condition.inverted) {
        for (const Network& one : condition.networks) {
          append_comparison(rules[0], one, source, unequal);
        }
        return rules;
      }
      rules.clear();
      for (const Network& one : condition.networks) {
        append_comparison(rules.emplace_back(), one, source, unequal);
      }
      return rules;
    }
    case Field::kInInterface:
    case Field::kOutInterface:
      // "+" alone is any interface.
      if (condition.interface == "+") return condition.inverted ? Rules(1) : Rules();
      append_interface(rules[0], condition, unequal);
      return rules;
    case Field::kSourcePort:
    case Field::kDestinationPort: {
      const std::uint32_t offset = condition.field == Field::kSourcePort ? 0 : 2;
      const auto load = expr::payload(expr::Header::kTransport, offset, 2, 0);
      const auto first = nftables::network_order(condition.first_port);
      const auto last = nftables::network_order(condition.last_port);
      rules[0] = {load, expr::range(unequal, 0, first, last)};
      return rules;
    }
    case Field::kMark:
      rules[0].push_back(expr::meta(expr::Meta::kMark, 0));
      rules[0].push_back(
          expr::bitwise(0, 0, nftables::host_order(condition.mask), nftables::host_order(0)));
      rules[0].push_back(expr::compare(unequal, 0, nftables::host_order(condition.mark)));
      return rules;
    case Field::kComment:
      return {};
  }
  return {};
}

[[noreturn]] void cannot_say(const std::string& what) {
  throw json::ValueError(fmt::format("the rules of iptables cannot say {}", what), "");
}

// `network` is one of those of a condition about addresses.
void add_condition(xtables::Rule& rule, const Condition& condition,
                   const std::optional<Network>& network) {
  const auto set = [&](auto& place, auto value, const char* what) {
    if (place) cannot_say(fmt::format("two conditions about the {} of a packet", what));
    place = std::move(value);
  };
  switch (condition.field) {
    case Field::kSource:
      set(rule.source, xtables::AddressMatch{network.value(), condition.inverted}, "source");
      break;
    case Field::kDestination:
      set(rule.destination, xtables::AddressMatch{network.value(), condition.inverted},
          "destination");
      break;
    case Field::kInInterface:
      set(rule.in, xtables::InterfaceMatch{condition.interface, condition.inverted}, "interface");
      break;
    case Field::kOutInterface:
      set(rule.out, xtables::InterfaceMatch{condition.interface, condition.inverted}, "interface");
      break;
    case Field::kSourcePort:
    case Field::kDestinationPort: {
      if (condition.inverted) cannot_say("any port but these");
      auto& ports =
          condition.field == Field::kSourcePort ? rule.source_ports : rule.destination_ports;
      set(ports, xtables::PortRange{condition.first_port, condition.last_port}, "port");
      break;
    }
    case Field::kMark:
      if (condition.inverted) cannot_say("any mark but this");
      rule.matches.emplace_back(xtables::MarkMatch{condition.mark, condition.mask});
      break;
    case Field::kComment:
      rule.matches.emplace_back(xtables::Comment{condition.comment});
      break;
  }
}

}  // namespace

Rules missed(const std::vector<Condition>& conditions) {
  Rules rules;
  for (const Condition& condition : conditions) {
    for (auto& rule : missed(condition)) rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<xtables::Rule> with_conditions(const xtables::Rule& rule,
                                           const std::vector<Condition>& conditions) {
  std::vector<xtables::Rule> rules = {rule};
  for (const Condition& condition : conditions) {
    if (condition.networks.empty()) {
      for (xtables::Rule& one : rules) add_condition(one, condition, std::nullopt);
      continue;
    }
    if (condition.inverted && condition.networks.size() > 1) {
      cannot_say("\"none of these addresses\"");
    }
    std::vector<xtables::Rule> more;
    for (const xtables::Rule& one : rules) {
      for (const Network& network : condition.networks) {
        add_condition(more.emplace_back(one), condition, network);
      }
    }
    rules = std::move(more);
  }
  return rules;
}

}  // namespace cni::portmap
