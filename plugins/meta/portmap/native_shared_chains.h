// Chains of the table `plumb_hostports` that several attachments may use, for equal settings.
#pragma once

#include <string>
#include <vector>

#include "holding.h"
#include "netfilter/native_table.h"
#include "nftables/objects.h"

namespace cni::portmap {

struct SharedChain {
  netfilter::ChainContent content;
  struct Filled {
    nftables::Set set;
    std::vector<nftables::Element> elements;
  };
  std::vector<Filled> sets = {};  // only its rules use them

  const std::string& name() const { return content.chain.name; }
};
std::vector<SharedChain> shared_chains(const Holding& holding);

// What they are called, each after the settings that it is for.
std::string gate_name(const Gate& gate);
std::string masquerade_name(const Holding& holding);
std::string localnet_chain(const Localnet& localnet);

}  // namespace cni::portmap
