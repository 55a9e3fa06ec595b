# cmake -DSPEC=cni-spec -DOUTPUT=file -P embed.cmake: the JSON files as C++.
file(GLOB_RECURSE files RELATIVE "${SPEC}" "${SPEC}/clauses.json" "${SPEC}/schema/*.json"
  "${SPEC}/vectors/error/*.json" "${SPEC}/vectors/schema.json")
set(text "#include <string_view>\n#include <utility>\n#include <vector>\n\n")
string(APPEND text "namespace conformance::spec {\n"
  "extern const std::vector<std::pair<std::string_view, std::string_view>> kFiles;\n"
  "const std::vector<std::pair<std::string_view, std::string_view>> kFiles = {\n")
foreach(file IN LISTS files)
  file(READ "${SPEC}/${file}" content)
  string(APPEND text "{\"${file}\", R\"json(${content})json\"},\n")
endforeach()
string(APPEND text "};\n}  // namespace conformance::spec\n")
file(WRITE "${OUTPUT}" "${text}")
