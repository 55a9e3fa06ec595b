#include "netfilter/element_owner.h"

#include <fmt/format.h>

#include <string_view>

#include "base/digest.h"
#include "base/text.h"
#include "netfilter/user_data.h"

namespace cni::netfilter {
namespace {

using nftables::Bytes;
using nftables::Element;

constexpr std::size_t kDigestDigits = 32;
// A name of an interface is what nft(8) prints as text in a key: 15 bytes and a NUL.
constexpr std::size_t kSlotDigits = 15;
// nft(8) reads no longer comments than 128 bytes, and people feed its listings back to it.
constexpr std::size_t kLongestComment = 120;

// A container ID has no slash in it (CNI specification, parameters).
std::string attachment_text(const Owner& owner) {
  return owner.container_id + '/' + owner.ifname;
}

std::string digest_of(const Owner& owner) {
  return sha512_hex(attachment_text(owner), kDigestDigits);
}

}  // namespace

std::string slot_of(const Owner& owner) {
  return sha512_hex(attachment_text(owner), kSlotDigits);
}

// The mark begins with the slot.
std::set<std::string> slots_of(const std::vector<Element>& elements) {
  std::set<std::string> slots;
  for (const Element& element : elements) {
    const auto piece = nftables::find_user_data(element.user_data, kOwnerPiece);
    if (piece && piece->size() >= kSlotDigits) {
      slots.emplace(text_of_bytes(*piece).substr(0, kSlotDigits));
    }
  }
  return slots;
}

Bytes owner_mark(const Owner& owner) {
  std::string text =
      valid_utf8(fmt::format("{}/{}/{}", owner.network, owner.container_id, owner.ifname));
  std::size_t length = 0;
  while (length < text.size()) {
    const std::size_t next = length + utf8_length(std::string_view(text).substr(length));
    if (next > kLongestComment) break;
    length = next;
  }
  text.resize(length);
  Bytes mark = nftables::element_comment(text);
  nftables::append_user_data(mark, kOwnerPiece, bytes_of_text(digest_of(owner)));
  return mark;
}

Bytes attachment_key(const Owner& owner) {
  return nftables::padded_name(slot_of(owner));
}

bool is_owned_by(const Element& element, const Owner& owner) {
  const auto piece = nftables::find_user_data(element.user_data, kOwnerPiece);
  return piece && text_of_bytes(*piece) == digest_of(owner);
}

std::string describe_owner(const Element& element) {
  if (!nftables::find_user_data(element.user_data, kOwnerPiece)) return {};
  const auto piece = nftables::find_user_data(element.user_data, kCommentPiece);
  if (!piece) return {};
  const std::string_view text = text_of_bytes(*piece);
  return valid_utf8(text.substr(0, text.find('\0')));
}

}  // namespace cni::netfilter
