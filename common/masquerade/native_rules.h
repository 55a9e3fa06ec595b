// Masquerading in words of nf_tables: what stands in the table, without touching it.
//
//   map sources { 10.88.0.5 : jump to-<digest>, ... }        one element per address
//   chain postrouting { type nat hook postrouting priority 100; ip saddr vmap @sources }
//   chain to-<digest> {                                      one per settings and subnet
//     ip daddr @to-<digest>-skip return
//     ip daddr != @to-<digest>-only return                   with masqueradeCIDRs
//     oifname != @to-<digest>-out return                     with outInterfaces
//     masquerade fully-random
//   }
//
// With dropInvalid, what connection tracking cannot place is dropped where the above would
// masquerade it, since it would leave with the container's address:
//
//   map drop_invalid { 10.88.0.5 : jump drop-<digest>, ... }
//   chain forward { type filter hook forward priority 0; ct state invalid ip saddr vmap
//                   @drop_invalid }
//   chain drop-<digest> { as above, and drop in place of masquerade }
#pragma once

#include <string>
#include <vector>

#include "masquerade/config.h"
#include "netfilter/native_table.h"

namespace cni::masquerade {

inline constexpr const char* kNativeTable = "plumb_masquerade";

nftables::TableId native_table(inet::Family family);

// Address -> verdict.
nftables::Set sources_map(inet::Family family);
nftables::Set drop_invalid_map(inet::Family family);

// What happens to the packets of addresses that have equal settings and are in one subnet.
class Policy {
 public:
  Policy(const Config& config, const inet::Network& address, bool drop_invalid);

  const std::string& chain() const { return chain_; }
  const std::string& drop_chain() const { return drop_chain_; }
  bool drops_invalid() const { return drop_invalid_; }

  // Sets that only the chains of this policy use, and what is in them.
  struct FilledSet {
    nftables::Set set;
    std::vector<nftables::Element> elements;
  };
  const std::vector<FilledSet>& sets() const { return sets_; }

  // With the maps and base chains.
  netfilter::Layout layout() const;

 private:
  // Goes past what the sets leave alone, then does `last`.
  netfilter::ChainContent content(const std::string& name,
                                  std::vector<nftables::Expression> last) const;
  void add_set(const char* suffix, nftables::Set set, std::vector<nftables::Element> elements);

  inet::Family family_;
  bool drop_invalid_;
  bool fully_random_;
  bool persistent_;
  std::optional<SourceRange> snat_;
  std::string chain_;
  std::string drop_chain_;
  std::vector<FilledSet> sets_;
};

// The names that the sets of a policy may have, by its chain.
std::vector<std::string> policy_set_names(const std::string& chain);

// Ranges of names, for outInterfaces: none overlapping or touching another one, ascending.
std::vector<nftables::Element> name_elements(const std::vector<std::string>& names);

}  // namespace cni::masquerade
