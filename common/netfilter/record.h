// What is written down about an attachment in a table of nf_tables, as elements of a set there.
//
// A record is a text cut into chunks, since an element has room for 256 bytes. Its elements share
// the first field of their key, the slot (slot_of). Number 0 is the head, which says how many
// chunks there are and has a digest of the whole text: elements that do not belong together are no
// record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/value.h"
#include "netfilter/owner.h"
#include "nftables/objects.h"

namespace cni::netfilter {

// What an attachment has in the table: any JSON, of a few bytes or of a megabyte.
struct Record {
  Owner owner;
  json::Value content;

  friend bool operator==(const Record&, const Record&) = default;
};

// The set "attachments" of a table.
nftables::Set record_set(const nftables::TableId& table);

// Key of the head, number 0, or of a chunk.
nftables::Bytes record_key(const std::string& slot, std::uint32_t chunk);
bool is_in_slot(const nftables::Element& element, const std::string& slot);

// The head comes first. Throws std::length_error beyond some 15 MiB.
std::vector<nftables::Element> record_elements(const Record& record);

// How many chunks a head says there are; nothing if it is none.
std::optional<std::uint32_t> chunk_count(const nftables::Element& head);
void sort_by_number(std::vector<nftables::Element>& elements);
// Of the elements of one slot, by ascending number. Nothing if they are no whole record.
std::optional<Record> assemble(const std::vector<nftables::Element>& elements);
// Of the elements of any slots, in any order.
std::vector<Record> assemble_all(std::vector<nftables::Element> elements);

}  // namespace cni::netfilter
