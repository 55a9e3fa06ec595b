#include "kernel/xtables_bench.h"

#include <sstream>
#include <stdexcept>

namespace cni::test {

using inet::Family;

Bench::Bench(const TestedStore& store, Family family)
    : family_(family), flavour_(store.flavour), open_(store.open), inside_(host_) {}

Outcome Bench::try_tool(const std::string& arguments, const std::string& suffix) const {
  const std::string name =
      (family_ == Family::kIpv4 ? "iptables-" : "ip6tables-") + flavour_ + suffix;
  return run({.argv = {"sh", "-c", name + " " + arguments}});
}

std::string Bench::tool(const std::string& arguments, const std::string& suffix) const {
  const auto outcome = try_tool(arguments, suffix);
  if (outcome.status != 0) throw std::runtime_error(arguments + "\n" + outcome.text());
  return outcome.out;
}

std::vector<std::string> Bench::listed(const std::string& chain, const std::string& table) const {
  std::istringstream output(tool("-t " + table, "-save"));
  std::vector<std::string> rules;
  const std::string prefix = "-A " + chain + " ";
  for (std::string line; std::getline(output, line);) {
    if (line.starts_with(prefix)) rules.push_back(line.substr(prefix.size()));
  }
  return rules;
}

void Bench::change(const std::function<void(xtables::Table&)>& change, const std::string& table) {
  open_()->change(family_, table, change);
}

std::unique_ptr<const xtables::Table> Bench::find(const std::string& table) {
  return open_()->find(family_, table);
}

void Bench::make_chains() {
  change([](xtables::Table& table) {
    table.ensure_chain("TEST");
    table.ensure_chain("OTHER");
  });
}

xtables::Rule commented(const std::string& text, const xtables::Target& target) {
  return {.matches = {xtables::Comment{text}}, .target = target};
}

std::string comments(const xtables::Table& table, const std::string& chain) {
  std::string text;
  for (const xtables::StoredRule& stored : table.rules(chain)) text += stored.comment;
  return text;
}

std::vector<std::string> lines(const xtables::Table& table, const std::string& chain) {
  std::vector<std::string> result;
  for (const xtables::StoredRule& stored : table.rules(chain)) {
    result.push_back(stored.rule ? render(*stored.rule) : "?");
  }
  return result;
}

std::string names_in_use() {
  return read_whole_file("/proc/thread-self/net/ip_tables_names") + "|" +
         read_whole_file("/proc/thread-self/net/ip6_tables_names");
}

void change_nat(const std::function<void(xtables::Table&)>& change) {
  xtables::open_legacy()->change(Family::kIpv4, "nat", change);
}

std::string message_of(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace cni::test
