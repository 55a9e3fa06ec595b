#include "conditions.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "base/text.h"

namespace cni::portmap {
namespace {

using Field = Condition::Field;
using inet::Family;
using inet::Network;
using Refuse = std::function<void(const std::string&)>;  // does not return

constexpr std::size_t kLongestLinkName = 15;  // IFNAMSIZ less the final zero, linux/if.h
constexpr std::size_t kLongestComment = 255;

class Parser {
 public:
  Parser(const std::vector<std::string>& words, Family family, const Refuse& refuse)
      : words_(words), family_(family), refuse_(refuse) {}

  std::vector<Condition> run(Syntax syntax) {
    while (at_ < words_.size()) {
      if (syntax == Syntax::kIptables) {
        parse_option();
      } else {
        parse_expression();
      }
    }
    return std::move(conditions_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    refuse_(problem);
    throw std::logic_error("refused, and went on");
  }

  const std::string& next(const char* wanted) {
    if (at_ >= words_.size()) fail(fmt::format("the conditions end where {} should come", wanted));
    return words_[at_++];
  }

  Network parse_network(std::string_view text) const {
    std::optional<Network> network;
    if (text.find('/') == std::string_view::npos) {
      if (const auto address = inet::Address::parse(text)) network = Network::host(*address);
    } else {
      network = Network::parse(text);
    }
    if (!network || network->family() != family_) {
      fail(fmt::format("{} is no {} address or network", in_quotes(text), inet::name(family_)));
    }
    return network->masked();
  }

  std::vector<Network> parse_networks(std::string_view list) const {
    std::vector<Network> networks;
    for (const std::string& one : split(list, ',')) networks.push_back(parse_network(trim(one)));
    return networks;
  }

  std::string parse_interface(std::string_view name) const {
    if (name.empty() || name.size() > kLongestLinkName ||
        name.find_first_of("/ \t\n") != std::string_view::npos) {
      fail(fmt::format("{} is no name of an interface", in_quotes(name)));
    }
    return std::string(name);
  }

  template <typename Number>
  Number parse_unsigned(std::string_view text, const char* what) const {
    std::optional<Number> number;
    if (text.starts_with("0x") || text.starts_with("0X")) {
      Number value{};
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data() + 2, end, value, 16);
      if (error == std::errc{} && stop == end) number = value;
    } else {
      number = parse_number<Number>(text);
    }
    if (!number) fail(fmt::format("{} is no {}", in_quotes(text), what));
    return *number;
  }

  void add_ports(Field field, bool inverted, std::string_view text) {
    const std::size_t colon = text.find(':');
    const auto first = parse_unsigned<std::uint16_t>(text.substr(0, colon), "port");
    const auto last = colon == std::string_view::npos
                          ? first
                          : parse_unsigned<std::uint16_t>(text.substr(colon + 1), "port");
    if (last < first) fail(fmt::format("the ports {} are in the wrong order", in_quotes(text)));
    conditions_.push_back(
        {.field = field, .inverted = inverted, .first_port = first, .last_port = last});
  }

  void add_mark(bool inverted, std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto mark = parse_unsigned<std::uint32_t>(text.substr(0, slash), "mark");
    const auto mask = slash == std::string_view::npos
                          ? std::numeric_limits<std::uint32_t>::max()
                          : parse_unsigned<std::uint32_t>(text.substr(slash + 1), "mask");
    conditions_.push_back(
        {.field = Field::kMark, .inverted = inverted, .mark = mark & mask, .mask = mask});
  }

  // iptables: "[!] -s 10.0.0.0/8"
  void parse_option() {
    bool inverted = next("an option") == "!";
    const std::string& option = inverted ? next("an option") : words_[at_ - 1];
    const auto is = [&](std::initializer_list<std::string_view> names) {
      return std::ranges::find(names, option) != names.end();
    };
    if (is({"-m", "--match"})) {
      parse_match(inverted);
      return;
    }
    const auto value = [&]() -> const std::string& {
      // An old way to write it.
      if (at_ < words_.size() && words_[at_] == "!" && !inverted) {
        inverted = true;
        ++at_;
      }
      return next("a value");
    };
    if (is({"-s", "--src", "--source"})) {
      const std::string& list = value();
      add_addresses(Field::kSource, list, inverted);
    } else if (is({"-d", "--dst", "--destination"})) {
      const std::string& list = value();
      add_addresses(Field::kDestination, list, inverted);
    } else if (is({"-i", "--in-interface"})) {
      const std::string name = parse_interface(value());
      conditions_.push_back(
          {.field = Field::kInInterface, .inverted = inverted, .interface = name});
    } else if (is({"-o", "--out-interface"})) {
      const std::string name = parse_interface(value());
      conditions_.push_back(
          {.field = Field::kOutInterface, .inverted = inverted, .interface = name});
    } else if (is({"--sport", "--source-port"})) {
      const std::string& ports = value();
      add_ports(Field::kSourcePort, inverted, ports);
    } else if (is({"--dport", "--destination-port"})) {
      const std::string& ports = value();
      add_ports(Field::kDestinationPort, inverted, ports);
    } else {
      fail(fmt::format("unknown condition {}", in_quotes(option)));
    }
  }

