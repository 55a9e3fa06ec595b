// The rules of netfilter of the calling thread's network namespace, whoever wrote them.
#pragma once

#include <set>
#include <string>

namespace conformance::netfilter {

// A line for each table, chain, rule, set and element of nf_tables, without handles and counters,
// and one for each table of xtables with the number of its rules. Empty where the kernel has none.
std::multiset<std::string> rules();

// Deletes everything in nf_tables. Returns false if there was nothing.
bool flush_nf_tables();

// Makes a table of nf_tables that belongs to nobody.
void add_foreign_table(const std::string& name);

}  // namespace conformance::netfilter
