// A table of xtables rules that is nowhere but in memory.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "xtables/rule.h"
#include "xtables/table.h"

namespace cni::test {

class MemoryTable : public xtables::Table {
 public:
  inet::Family family() const override { return inet::Family::kIpv4; }
  bool has_chain(const std::string& chain) const override { return chains_.contains(chain); }
  std::vector<std::string> chains() const override {
    std::vector<std::string> names;
    for (const auto& [name, rules] : chains_) {
      if (!is_built_in(name)) names.push_back(name);
    }
    return names;
  }
  const std::vector<xtables::StoredRule>& rules(const std::string& chain) const override {
    static const std::vector<xtables::StoredRule> kNone;
    const auto found = chains_.find(chain);
    return found == chains_.end() ? kNone : found->second;
  }
  std::size_t references(const std::string& chain) const override {
    std::size_t count = 0;
    for (const auto& [origin, rules] : chains_) {
      for (const xtables::StoredRule& rule : rules) {
        if (rule.jump_target == chain) ++count;
      }
    }
    return count;
  }
  bool drops_by_policy(const std::string& /*chain*/) const override { return false; }

  void ensure_chain(const std::string& chain) override { chains_[chain]; }
  void append(const std::string& chain, const xtables::Rule& rule) override {
    insert(chain, rules(chain).size(), rule);
  }
  void insert(const std::string& chain, std::size_t position, const xtables::Rule& rule) override {
    auto& list = chains_[chain];
    list.insert(list.begin() + static_cast<std::ptrdiff_t>(position),
                {.rule = rule, .jump_target = rule.jump_target(), .comment = rule.comment()});
  }
  void erase(const std::string& chain, std::size_t position) override {
    auto& list = chains_.at(chain);
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(position));
  }
  void flush(const std::string& chain) override { chains_.at(chain).clear(); }
  void delete_chain(const std::string& chain) override {
    for (const auto& [origin, rules] : chains_) {
      for (const xtables::StoredRule& rule : rules) {
        if (origin != chain && rule.jump_target == chain) {
          throw std::logic_error(origin + " jumps to " + chain);
        }
      }
    }
    chains_.erase(chain);
  }
  bool changed() const override { return true; }

  // All of it, as iptables-save has it.
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const auto& [chain, list] : chains_) {
      all.push_back(":" + chain);
      for (const xtables::StoredRule& each : list) {
        all.push_back("-A " + chain + " " + (each.rule ? render(*each.rule) : "foreign"));
      }
    }
    return all;
  }

  static bool is_built_in(const std::string& chain) {
    return chain == "POSTROUTING" || chain == "FORWARD";
  }

  std::map<std::string, std::vector<xtables::StoredRule>> chains_;
};

}  // namespace cni::test