  void add_addresses(Field field, const std::string& list, bool inverted) {
    const std::vector<Network> networks = parse_networks(list);
    // iptables(8) refuses it as well: its rules would say the contrary of what it reads like.
    if (inverted && networks.size() > 1) fail("! with several addresses is not possible");
    conditions_.push_back({.field = field, .inverted = inverted, .networks = networks});
  }

  void parse_match(bool inverted) {
    const std::string& match = next("a name");
    if (inverted) fail("! does not go with -m");
    if (match == "tcp" || match == "udp" || match == "sctp") return;  // --sport and --dport follow
    if (match == "comment") {
      if (next("--comment") != "--comment") fail("-m comment wants --comment");
      const std::string& text = next("a text");
      if (text.size() > kLongestComment) fail("a comment is longer than 255 bytes");
      conditions_.push_back({.field = Field::kComment, .comment = text});
    } else if (match == "mark") {
      bool not_equal = false;
      const std::string* word = &next("--mark");
      if (*word == "!") {
        not_equal = true;
        word = &next("--mark");
      }
      if (*word != "--mark") fail("-m mark wants --mark");
      add_mark(not_equal, next("a mark"));
    } else {
      fail(fmt::format("unknown condition {}", in_quotes("-m " + match)));
    }
  }

  // nft: "ip saddr != { 10.0.0.0/8, 192.0.2.1 }"
  void parse_expression() {
    const std::string& word = next("a condition");
    if (word == "ip" || word == "ip6") {
      if ((word == "ip") != (family_ == Family::kIpv4)) {
        fail(fmt::format("{} among the conditions of {}", in_quotes(word), inet::name(family_)));
      }
      parse_address_expression();
    } else if (word == "iifname" || word == "oifname") {
      add_interface(word);
    } else if (word == "meta") {
      const std::string& key = next("a key of meta");
      if (key == "iifname" || key == "oifname") {
        add_interface(key);
      } else if (key == "mark") {
        const bool inverted = parse_operator();
        add_mark(inverted, next("a mark"));
      } else {
        fail(fmt::format("unknown condition {}", in_quotes("meta " + key)));
      }
    } else {
      fail(fmt::format("unknown condition {}", in_quotes(word)));
    }
  }

  void parse_address_expression() {
    const std::string& key = next("saddr or daddr");
    if (key != "saddr" && key != "daddr") {
      fail(fmt::format("unknown condition {}", in_quotes(key)));
    }
    const bool inverted = parse_operator();
    // Braces and what is in them come as one word or as several.
    std::string list = next("an address");
    if (list.starts_with('{')) {
      while (!list.ends_with('}')) list += " " + next("}");
      list = list.substr(1, list.size() - 2);
      if (const auto last = list.find_last_not_of(" \t");
          last != std::string::npos && list[last] == ',') {
        list.resize(last);  // as nft(8) allows
      }
    }
    conditions_.push_back({.field = key == "saddr" ? Field::kSource : Field::kDestination,
                           .inverted = inverted,
                           .networks = parse_networks(list)});
  }

  void add_interface(const std::string& key) {
    const bool inverted = parse_operator();
    std::string_view text = next("the name of an interface");
    if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) {
      text = text.substr(1, text.size() - 2);
    }
    std::string name = parse_interface(text);
    if (name.ends_with('*')) {
      name.back() = '+';
    } else if (name.ends_with('+')) {
      fail(fmt::format("{} is no name of an interface", in_quotes(name)));
    }
    conditions_.push_back({.field = key == "iifname" ? Field::kInInterface : Field::kOutInterface,
                           .inverted = inverted,
                           .interface = name});
  }

  bool parse_operator() {
    if (at_ >= words_.size() || (words_[at_] != "!=" && words_[at_] != "==")) return false;
    return words_[at_++] == "!=";
  }

  const std::vector<std::string>& words_;
  Family family_;
  const Refuse& refuse_;
  std::size_t at_ = 0;
  std::vector<Condition> conditions_;
};

std::vector<Condition> parse(const std::vector<std::string>& words, Family family,
                             const Refuse& refuse) {
  const auto syntax = syntax_of(words);
  if (!syntax) return {};
  return Parser(words, family, refuse).run(*syntax);
}

}  // namespace

std::optional<Syntax> syntax_of(const std::vector<std::string>& words) {
  if (words.empty() || words.front().empty()) return std::nullopt;
  const char first = words.front().front();
  return first == '-' || first == '!' ? Syntax::kIptables : Syntax::kNftables;
}

std::vector<Condition> parse_conditions(const json::Reader& key, Family family) {
  return parse(key.strings(), family, [&](const std::string& problem) { key.refuse(problem); });
}

std::vector<Condition> parse_conditions(const std::vector<std::string>& words, Family family) {
  return parse(words, family,
               [](const std::string& problem) { throw std::invalid_argument(problem); });
}

}  // namespace cni::portmap
