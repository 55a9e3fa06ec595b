#include "chain_names.h"

#include <fmt/format.h>

#include "base/digest.h"

namespace cni::portmap {
namespace {

constexpr std::size_t kLongestChain = 28;
constexpr std::size_t kLongestComment = 255;

std::string derived(std::string_view prefix, std::string_view network,
                    std::string_view container_id) {
  return std::string(prefix) + sha512_hex(std::string(network) + std::string(container_id),
                                          kLongestChain - prefix.size());
}

constexpr std::string_view kHead = "dnat name: \"";
constexpr std::string_view kMiddle = "\" id: \"";

}  // namespace

std::string container_chain(std::string_view network, std::string_view container_id) {
  return derived(kContainerChainPrefix, network, container_id);
}

std::string source_chain(std::string_view network, std::string_view container_id) {
  return derived(kSourceChainPrefix, network, container_id);
}

std::string entry_comment(std::string_view network, std::string_view container_id) {
  std::string text = fmt::format("{}{}{}{}\"", kHead, network, kMiddle, container_id);
  // The reference suite cuts to 253 bytes and adds three dots, of which the kernel keeps two.
  if (text.size() > kLongestComment) text = text.substr(0, kLongestComment - 2) + "..";
  return text;
}

std::optional<ChainOwner> parse_entry_comment(std::string_view comment) {
  if (!comment.starts_with(kHead)) return std::nullopt;
  comment.remove_prefix(kHead.size());
  if (!comment.ends_with('"')) return std::nullopt;
  comment.remove_suffix(1);
  // Neither name has a quote in it.
  const std::size_t middle = comment.find(kMiddle);
  if (middle == std::string_view::npos) return std::nullopt;
  return ChainOwner{.network = std::string(comment.substr(0, middle)),
                    .container_id = std::string(comment.substr(middle + kMiddle.size()))};
}

}  // namespace cni::portmap
