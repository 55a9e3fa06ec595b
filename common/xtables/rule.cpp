#include "xtables/rule.h"

#include <fmt/format.h>
#include <linux/in.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_multiport.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace cni::xtables {
namespace {

// The kernel has room for one more each, the final NUL.
constexpr std::size_t kLongestComment = 255;
constexpr std::size_t kLongestInterface = IFNAMSIZ - 1;

// --- limits

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument("a rule of xtables cannot have " + what);
}

void require_family(const inet::Address& address, inet::Family family) {
  if (address.family() != family) {
    refuse(fmt::format("the address {} in a table of {}", address.text(), inet::name(family)));
  }
}

void require_valid(const std::optional<AddressMatch>& match, inet::Family family) {
  if (!match) return;
  require_family(match->network.address, family);
  if (match->inverted && match->network.prefix_length == 0) {
    refuse(fmt::format("the condition ! {}, which no packet meets", match->network.text()));
  }
}

void require_valid(const std::optional<InterfaceMatch>& match) {
  if (!match) return;
  const std::string& name = match->name;
  // iptables takes "+" for no condition.
  if (name.empty() || name == "+" || name.size() > kLongestInterface ||
      name.find('\0') != std::string::npos) {
    refuse(fmt::format("the interface {}", in_quotes(name)));
  }
}

void require_valid(const std::optional<PortRange>& ports, std::uint8_t protocol) {
  if (!ports) return;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP) {
    refuse(fmt::format("ports with protocol {}", protocol));
  }
  if (ports->first > ports->last) {
    refuse(fmt::format("the ports {}:{}", ports->first, ports->last));
  }
}

struct MatchLimits {
  const Rule& rule;

  void operator()(const Comment& comment) const {
    if (comment.text.size() > kLongestComment) {
      refuse(
          fmt::format("a comment of {} bytes, more than {}", comment.text.size(), kLongestComment));
    }
    if (comment.text.find('\0') != std::string::npos) refuse("a comment with a NUL in it");
  }
  void operator()(const ToLocalAddress&) const {}
  void operator()(const DestinationPorts& match) const {
    if (match.ports.empty() || match.ports.size() > XT_MULTI_PORTS) {
      refuse(fmt::format("a list of {} ports", match.ports.size()));
    }
    require_valid(PortRange{match.ports.front(), match.ports.front()}, rule.protocol);
  }
  void operator()(const MarkMatch&) const {}
  void operator()(const ConntrackState&) const {}
};

struct TargetLimits {
  inet::Family family;

  void operator()(const Jump& jump) const {
    if (jump.chain.empty() || jump.chain.size() > kLongestChain) {
      refuse(fmt::format("a jump to chain {}", in_quotes(jump.chain)));
    }
  }
  void operator()(const DestinationNat& target) const { require_family(target.address, family); }
  void operator()(const SourceNat& target) const {
    require_family(target.first, family);
    require_family(target.last, family);
  }
  template <typename Other>
  void operator()(const Other&) const {}
};

// --- meaning

void forget_if_all(std::optional<AddressMatch>& match) {
  if (!match) return;
  match->network = match->network.masked();
  if (match->network.prefix_length == 0 && !match->inverted) match.reset();
}

void forget_if_all(std::optional<PortRange>& ports) {
  if (ports == kAllPorts) ports.reset();
}

// Without the matches.
Rule essence(const Rule& rule) {
  Rule result{.source = rule.source,
              .destination = rule.destination,
              .in = rule.in,
              .out = rule.out,
              .protocol = rule.protocol,
              .source_ports = rule.source_ports,
              .destination_ports = rule.destination_ports,
              .target = rule.target};
  forget_if_all(result.source);
  forget_if_all(result.destination);
  forget_if_all(result.source_ports);
  forget_if_all(result.destination_ports);
  return result;
}

// --- text

std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return "tcp";
    case IPPROTO_UDP:
      return "udp";
    case IPPROTO_SCTP:
      return "sctp";
    case IPPROTO_ICMP:
      return "icmp";
    case 58:  // IPPROTO_ICMPV6 of linux/in6.h
      return "ipv6-icmp";
    case IPPROTO_ESP:
      return "esp";
    case IPPROTO_AH:
      return "ah";
    case IPPROTO_GRE:
      return "gre";
    default:
      return std::to_string(protocol);
  }
}

// Bare if it is made of letters, digits, '_' and '-' only, as iptables-save has it.
std::string quoted(const std::string& text) {
  constexpr std::string_view kBare =
      "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (!text.empty() && text.find_first_not_of(kBare) == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\'') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string with_mask(std::uint32_t value, std::uint32_t mask) {
  return fmt::format("{:#x}/{:#x}", value, mask);
}

std::string render(std::string_view option, const std::optional<AddressMatch>& match) {
  if (!match) return "";
  return fmt::format("{}{} {} ", match->inverted ? "! " : "", option,
                     match->network.masked().text());
}

