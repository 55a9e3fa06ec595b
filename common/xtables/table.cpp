#include "xtables/table.h"

#include <algorithm>

namespace cni::xtables {

bool Table::has_rule(const std::string& chain, const Rule& rule) const {
  return std::ranges::any_of(rules(chain), [&](const StoredRule& stored) {
    return stored.rule && same_meaning(*stored.rule, rule);
  });
}

bool Table::ensure_appended(const std::string& chain, const Rule& rule) {
  if (has_rule(chain, rule)) return false;
  append(chain, rule);
  return true;
}

bool Table::ensure_first(const std::string& chain, const Rule& rule) {
  if (has_rule(chain, rule)) return false;
  insert(chain, 0, rule);
  return true;
}

std::size_t Table::erase_if(const std::string& chain,
                            const std::function<bool(const StoredRule&)>& condition) {
  std::size_t erased = 0;
  // From the end, so that the positions that are still to come stay what they are.
  for (std::size_t position = rules(chain).size(); position > 0; --position) {
    if (!condition(rules(chain)[position - 1])) continue;
    erase(chain, position - 1);
    ++erased;
  }
  return erased;
}

bool Table::delete_chain_if_exists(const std::string& chain, const std::vector<std::string>& from) {
  if (!has_chain(chain)) return false;
  for (const std::string& origin : from) {
    if (references(chain) == 0) break;
    erase_if(origin, [&](const StoredRule& stored) { return stored.jump_target == chain; });
  }
  delete_chain(chain);
  return true;
}

}  // namespace cni::xtables
