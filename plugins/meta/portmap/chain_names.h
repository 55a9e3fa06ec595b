// Names of chains and texts of comments that the reference suite uses too.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace cni::portmap {

inline constexpr const char* kEntryChain = "CNI-HOSTPORT-DNAT";
inline constexpr const char* kSetMarkChain = "CNI-HOSTPORT-SETMARK";
inline constexpr const char* kMasqueradeChain = "CNI-HOSTPORT-MASQ";
// They go with the last chain of a container, in this order.
inline constexpr std::array kSharedChains = {kEntryChain, kMasqueradeChain, kSetMarkChain};
// Of releases of long ago.
inline constexpr const char* kSourceEntryChain = "CNI-HOSTPORT-SNAT";

inline constexpr std::string_view kContainerChainPrefix = "CNI-DN-";
inline constexpr std::string_view kSourceChainPrefix = "CNI-SN-";

// "CNI-DN-" and 21 hex digits of the SHA-512 of both names, one after the other.
std::string container_chain(std::string_view network, std::string_view container_id);
std::string source_chain(std::string_view network, std::string_view container_id);

// `dnat name: "<network>" id: "<container ID>"`, cut to what a comment can hold.
std::string entry_comment(std::string_view network, std::string_view container_id);

struct ChainOwner {
  std::string network;
  std::string container_id;
};
// Nothing if it is no such comment, or a cut one.
std::optional<ChainOwner> parse_entry_comment(std::string_view comment);

}  // namespace cni::portmap