std::string render(std::string_view option, const std::optional<InterfaceMatch>& match) {
  if (!match) return "";
  return fmt::format("{}{} {} ", match->inverted ? "! " : "", option, match->name);
}

std::string render(std::string_view option, const std::optional<PortRange>& ports) {
  if (!ports) return "";
  if (ports->first == ports->last) return fmt::format("{} {} ", option, ports->first);
  return fmt::format("{} {}:{} ", option, ports->first, ports->last);
}

struct MatchText {
  std::string operator()(const Comment& comment) const {
    return "-m comment --comment " + quoted(comment.text);
  }
  std::string operator()(const ToLocalAddress&) const { return "-m addrtype --dst-type LOCAL"; }
  std::string operator()(const DestinationPorts& match) const {
    return fmt::format("-m multiport --dports {}", fmt::join(match.ports, ","));
  }
  std::string operator()(const MarkMatch& match) const {
    if (match.mask == 0xffffffff) return fmt::format("-m mark --mark {:#x}", match.value);
    return "-m mark --mark " + with_mask(match.value, match.mask);
  }
  std::string operator()(const ConntrackState& match) const {
    constexpr std::array kStates = {
        std::pair{XT_CONNTRACK_STATE_INVALID, "INVALID"},
        std::pair{XT_CONNTRACK_STATE_BIT(IP_CT_NEW), "NEW"},
        std::pair{XT_CONNTRACK_STATE_BIT(IP_CT_RELATED), "RELATED"},
        std::pair{XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED), "ESTABLISHED"},
        std::pair{XT_CONNTRACK_STATE_UNTRACKED, "UNTRACKED"},
        std::pair{XT_CONNTRACK_STATE_SNAT, "SNAT"},
        std::pair{XT_CONNTRACK_STATE_DNAT, "DNAT"},
    };
    std::vector<std::string_view> names;
    for (const auto& [bit, name] : kStates) {
      if ((match.states & bit) != 0) names.emplace_back(name);
    }
    return fmt::format("-m conntrack --ctstate {}", fmt::join(names, ","));
  }
};

struct TargetText {
  std::string operator()(const Accept&) const { return "ACCEPT"; }
  std::string operator()(const Drop&) const { return "DROP"; }
  std::string operator()(const Return&) const { return "RETURN"; }
  std::string operator()(const Jump& jump) const { return jump.chain; }
  std::string operator()(const SetMark& target) const {
    return "MARK --set-xmark " + with_mask(target.value, target.mask);
  }
  std::string operator()(const DestinationNat& target) const {
    const std::string address = target.address.text();
    if (target.port == 0) return "DNAT --to-destination " + address;
    const bool ipv4 = target.address.family() == inet::Family::kIpv4;
    return fmt::format("DNAT --to-destination {}{}{}:{}", ipv4 ? "" : "[", address, ipv4 ? "" : "]",
                       target.port);
  }
  std::string operator()(const SourceNat& target) const {
    std::string text = "SNAT --to-source " + target.first.text();
    if (target.last != target.first) text += "-" + target.last.text();
    if (target.fully_random) text += " --random-fully";
    if (target.persistent) text += " --persistent";
    return text;
  }
  std::string operator()(const Masquerade& target) const {
    return target.fully_random ? "MASQUERADE --random-fully" : "MASQUERADE";
  }
};

}  // namespace

std::string Rule::jump_target() const {
  const auto* jump = std::get_if<Jump>(&target);
  return jump == nullptr ? "" : jump->chain;
}

std::string Rule::comment() const {
  for (const Match& match : matches) {
    if (const auto* found = std::get_if<Comment>(&match)) return found->text;
  }
  return "";
}

void require_valid(const Rule& rule, inet::Family family) {
  require_valid(rule.source, family);
  require_valid(rule.destination, family);
  require_valid(rule.in);
  require_valid(rule.out);
  require_valid(rule.source_ports, rule.protocol);
  require_valid(rule.destination_ports, rule.protocol);
  for (const Match& match : rule.matches) std::visit(MatchLimits{rule}, match);
  std::visit(TargetLimits{family}, rule.target);
}

bool same_meaning(const Rule& one, const Rule& other) {
  if (one.protocol != other.protocol || one.target != other.target) return false;
  return essence(one) == essence(other) && std::ranges::is_permutation(one.matches, other.matches);
}

std::string render(const Rule& rule) {
  std::string text = render("-s", rule.source) + render("-d", rule.destination) +
                     render("-i", rule.in) + render("-o", rule.out);
  if (rule.protocol != 0) text += fmt::format("-p {} ", protocol_name(rule.protocol));
  if (rule.source_ports || rule.destination_ports) {
    text += fmt::format("-m {} ", protocol_name(rule.protocol)) +
            render("--sport", rule.source_ports) + render("--dport", rule.destination_ports);
  }
  for (const Match& match : rule.matches) text += std::visit(MatchText{}, match) + " ";
  return text + "-j " + std::visit(TargetText{}, rule.target);
}

}  // namespace cni::xtables
