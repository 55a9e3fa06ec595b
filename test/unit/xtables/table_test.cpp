#include "xtables/table.h"

#include <catch2/catch.hpp>
#include <iterator>
#include <map>

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)

namespace {

// Nothing but the chains.
class PlainTable : public Table {
 public:
  cni::inet::Family family() const override { return cni::inet::Family::kIpv4; }
  bool has_chain(const std::string& chain) const override { return chains_.contains(chain); }
  std::vector<std::string> chains() const override { return {}; }
  const std::vector<StoredRule>& rules(const std::string& chain) const override {
    static const std::vector<StoredRule> kNone;
    const auto found = chains_.find(chain);
    return found == chains_.end() ? kNone : found->second;
  }
  std::size_t references(const std::string& chain) const override {
    std::size_t count = 0;
    for (const auto& [origin, rules] : chains_) {
      for (const StoredRule& stored : rules) count += stored.jump_target == chain ? 1 : 0;
    }
    return count;
  }
  bool drops_by_policy(const std::string&) const override { return false; }
  void ensure_chain(const std::string& chain) override { chains_[chain]; }
  void append(const std::string& chain, const Rule& rule) override {
    insert(chain, chains_.at(chain).size(), rule);
  }
  void insert(const std::string& chain, std::size_t position, const Rule& rule) override {
    auto& rules = chains_.at(chain);
    rules.insert(std::next(rules.begin(), static_cast<std::ptrdiff_t>(position)),
                 {rule, rule.jump_target(), rule.comment()});
  }
  void erase(const std::string& chain, std::size_t position) override {
    auto& rules = chains_.at(chain);
    rules.erase(std::next(rules.begin(), static_cast<std::ptrdiff_t>(position)));
  }
  void flush(const std::string& chain) override { chains_.at(chain).clear(); }
  void delete_chain(const std::string& chain) override { chains_.erase(chain); }
  bool changed() const override { return true; }

  void add_foreign(const std::string& chain, const std::string& jump_target) {
    chains_[chain].push_back({std::nullopt, jump_target, ""});
  }

  // The targets of the rules.
  std::string text(const std::string& chain) const {
    std::string text;
    for (const StoredRule& stored : rules(chain)) {
      text += stored.rule ? render(*stored.rule) + ";" : "foreign;";
    }
    return text;
  }

 private:
  std::map<std::string, std::vector<StoredRule>> chains_;
};

}  // namespace

TEST_CASE("a rule is added once", "[xtables]") {
  PlainTable table;
  table.ensure_chain("C");
  table.add_foreign("C", "");
  const Rule rule{.matches = {ToLocalAddress{}}, .target = Accept{}};
  CHECK_FALSE(table.has_rule("C", rule));
  CHECK(table.ensure_appended("C", rule));
  CHECK(table.has_rule("C", rule));
  CHECK_FALSE(table.ensure_appended("C", rule));
  CHECK_FALSE(table.ensure_first("C", rule));
  CHECK(table.ensure_first("C", {.target = Drop{}}));
  CHECK(table.text("C") == "-j DROP;foreign;-m addrtype --dst-type LOCAL -j ACCEPT;");
  CHECK_FALSE(table.has_rule("D", rule));
}

TEST_CASE("all rules that a condition holds for are taken out", "[xtables]") {
  PlainTable table;
  table.ensure_chain("C");
  const Rule drop{.target = Drop{}};
  const Rule accept{.target = Accept{}};
  for (const Rule& rule : {drop, drop, accept, drop}) table.append("C", rule);
  const auto is_drop = [&](const StoredRule& stored) { return stored.rule == drop; };
  CHECK(table.erase_if("C", is_drop) == 3);
  CHECK(table.text("C") == "-j ACCEPT;");
  CHECK(table.erase_if("C", is_drop) == 0);
  CHECK(table.erase_if("D", is_drop) == 0);
}

TEST_CASE("a chain goes with the jumps to it", "[xtables]") {
  PlainTable table;
  table.ensure_chain("C");
  table.ensure_chain("MINE");
  table.append("C", {.target = Jump{"MINE"}});
  table.append("C", {.target = Jump{"MINE2"}});
  table.add_foreign("C", "MINE");  // whatever else it says
  table.append("MINE", {.target = Accept{}});
  CHECK(table.delete_chain_if_exists("MINE", {"C", "absent"}));
  CHECK_FALSE(table.has_chain("MINE"));
  CHECK(table.text("C") == "-j MINE2;");
  CHECK_FALSE(table.delete_chain_if_exists("MINE", {"C"}));
}
