#include "netfilter/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/digest.h"
#include "base/text.h"
#include "json/parse.h"
#include "netfilter/element_owner.h"
#include "netfilter/user_data.h"

namespace cni::netfilter {
namespace {

using nftables::Bytes;
using nftables::Element;

constexpr const char* kSet = "attachments";
constexpr std::size_t kDigestDigits = 32;
constexpr std::uint32_t kSlotBytes = 16;
constexpr std::uint32_t kChunkNumberBytes = 4;
constexpr std::size_t kChunkBytes = 240;  // of at most 256 of user data
// Far more than a record needs; a head that says otherwise is not one of ours.
constexpr std::uint32_t kMostChunks = 1U << 16U;

std::string head_text(std::string_view record, std::size_t chunks) {
  return fmt::format("{} {}", chunks, sha512_hex(record, kDigestDigits));
}

std::string render_record(const Record& record) {
  json::Value document = json::Value::array();
  document.push_back(record.owner.network);
  document.push_back(record.owner.container_id);
  document.push_back(record.owner.ifname);
  document.push_back(record.content);
  return json::compact(document);
}

std::optional<Record> parse_record(std::string_view text) {
  try {
    json::Value document = json::parse(text);
    if (!document.is_array() || document.size() != 4) return std::nullopt;
    for (std::size_t name = 0; name < 3; ++name) {
      if (!document[name].is_string()) return std::nullopt;
    }
    return Record{.owner = {.network = document[0].get<std::string>(),
                            .container_id = document[1].get<std::string>(),
                            .ifname = document[2].get<std::string>()},
                  .content = std::move(document[3])};
  } catch (const json::SyntaxError&) {
    return std::nullopt;  // written by something else
  }
}

std::optional<std::uint32_t> chunk_number(const Element& element) {
  if (element.key.size() != kSlotBytes + kChunkNumberBytes) return std::nullopt;
  return netlink::Attributes::read_value<std::uint32_t>(std::span(element.key).subspan(kSlotBytes));
}

}  // namespace

Bytes record_key(const std::string& slot, std::uint32_t chunk) {
  return nftables::concatenation({nftables::padded_name(slot), nftables::host_order(chunk)});
}

bool is_in_slot(const Element& element, const std::string& slot) {
  const Bytes name = nftables::padded_name(slot);
  return element.key.size() >= name.size() &&
         std::equal(name.begin(), name.end(), element.key.begin());
}

nftables::Set record_set(const nftables::TableId& table) {
  return {
      .table = table,
      .name = kSet,
      .key_length = kSlotBytes + kChunkNumberBytes,
      .key_type = nftables::concatenated_type({nftables::kTypeInterfaceName, nftables::kTypeMark}),
      .field_lengths = {kSlotBytes, kChunkNumberBytes},
  };
}

std::vector<Element> record_elements(const Record& record) {
  const std::string slot = slot_of(record.owner);
  const std::string text = render_record(record);
  std::vector<Element> elements = {{.key = record_key(slot, 0)}};
  for (std::string_view rest = text; !rest.empty();
       rest.remove_prefix(std::min(kChunkBytes, rest.size()))) {
    Element chunk{.key = record_key(slot, static_cast<std::uint32_t>(elements.size()))};
    nftables::append_user_data(chunk.user_data, kRecordChunkPiece,
                               bytes_of_text(rest.substr(0, kChunkBytes)));
    elements.push_back(std::move(chunk));
  }
  if (elements.size() > kMostChunks) {
    throw std::length_error(
        fmt::format("the record of {}/{} of {} bytes is too long for a table of nf_tables",
                    record.owner.container_id, record.owner.ifname, text.size()));
  }
  Element& head = elements.front();
  head.user_data = owner_mark(record.owner);
  nftables::append_user_data(head.user_data, kRecordHeadPiece,
                             bytes_of_text(head_text(text, elements.size() - 1)));
  return elements;
}

std::optional<std::uint32_t> chunk_count(const Element& head) {
  const auto piece = nftables::find_user_data(head.user_data, kRecordHeadPiece);
  if (!piece) return std::nullopt;
  const std::string_view text = text_of_bytes(*piece);
  const auto count = parse_number<std::uint32_t>(text.substr(0, text.find(' ')));
  return count && *count <= kMostChunks ? count : std::nullopt;
}

std::optional<Record> assemble(const std::vector<Element>& elements) {
  if (elements.empty()) return std::nullopt;
  const auto count = chunk_count(elements.front());
  if (!count || elements.size() != std::size_t{*count} + 1) return std::nullopt;
  std::string text;
  for (const Element& element : std::span(elements).subspan(1)) {
    const auto piece = nftables::find_user_data(element.user_data, kRecordChunkPiece);
    if (!piece) return std::nullopt;
    text += text_of_bytes(*piece);
  }
  const auto head = nftables::find_user_data(elements.front().user_data, kRecordHeadPiece);
  if (text_of_bytes(*head) != head_text(text, *count)) return std::nullopt;
  return parse_record(text);
}

void sort_by_number(std::vector<Element>& elements) {
  std::ranges::sort(elements, {}, [](const Element& element) { return chunk_number(element); });
}

std::vector<Record> assemble_all(std::vector<Element> elements) {
  std::map<Bytes, std::vector<Element>> slots;
  for (Element& element : elements) {
    if (element.key.size() != kSlotBytes + kChunkNumberBytes) continue;
    const Bytes slot(element.key.begin(), element.key.begin() + kSlotBytes);
    slots[slot].push_back(std::move(element));
  }
  std::vector<Record> records;
  for (auto& [slot, of_slot] : slots) {
    sort_by_number(of_slot);
    if (auto record = assemble(of_slot)) records.push_back(std::move(*record));
  }
  return records;
}

}  // namespace cni::netfilter
