#include "attachment/owner.h"

#include <fmt/format.h>

#include "base/digest.h"

namespace cni::attachment {
namespace {

constexpr std::string_view kMarkPrefix = " plumb:";
constexpr std::size_t kNetworkDigits = 16;
constexpr std::size_t kAttachmentDigits = 32;
constexpr std::size_t kLongestAlias = 255;

}  // namespace

Owner Owner::of(const Request& request) {
  return {.network = request.conf.name(), .attachment = request.attachment()};
}

OwnerMark OwnerMark::of(const Owner& owner) {
  // '/' is in none of the three.
  const auto& [id, ifname] = owner.attachment;
  return {.network = sha512_hex(owner.network, kNetworkDigits),
          .attachment = sha512_hex(fmt::format("{}/{}", id, ifname), kAttachmentDigits)};
}

std::string render_alias(const Owner& owner, const Args& args) {
  const OwnerMark mark = OwnerMark::of(owner);
  const std::string tail = fmt::format("#{}{}{}:{}", owner.attachment.ifname, kMarkPrefix,
                                       mark.network, mark.attachment);
  const std::string label = args.pod().value_or(owner.attachment.container_id);
  return label.substr(0, kLongestAlias - tail.size()) + tail;
}

std::optional<OwnerMark> find_owner_mark(std::string_view alias) {
  const std::size_t start = alias.rfind(kMarkPrefix);
  if (start == std::string_view::npos) return std::nullopt;
  const std::string_view mark = alias.substr(start + kMarkPrefix.size());
  if (mark.size() != kNetworkDigits + 1 + kAttachmentDigits || mark[kNetworkDigits] != ':') {
    return std::nullopt;
  }
  return OwnerMark{.network = std::string(mark.substr(0, kNetworkDigits)),
                   .attachment = std::string(mark.substr(kNetworkDigits + 1))};
}

std::string host_link_name(const Attachment& attachment, unsigned attempt) {
  const auto& [id, ifname] = attachment;
  return "veth" + sha512_hex(fmt::format("{}/{}/{}", id, ifname, attempt), 8);
}

}  // namespace cni::attachment
